"""A TorchScript archive in, the tensors of its module by name out, as `state_dict()` has them. The code in it is never read.

An archive is a zip: a pickle (data.pkl) has the module as an object of a class of the archive's own code, whose state is its
attributes, modules in it likewise, and each file below data/ has the numbers of a tensor. What the code computes with and no
attribute holds, as in a frozen module, has no name.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.storage import TypedStorage

from benchmark.model.weights import CheckpointError
from benchmark.transfer import inert
from benchmark.transfer.arrays import names_in

OWN = "__torch__"  # what modules of the archive's code are called by
MOST = 1_000_000  # names: of a module that holds one twice, which holds one twice, and so on, there is no end


class _Module(inert.StandIn):
    """In place of a module: its attributes by name"""


class _Unpickler(inert.Unpickler):
    """As of weights, with modules for what they are"""

    dispatch: ClassVar = dict(inert.Unpickler.dispatch)

    def __init__(self, archive: zipfile.ZipFile, folder: str):
        super().__init__(BytesIO(archive.read(f"{folder}data.pkl")))
        self.archive, self.folder = archive, folder
        self.storages: dict[str, TypedStorage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """See `inert.Unpickler`."""
        if module.partition(".")[0] == OWN:
            return _Module
        return inert.Builder(_first) if module == "torch.jit._pickle" else super().find_class(module, name)

    def persistent_load(self, said: Any) -> TypedStorage:
        """The numbers of a tensor, where they are"""
        _, kind, key, _, _ = said
        if key not in self.storages:
            content = bytearray(self.archive.read(f"{self.folder}data/{key}"))
            numbers = torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
            self.storages[key] = TypedStorage(wrap_storage=numbers.untyped_storage(), dtype=kind.dtype, _internal=True)
        return self.storages[key]

    def load_build(self) -> None:
        """The attributes of a module"""
        state = self.stack.pop()  # type: ignore[attr-defined]
        if isinstance(self.stack[-1], _Module) and isinstance(state, Mapping):  # type: ignore[attr-defined]
            self.stack[-1].update(state)  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def _first(value: Any, *rest: Any) -> Any:
    """A list, or what has its type beside it"""
    return value


def is_archive(path: Path) -> bool:
    """Whether a file is a zip with what only TorchScript writes."""
    return bool(_folder_of(path))


def read_archive(path: Path) -> dict[str, Tensor]:
    """Every tensor of a module, by name; raises `CheckpointError` where there is none, or the archive is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = dict(_tensors(_Unpickler(archive, _folder_of(path)).load(), ""))
    except (CheckpointError, MemoryError, OSError):
        raise
    except Exception as error:  # an unpickler raises whatever a foreign or damaged file makes it stumble over
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"checkpoint {path} is TorchScript, of which only tensors are read: {reason}; load it where it "
                              "is from, and save its state_dict()") from error
    if not found:
        raise CheckpointError(f"checkpoint {path} is TorchScript without weights by name, as torch.jit.freeze leaves it; save "
                              "the state_dict() of the module before it was frozen")
    return found


def _folder_of(path: Path) -> str:
    """In which the files of an archive of TorchScript are, with a slash after it; "" for any other file"""
    names = names_in(path)
    ends = {name.removesuffix("constants.pkl") for name in names if name.endswith("/constants.pkl")}
    return next((folder for folder in sorted(ends, key=len) if f"{folder}data.pkl" in names), "")


def _tensors(module: object, start: str) -> Iterator[tuple[str, Tensor]]:
    """Of a module, and of all in it; constants, lists and other values are no part of a state_dict"""
    waiting = [(start, module)]
    count = 0
    while waiting:
        start, module = waiting.pop()
        for name, value in module.items() if isinstance(module, _Module) else ():
            count += 1
            if count > MOST:
                raise ValueError(f"it has more than {MOST:,} parts")
            if isinstance(value, Tensor):
                yield f"{start}{name}", value
            elif isinstance(value, _Module):
                waiting.append((f"{start}{name}.", value))
