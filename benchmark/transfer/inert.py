"""Pickles of other people in, tensors and plain values out: nothing that a file names is imported or called.

Tensors and mappings are built for what they are. Every other class becomes an empty stand-in, so that arrays, paths, dates,
enumerations and arguments beside weights cost nothing; a call of anything else is refused by name. `torch.load` takes this
module as its `pickle_module`.
"""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, ClassVar

import torch
from torch import Tensor
from torch.serialization import StorageType

# What only holds values, by module; numpy's under the names of versions 1 and 2, Python's under those of 2 and 3.
BUILTINS = "object set frozenset bytearray bytes complex range slice int float str bool list tuple"
PATHS = "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath"
HOLDERS = {module: frozenset(names.split()) for module, names in {
    "_codecs": "encode", "argparse": "Namespace", "builtins": BUILTINS, "__builtin__": BUILTINS,
    "collections": "Counter deque", "copyreg": "_reconstructor", "copy_reg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone", "decimal": "Decimal", "fractions": "Fraction",
    "functools": "partial", "logging": "getLogger Logger RootLogger", "numpy": "dtype ndarray",
    "numpy.core.multiarray": "scalar _reconstruct", "numpy._core.multiarray": "scalar _reconstruct",
    "numpy.core.numeric": "_frombuffer", "numpy._core.numeric": "_frombuffer",
    "numpy.random._pickle": "__randomstate_ctor __generator_ctor __bit_generator_ctor",
    "numpy.random.bit_generator": "__pyx_unpickle_SeedSequence",
    "pathlib": PATHS, "pathlib._local": PATHS, "re": "_compile", "torch": "device",
    "torch.serialization": "_get_layout", "types": "SimpleNamespace", "uuid": "UUID SafeUUID",
    "zoneinfo": "ZoneInfo ZoneInfo._unpickle"}.items()}


class StandIn(dict[Any, Any]):
    """In place of an object of any class: takes what it is given, and keeps only what is set by key."""

    dump_patches = False  # which torch.load asks modules for
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __new__(cls, *values: Any, **named: Any) -> StandIn:
        return super().__new__(cls)

    def __init__(self, *values: Any, **named: Any):
        super().__init__()

    def __eq__(self, other: object) -> bool:
        return self is other

    def append(self, value: Any) -> None:
        """As a list has it; the value is not kept."""

    def extend(self, values: Any) -> None:
        """As a list has it; the values are not kept."""

    def add(self, value: Any) -> None:
        """As a set has it; the value is not kept."""


class Refused:
    """In place of what would do something: it may be named, and not called."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, *values: Any, **named: Any) -> Any:
        raise pickle.UnpicklingError(f"it would call {self.name}")


class Builder:
    """One of the few functions that are called."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[..., Any]):
        self.build = build

    def __call__(self, *values: Any) -> Any:
        return self.build(*values)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *rest: Any) -> Tensor:
    return torch._utils._rebuild_tensor(storage, offset, size, stride)  # type: ignore[no-any-return]


def _tensor_of_type(storage: Any, offset: int, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: torch.dtype,
                    *rest: Any) -> Tensor:
    return torch._utils._rebuild_tensor_v3(  # type: ignore[no-any-return]
        storage, offset, size, stride, False, OrderedDict(), dtype)


def _parameter(data: Tensor, *rest: Any) -> Tensor:
    return data


def _of_subclass(build: Any, kind: Any, values: Any, state: Any) -> Any:
    return build(*values)


def _mapping(factory: Any = None, *rest: Any) -> dict[Any, Any]:
    return {}


BUILDERS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict, "collections.defaultdict": Builder(_mapping), "builtins.dict": Builder(_mapping),
    "torch.storage.UntypedStorage": torch.UntypedStorage, "torch.UntypedStorage": torch.UntypedStorage,
    "torch._utils._rebuild_tensor": Builder(_tensor), "torch._utils._rebuild_tensor_v2": Builder(_tensor),
    "torch._utils._rebuild_tensor_v3": Builder(_tensor_of_type),
    "torch._utils._rebuild_parameter": Builder(_parameter),
    "torch._utils._rebuild_parameter_with_state": Builder(_parameter),
    "torch._tensor._rebuild_from_type_v2": Builder(_of_subclass)}


class Unpickler(pickle._Unpickler):  # in Python: the one in C sets aside as much memory as a damaged file asks for
    """Gives each name in a pickle what stands for it here."""

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """A builder, a new stand-in, or what refuses to be called; nothing is imported."""
        full = f"{module}.{name}"
        if full in BUILDERS:
            return BUILDERS[full]
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        if module == "torch" and name.endswith("Storage"):
            return StorageType(name)
        holds = name in HOLDERS.get(module, ())
        looks_like_a_class = name.rpartition(".")[2].lstrip("_")[:1].isupper()
        if holds or (looks_like_a_class and module.partition(".")[0] not in sys.stdlib_module_names | {"__builtin__"}):
            return type("StandIn", (StandIn,), {})
        return Refused(full)

    def load_build(self) -> None:
        """The state of an object is left: no object that is kept has any."""
        self.stack.pop()  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def load(file: IO[bytes], **options: Any) -> Any:
    """One pickle of an open file; raises whatever a foreign or damaged one makes it stumble over."""
    return Unpickler(file, **options).load()
