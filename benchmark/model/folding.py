"""A search over clouds in, the same under `torch.func.vmap` out: models of a stack have it as one search over all their clouds.

The searches are compiled loops and kernels, which `vmap` cannot look into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Search = Callable[..., Tensor]  # of clouds (B, ...) and a count, (B, ...) places


def folded(search: Search, count: int, *clouds: Tensor) -> Tensor:
    """`search(*clouds, count)`; an axis over which it is mapped is folded into that of the clouds."""
    found: Tensor = _Folded.apply(search, count, *clouds)
    return found


class _Folded(torch.autograd.Function):
    """A search has no gradient."""

    @staticmethod
    def forward(search: Search, count: int, *clouds: Tensor) -> Tensor:
        return search(*clouds, count)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return (None,) * (2 + len(gradients))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], search: Search, count: int, *clouds: Tensor) -> tuple[Tensor, int]:
        models = info.batch_size
        every = [cloud.movedim(axis, 0) if axis is not None else cloud.expand(models, *cloud.shape)
                 for cloud, axis in zip(clouds, in_dims[2:], strict=True)]
        return folded(search, count, *(cloud.flatten(0, 1) for cloud in every)).unflatten(0, (models, -1)), 0
