"""Weights that were given by file in; what they are for, and in which sizes their blocks are, out. No torch."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from benchmark.spec.contracts import Task
from benchmark.spec.plural import counted
from benchmark.spec.recipes import ModelShape
from benchmark.spec.runspec import Pretrained
from benchmark.spec.weightfile import cut_short, read_head, read_origin

FOREIGN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,29}")  # a name for a modality that no task has: it is a part of runs' names

Published = dict[str, dict[str, str]]  # by role and name, SHA-256 of files


def check_foreign(name: str, tasks: Mapping[str, Task]) -> None:
    """Raises `ValueError` where a name is none for a modality that no task has."""
    owner = next((task.name for task in tasks.values() if task.modality == name), None)
    if owner is not None:
        raise ValueError(f"{name} is the modality of {owner}: name that task")
    if not FOREIGN.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a modality: a letter first, and up to 29 letters, digits or _ after it")


def given_weights(path: Path, modality: str, shape: ModelShape, known: bool) -> Pretrained:
    """A file as what a run starts from, in the sizes that it says it has, or else, of a modality that is `known`, in `shape`.

    Raises `ValueError` where it says none and no task has its modality, where it says that it was converted for another, and
    where it says nothing and its blocks are none, or not those of `shape`, as far as its head has them. So it does where the
    file is shorter than its head says.
    """
    origin = read_origin(path)
    if origin is None and not known:
        raise ValueError(f"--start {modality}={path}: the file does not say how its blocks are made, and no task has that "
                         f"modality; write it with: benchmark convert FILE {modality} --blocks-only --out OTHER.safetensors")
    if origin is not None and origin.modality not in ("", modality):
        raise ValueError(f"--start {modality}={path}: the file was converted for {origin.modality}; give it as --start "
                         f"{origin.modality}={path}, or convert the published file for {modality}")
    if origin is None:
        _check_head(path, f"--start {modality}={path}", shape)
    if fault := cut_short(path):
        raise ValueError(f"--start {modality}={path}: the file {fault}")
    return Pretrained(weights=path, shape=shape if origin is None else origin.blocks.applied(shape))


def _check_head(path: Path, place: str, shape: ModelShape) -> None:
    head = read_head(path)
    if head is None:
        raise ValueError(f"{place}: the file is not in the format that runs start from; write it with: benchmark convert "
                         f"{path} TASK --out OTHER.safetensors")
    numbers = {name.split(".")[1] for name in head if name.startswith("blocks.")}
    if not numbers:
        raise ValueError(f"{place}: the file has no blocks by the names that are read; write it with: benchmark convert {path} "
                         "TASK --out OTHER.safetensors")
    said = head.get("blocks.0.attn.proj.weight")
    sizes = said.get("shape") if isinstance(said, dict) else None
    width = sizes[0] if isinstance(sizes, list) and sizes else shape.embed_dim  # whoever loads it says what is wrong
    if (len(numbers), width) != (shape.depth, shape.embed_dim):
        raise ValueError(f"{place}: the file has {counted(len(numbers), 'block')} of width {width}, and the model "
                         f"{shape.depth} of {shape.embed_dim}; set shape.depth and shape.embed_dim to those, or give "
                         "another file")


def note_unnamed(texts: Iterable[str], known: Collection[str]) -> list[str]:
    """A line for each file, as `--start` has them, that is to be of a `known` modality and does not say of which it is."""
    found = []
    for modality, _, path in (text.partition("=") for text in texts):
        origin = read_origin(Path(path).expanduser().resolve()) if modality in known else None
        if modality in known and (origin is None or not origin.modality):
            found.append(f"note: --start {modality}={path}: the file does not say for which modality it was converted, as "
                         f"earlier releases and other programs leave it, and is taken as {modality}'s")
    return found


def published_files(files: Mapping[str, Pretrained]) -> Published | None:
    """By role, the SHA-256 of the published files that weights were converted from, by name; None where none is known"""
    origins = {role: read_origin(file.weights) for role, file in files.items()}
    return {role: origin.sources for role, origin in origins.items() if origin is not None} or None


@functools.lru_cache
def file_digest(path: Path) -> str:
    """As `digest_now`, once for all runs of a plan."""
    return digest_now(path)


def digest_now(path: Path) -> str:
    """Twelve hex digits of a file's SHA-256; raises `ValueError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise ValueError(f"weights {path} cannot be read ({error.strerror})") from error
