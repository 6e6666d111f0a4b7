"""A file in CTranslate2's container format in, its arrays by name out.

The format is a plain list. All numbers are little endian, and a text is its length with a final NUL (16 bits), then its bytes:

    version of the format (32 bits), kind of model (text), revision of that kind (32 bits), number of arrays (32 bits)
    of each array: name (text), rank (8 bits), its sizes (32 bits each), type (8 bits), length in bytes (32 bits), values
    number of other names (32 bits), and of each: the other name, the name (texts)

Names have their parts joined by "/" there, and by "." here. Nothing is read beyond what the file's own size allows.
"""

from __future__ import annotations

import re
import struct
from math import prod
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from benchmark.model.weights import CheckpointError

MARK = re.compile(rb".\0\0\0.\0\w+Spec\0", re.DOTALL)  # how such a file begins
VERSION, KIND = 6, "WhisperSpec"  # of the format and of the model: what has been seen, and is read
TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
LARGEST_RANK = 8


def read_container(path: Path) -> dict[str, Tensor]:
    """Every array of a file; raises `CheckpointError` for one that is cut short, damaged, or of another version or model."""
    with path.open("rb") as file:
        return _Reader(file, path).read()


class _Reader:
    """Takes one part after the other from an open file, and knows how many bytes are left."""

    def __init__(self, file: BinaryIO, path: Path):
        self.file, self.path = file, path
        self.left = self.size = path.stat().st_size

    def read(self) -> dict[str, Tensor]:
        version, kind = self._number("I"), self._text()
        if version != VERSION or kind != KIND:
            raise CheckpointError(f"checkpoint {self.path} is a {kind.removesuffix('Spec')} model in version {version} of "
                                  f"CTranslate2's format; {KIND.removesuffix('Spec')} models in version {VERSION} are read")
        self._number("I")  # the revision says what is beside the encoder
        arrays: dict[str, Tensor] = {}
        for _ in range(self._number("I")):
            name = self._text()
            if name in arrays:
                raise self._damaged(f"two arrays are called {name}")
            arrays[name] = self._array(name)
        for _ in range(self._number("I")):
            other, name = self._text(), self._text()
            if name not in arrays or other in arrays:
                raise self._damaged(f"{other} is to be another name of {name}")
            arrays[other] = arrays[name]
        if self.left:
            raise self._damaged(f"{self.left:,} bytes follow the last array")
        return {name.replace("/", "."): tensor for name, tensor in arrays.items()}

    def _array(self, name: str) -> Tensor:
        rank = self._number("B")
        if rank > LARGEST_RANK:
            raise self._damaged(f"{name} has {rank} dimensions")
        sizes = [self._number("I") for _ in range(rank)]
        kind, length = self._number("B"), self._number("I")
        if kind >= len(TYPES):
            raise self._damaged(f"{name} has numbers of the unknown type {kind}")
        if length != prod(sizes) * TYPES[kind].itemsize:
            raise self._damaged(f"{name} of sizes {sizes} has {length:,} bytes")
        values = self._take(length)
        return (torch.frombuffer(values, dtype=TYPES[kind]) if length else torch.empty(0, dtype=TYPES[kind])).reshape(sizes)

    def _text(self) -> str:
        value = self._take(self._number("H"))
        if not value.endswith(b"\0") or not value[:-1].isascii() or not value[:-1].decode("ascii").isprintable():
            raise self._damaged(f"a name is {bytes(value[:40])!r}")
        return value[:-1].decode("ascii")

    def _number(self, kind: str) -> int:
        (value,) = struct.unpack(f"<{kind}", self._take(struct.calcsize(kind)))
        return int(value)

    def _take(self, length: int) -> bytearray:
        if length > self.left:
            raise CheckpointError(f"checkpoint {self.path} is cut short or damaged: it ends after {self.size:,} bytes, where "
                                  f"{length - self.left:,} more are to come; download it again")
        self.left -= length
        return bytearray(self.file.read(length))

    def _damaged(self, what: str) -> CheckpointError:
        return CheckpointError(f"checkpoint {self.path} is damaged: {what}; download it again")
