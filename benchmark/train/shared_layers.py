"""Layers that look at a whole batch, or draw random numbers for it, in; the same for a batch that processes share, out.

Shapes: B rows of a micro-batch, n of them a process's own, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, distributed, nn

from benchmark.train.team import Rows

BatchNorm = nn.modules.batchnorm._BatchNorm
PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # others may do anything in their `forward`


@dataclass
class AtHand:
    """The micro-batch that is computed."""

    rank: int
    rows: Rows | None = None


class SharedDropping(nn.Module):
    """Drop path or dropout, drawn for all rows by the very call of one process; each process takes the mask of its own."""

    def __init__(self, dropping: DropPath | nn.Dropout, at_hand: AtHand):
        super().__init__()
        self.dropping, self.at_hand = dropping, at_hand

    def forward(self, x: Tensor) -> Tensor:
        """(n k, ...), the same"""
        rows = self.at_hand.rows
        if not self.training or rows is None:
            return x
        own = rows.everyone[self.at_hand.rank]
        each, rest = divmod(len(x), len(own))
        if rest:
            raise ValueError(f"{type(self.dropping).__name__} is given {len(x)} rows of {len(own)} samples; its first axis "
                             "must be that of samples, for several processes to share a run")
        of = x.shape[1:] if isinstance(self.dropping, nn.Dropout) else [1] * (x.ndim - 1)
        mask: Tensor = self.dropping(x.new_ones(rows.total * each, *of))
        if each > 1:
            own = (own[:, None] * each + torch.arange(each)).flatten()
        return x * mask[own.to(x.device)]


class SharedNorm(BatchNorm):
    """A batch norm by the mean and variance of all processes' rows; it takes over the weights and buffers of `norm`."""

    def __init__(self, norm: BatchNorm, channel_axis: int):
        nn.Module.__init__(self)
        self.__dict__.update({name: value for name, value in vars(norm).items() if not name.startswith("__")})
        self.axis = channel_axis

    def _check_input_dim(self, input: Tensor) -> None:
        """Any"""

    def forward(self, x: Tensor) -> Tensor:
        """(n, ..., C) or (n, C, ...), the same"""
        rows = x.movedim(self.axis, -1)
        if not self.training and self.running_mean is not None:
            return super().forward(rows.flatten(0, -2)).view(rows.shape).movedim(-1, self.axis)
        exact = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
        normalised, mean, variance, count = _Normalise.apply(exact.flatten(0, -2), self.eps)
        if self.training and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            factor = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
            self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), factor)
        if self.affine:
            normalised = normalised * self.weight + self.bias
        shaped: Tensor = normalised.view(rows.shape).to(x.dtype).movedim(-1, self.axis)
        return shaped


class _Normalise(torch.autograd.Function):
    """(n, C) -> (x - mean) / sqrt(variance + eps), with mean and variance over the rows of all processes"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Also mean (C,), biased variance (C,) and the number of rows ()"""
        sums = torch.cat([x.sum(0), x.new_full((1,), len(x))])
        distributed.all_reduce(sums)
        count = sums[-1]
        mean = sums[:-1] / count
        centred = x - mean
        variance = centred.square().sum(0)
        distributed.all_reduce(variance)
        variance /= count
        deviation = (variance + eps).rsqrt()
        normalised = centred * deviation
        ctx.save_for_backward(normalised, deviation, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return normalised, mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None]:
        """With the sums over the rows of all processes, whose losses depend on these rows, too"""
        normalised, deviation, count = ctx.saved_tensors
        sums = torch.stack([gradient.sum(0), (gradient * normalised).sum(0)])
        distributed.all_reduce(sums)
        shift, slope = sums / count
        return (gradient - shift - normalised * slope) * deviation, None


def share_layers(model: nn.Module, at_hand: AtHand) -> None:
    """Replace what looks at a batch, or draws for it, in place; raises `ValueError` for a batch norm of another kind."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if (isinstance(child, DropPath) and child.drop_prob) or (isinstance(child, nn.Dropout) and child.p):
                setattr(module, name, SharedDropping(child, at_hand))
            elif isinstance(child, BatchNorm):
                axis = 1 if type(child) in PLAIN else vars(type(child)).get("channel_axis")
                if axis is None:
                    raise ValueError(f"several processes cannot share {type(child).__name__}, a batch norm that does not say "
                                     "by channel_axis where its channels are; train with one process")
                setattr(module, name, SharedNorm(child, axis))
