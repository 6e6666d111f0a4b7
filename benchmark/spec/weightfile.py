"""A file of weights in, what was written into its head about it out: which blocks it holds, and what it was converted from.

`benchmark convert` writes it, as one text under one name, since safetensors puts several in no fixed order. No torch.
"""

from __future__ import annotations

import functools
import math
import struct
from pathlib import Path
from typing import Any

from pydantic import PositiveFloat, PositiveInt, ValidationError
from pydantic_core import from_json

from benchmark.spec.recipes import Frozen, ModelShape

NAME = "m2pt-bench"  # under which it is, among the metadata of safetensors
LARGEST_HEAD = 100_000_000  # bytes, as safetensors itself allows


class BlockShape(Frozen):
    """The sizes of blocks, whatever they are fed with."""

    embed_dim: PositiveInt
    depth: PositiveInt
    num_heads: PositiveInt
    mlp_ratio: PositiveFloat
    qkv_bias: bool = True

    def applied(self, shape: ModelShape) -> ModelShape:
        """A shape with blocks of these sizes"""
        return shape.model_copy(update=self.model_dump())

    def options(self) -> list[str]:
        """As `--set` gives these sizes to every task"""
        return [f"shape.{name}={exact(value)}" for name, value in self.model_dump(exclude={"qkv_bias"}).items()]


def ratio_of(hidden: int, width: int) -> float:
    """The `mlp_ratio` by which blocks of `width` have `hidden` units: the whole part of the product, which the quotient,
    as it is rounded, may miss by one."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def exact(value: float) -> str:
    """A number as a text that gives it back to the last bit: 4, 3.736111111111111"""
    short = f"{value:.9g}"
    return short if float(short) == value else repr(value)


class Origin(Frozen):
    """What a file of weights says of itself."""

    blocks: BlockShape
    format: str  # whose names it had
    sources: dict[str, str]  # SHA-256 of the published files by name
    notes: tuple[str, ...] = ()  # what was taken of them
    differences: tuple[str, ...] = ()  # what its blocks computed otherwise before
    modality: str = ""  # of the task that it was converted for; "" where it was for none, or by an earlier release

    def text(self) -> str:
        """As it is written; the same for the same, also for what earlier releases wrote"""
        return self.model_dump_json(exclude=None if self.modality else {"modality"})


@functools.lru_cache
def read_head(path: Path) -> dict[str, Any] | None:
    """The head of a safetensors file, tensors by name; None for any other file; raises `ValueError` where it cannot be read."""
    return _read_head(path)


def _read_head(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
            head = file.read(length) if length <= LARGEST_HEAD else b""
    except OSError as error:
        raise ValueError(f"weights {path} cannot be read ({error.strerror})") from error
    try:
        said = from_json(head)
    except ValueError:
        return None  # whoever loads it says what is wrong
    return said if isinstance(said, dict) else None


def cut_short(path: Path) -> str:
    """How a safetensors file is shorter than its head says; "" for a whole one, and where the head cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
    if length > size - 8:
        return f"is cut short: it ends after {size:,} bytes, within its list of tensors; download it again"
    try:
        entries = _read_head(path) or {}  # of the file as it is now
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except (KeyError, TypeError, IndexError):
        return ""  # the library says what is wrong
    return f"is cut short: {size:,} of {whole:,} bytes; download it again" if whole > size else ""


@functools.lru_cache
def read_origin(path: Path) -> Origin | None:
    """None for a file that says nothing of itself, or is none of safetensors; raises `ValueError` where it cannot be read."""
    held = (read_head(path) or {}).get("__metadata__")
    text = held.get(NAME) if isinstance(held, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return Origin.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"weights {path} say of themselves what is not understood ({error.errors()[0]['msg']}); write them "
                         "anew with benchmark convert") from error


@functools.lru_cache
def read_exported(path: Path) -> ModelShape | None:
    """The sizes of a model, as `benchmark export` writes them beside its weights; None for any other file. Raises `ValueError`
    where it cannot be read.
    """
    held = (read_head(path) or {}).get("__metadata__")
    if not isinstance(held, dict) or not {"run", "shape", "load"} <= held.keys():
        return None
    try:
        return ModelShape.model_validate_json(held["shape"])
    except ValidationError:
        return None
