"""A NumPy archive (.npz) in, as models of JAX are published; its arrays out, by name, apart for each encoder that it has.

An archive is a zip with one .npy for each array, and names have their parts joined by "/" there, and by "." here. What stands
before the names of an encoder ("params", "opt/target", "params/img") names its set. Nothing is unpickled.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from benchmark.model.weights import CheckpointError

ENCODER = re.compile(r"^((?:.+?/)??)(?:Transformer/|Encoder_0/)?encoderblock(?:_\d+)?/")
STACKED = re.compile(r"(^|/)encoderblock/")  # all blocks in one array, the first dimension of which numbers them
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
BFLOAT16 = np.dtype("V2")  # as NumPy, which does not know it, writes it


def is_archive(path: Path) -> bool:
    """Whether a file is a zip of .npy and of nothing else."""
    names = names_in(path)
    return bool(names) and all(name.endswith(".npy") for name in names)


def names_in(path: Path) -> list[str]:
    """Of the files in a zip; none of a file that is no zip, is damaged or has no list of contents."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def read_archive(path: Path, left_out: list[str]) -> dict[str, dict[str, Tensor]] | dict[str, Tensor]:
    """By the name of its set, the arrays of each encoder; or all arrays where there is none. Adds to `left_out` what is of no
    encoder, such as the states of an optimizer. Raises `CheckpointError` for an archive that is cut short or damaged, has
    Python objects, or of encoders only what an optimizer keeps of them.
    """
    arrays: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings(action="ignore"):  # of headers that Python 2 wrote
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"two arrays are called {name}")
                with archive.open(entry) as file:
                    values = _values(file, path, name)
                if values is None:
                    left_out.append(name.replace("/", "."))
                else:
                    arrays |= _unstacked(name, values)
    except (CheckpointError, MemoryError, OSError):
        raise
    except Exception as error:  # NumPy reads a header as a text of Python: a damaged one raises whatever that stumbles over
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"checkpoint {path} is damaged: {reason}; download it again") from error
    found = _sets(path, arrays, left_out)
    return found[""] if found.keys() == {""} else found


def _values(file: IO[bytes], path: Path, name: str) -> Tensor | None:
    """One array; None where it is of texts, dates or the like. Raises `ValueError` where it is damaged."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"{name} is of version {version} of NumPy's format")
    sizes, by_column, kind = HEADERS[version](file)
    if kind.hasobject:
        raise CheckpointError(f"checkpoint {path} is refused, as only numbers are read, and {name} in it is of Python objects: "
                              "load it where it is from, and save its weights as arrays of numbers")
    content = bytearray(file.read())
    if len(content) != prod(sizes) * kind.itemsize:
        raise ValueError(f"{name} of sizes {sizes} has {len(content):,} bytes of {kind}")
    is_bfloat16 = kind == BFLOAT16
    kind = np.dtype("<i2") if is_bfloat16 else kind
    if kind.kind not in "fiubc" or not content:
        return None
    values = np.frombuffer(content, kind).reshape(sizes, order="F" if by_column else "C")
    try:
        tensor = torch.from_numpy(np.ascontiguousarray(values.astype(kind.newbyteorder("="), copy=False)).reshape(sizes))
    except TypeError:  # of more digits than torch has
        return None
    return tensor.view(torch.bfloat16) if is_bfloat16 else tensor


def _unstacked(name: str, values: Tensor) -> dict[str, Tensor]:
    """By name; blocks each for itself"""
    if not STACKED.search(name) or not values.ndim:
        return {name: values}
    return {STACKED.sub(rf"\g<1>encoderblock_{index}/", name, count=1): part.clone() for index, part in enumerate(values)}


def _sets(path: Path, arrays: dict[str, Tensor], left_out: list[str]) -> dict[str, dict[str, Tensor]]:
    starts = {match[1] for name in arrays if (match := ENCODER.match(name))}
    models = sorted((start for start in starts if not _is_an_optimizers(start)), key=len, reverse=True)
    if starts and not models:
        raise CheckpointError(f"checkpoint {path} has the states of an optimizer, such as {next(iter(arrays))}, and no "
                              "weights; name the file that has those")
    found: dict[str, dict[str, Tensor]] = {start: {} for start in models or [""]}
    for name, tensor in arrays.items():
        start = next((start for start in found if name.startswith(start) and not _is_an_optimizers(name)), None)
        if start is None:
            left_out.append(name.replace("/", "."))
        else:
            found[start][name.removeprefix(start).replace("/", ".")] = tensor
    return {start.strip("/").replace("/", "."): found[start] for start in sorted(found)}


def _is_an_optimizers(name: str) -> bool:
    parts = name.split("/")
    return parts[0] in ("opt", "opt_state", "optimizer") and parts[1:2] != ["target"]
