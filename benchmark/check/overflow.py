"""What torch computes meanwhile in; where small whole numbers went beyond what their type holds, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SMALL = (torch.uint8, torch.int8, torch.int16)  # what inputs are stored in; hashes wrap larger ones on purpose
ARITHMETIC = {"add", "sub", "rsub", "mul", "neg", "pow", "abs"}
CONVERSIONS = {"_to_copy": 0, "copy_": 1}  # by name, the place of what is converted


class Overflow(TorchDispatchMode):
    """Notes under `found` the first operation in a `with` block whose result wrapped around, which no library says. What numpy
    computes is not seen."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.found = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        plain = name.removesuffix("_")
        wanted = args[CONVERSIONS[name]] if name in CONVERSIONS else None
        if plain in ARITHMETIC and any(isinstance(one, Tensor) and one.dtype in SMALL for one in args):
            wide = [one.long() if isinstance(one, Tensor) and one.dtype in SMALL else one for one in args]
            wanted = getattr(torch.ops.aten, plain)(*wide, **kwargs)  # before `args`, which may be altered in place
        result = func(*args, **kwargs)
        if not self.found and isinstance(wanted, Tensor) and isinstance(result, Tensor) and result.dtype in SMALL:
            self.found = _beyond(wanted, result.dtype)
        return result


def _beyond(wanted: Tensor, kind: torch.dtype) -> str:
    """What is said of values that a type does not hold; "" where it holds them all"""
    limits, name = torch.iinfo(kind), str(kind).removeprefix("torch.")
    whole = wanted.trunc() if wanted.is_floating_point() else wanted.long()
    odd = whole[(whole < limits.min) | (whole > limits.max)]
    if not odd.numel():
        return ""
    return (f"makes {odd.flatten()[0].item():g} in {name}, which holds {limits.min} to {limits.max} and wraps around in "
            "silence; compute with floats: batch['input'].float()")
