"""Loops that a GPU runs in one launch where torch needs one for every point or layer: Triton compiles each at its first call.

Only to be imported where `loops.has_kernels` says so: with torch for CUDA comes Triton, which needs a C compiler. With
TRITON_INTERPRET=1 from the start they run on a CPU, slowly, to be looked at and tested.

Shapes: B clouds, N points, S samples, L layers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

MAX_POINTS = 1 << 15  # that the registers of one program hold
TILE = 1024  # numbers of a layer that one program takes
PARTS = 1024  # partial sums that are added at once
# A layer's row in the table: addresses of W, A and s, each followed by those of its two moments, ...
WEIGHT, AUXILIARY, SCALE = tl.constexpr(0), tl.constexpr(3), tl.constexpr(6)
# ... of the gradient of the sum, the sum, and the gradient of s where it is known already (0 where it is not), ...
GRADIENT, SUM, HELD = tl.constexpr(9), tl.constexpr(10), tl.constexpr(11)
# ... of the counts of steps and the learning rates of W, A and s; how many numbers, the first tile, how many tiles; ...
COUNT, LR, NUMEL, FIRST, TILES = (tl.constexpr(column) for column in (12, 15, 18, 19, 20))
# ... and of W, A and s, as bits of a double each: 1 - beta1, 1 - beta2, log beta1, log beta2, epsilon, weight decay.
SETTINGS, PER_SETTING = tl.constexpr(21), tl.constexpr(6)
WIDTH = tl.constexpr(39)
# A layer's row of rates: s before and after, then of W and of A what `_adamw` reads.
RATES, PER_RATE = tl.constexpr(16), tl.constexpr(7)


def farthest(points: Tensor, num_samples: int) -> Tensor:
    """(B, N, 3) float32 -> (B, S) places: point 0, then each time the first of those farthest from the chosen ones.

    One program a cloud. Every operation is rounded by itself, as in `loops.farthest`, whose places these are.
    """
    points = points.contiguous()
    clouds, count, _ = points.shape
    chosen = torch.empty(clouds, num_samples, dtype=torch.int64, device=points.device)
    block = triton.next_power_of_2(count)
    with _placed(points.device):
        _farthest[(clouds,)](points, chosen, count, num_samples, BLOCK=block, num_warps=min(16, max(1, block // 256)),
                             enable_fp_fusion=False)
    return chosen


def step_pathways(table: Tensor, layers: Tensor, partial_sums: Tensor, rates: Tensor, aligned: bool, held: bool) -> None:
    """AdamW over W, A and s of L layers, and their sums: three launches, deterministic, nothing waits for the device.

    `table` (L, WIDTH) int64, see above; `layers` (tiles,) int32, the layer of each tile; `partial_sums` (tiles,) and
    `rates` (L, RATES) float32 are room to work in. `aligned`: whether all addresses and lengths of W, A, their moments,
    gradients and sums are multiples of 16 and 4; `held`: whether every layer knows the gradient of its scale.
    """
    with _placed(table.device):
        if not held:
            _dots[(len(layers),)](table, layers, partial_sums, TILE, aligned, num_warps=4)
        _scales[(len(table),)](table, partial_sums, rates, PARTS, num_warps=1)
        _step[(len(layers),)](table, layers, rates, TILE, aligned, num_warps=4)


def _placed(device: torch.device) -> AbstractContextManager[object]:
    """Launches go to the current device, which need not be the tensors'."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@triton.jit
def _farthest(points, chosen, count, num_samples, BLOCK: tl.constexpr):
    cloud = tl.program_id(0).to(tl.int64)
    points += cloud * count * 3
    chosen += cloud * num_samples
    places = tl.arange(0, BLOCK)
    inside = places < count
    x = tl.load(points + places * 3, inside, 0.0)
    y = tl.load(points + places * 3 + 1, inside, 0.0)
    z = tl.load(points + places * 3 + 2, inside, 0.0)
    nearest = tl.where(inside, float("inf"), -1.0)
    tl.store(chosen, 0)
    last = 0
    for step in range(1, num_samples):
        across = x - tl.load(points + last * 3)
        along = y - tl.load(points + last * 3 + 1)
        up = z - tl.load(points + last * 3 + 2)
        nearest = tl.minimum(nearest, across * across + along * along + up * up)
        nearest = tl.where(inside, nearest, -1.0)
        last = tl.minimum(tl.argmax(nearest, 0), count - 1)  # of what is no number any place will do, but inside
        tl.store(chosen + step, last.to(tl.int64))


@triton.jit
def _at(row, column: tl.constexpr, ALIGNED: tl.constexpr):
    address = tl.load(row + column).to(tl.pointer_type(tl.float32))
    if ALIGNED:
        address = tl.multiple_of(address, 16)
    return address


@triton.jit
def _tile(row, tile, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    """Where a tile of a layer starts, and which of its places are inside"""
    start = (tile - tl.load(row + FIRST)) * BLOCK
    count = tl.load(row + NUMEL)
    if ALIGNED:
        count = tl.multiple_of(count, 4)
    return start, tl.arange(0, BLOCK) < count - start


@triton.jit
def _dots(table, layers, partial_sums, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    tile = tl.program_id(0)
    row = table + tl.load(layers + tile) * WIDTH
    start, inside = _tile(row, tile, BLOCK, ALIGNED)
    places = tl.arange(0, BLOCK)
    gradient = tl.load(_at(row, GRADIENT, ALIGNED) + start + places, inside, 0.0)
    auxiliary = tl.load(_at(row, AUXILIARY, ALIGNED) + start + places, inside, 0.0)
    tl.store(partial_sums + tile, tl.sum(gradient * auxiliary, 0))


@triton.jit
def _setting(row, which: tl.constexpr, column: tl.constexpr):
    return tl.load(row + SETTINGS + which * PER_SETTING + column).to(tl.float64, bitcast=True)


@triton.jit
def _counted(row, which: tl.constexpr):
    """Count a step of W (0), A (1) or s (2); what `_adamw` needs of it, as doubles."""
    count = _at(row, COUNT + which, False)
    steps = tl.load(count) + 1
    tl.store(count, steps)
    lr = tl.load(_at(row, LR + which, False)).to(tl.float64)
    steps = steps.to(tl.float64)
    new, new_second = _setting(row, which, 0), _setting(row, which, 1)
    rate = lr / (1 - tl.exp(steps * _setting(row, which, 2)))
    root = tl.sqrt(1 - tl.exp(steps * _setting(row, which, 3)))
    return 1 - lr * _setting(row, which, 5), new, 1 - new_second, new_second, rate, root, _setting(row, which, 4)


@triton.jit
def _counted_and_kept(row, which: tl.constexpr, rate):
    kept, new, old_second, new_second, step, root, eps = _counted(row, which)
    tl.store(rate, kept.to(tl.float32))
    tl.store(rate + 1, new.to(tl.float32))
    tl.store(rate + 2, old_second.to(tl.float32))
    tl.store(rate + 3, new_second.to(tl.float32))
    tl.store(rate + 4, step.to(tl.float32))
    tl.store(rate + 5, root.to(tl.float32))
    tl.store(rate + 6, eps.to(tl.float32))


@triton.jit
def _scales(table, partial_sums, rates, BLOCK: tl.constexpr):
    """The step of s, which is little work, in doubles; and the rates of W and A."""
    layer = tl.program_id(0)
    row, rate = table + layer * WIDTH, rates + layer * RATES
    held = tl.load(row + HELD)
    if held != 0:
        gradient = tl.load(held.to(tl.pointer_type(tl.float32))).to(tl.float64)
    else:
        partial_sums += tl.load(row + FIRST)
        tiles = tl.load(row + TILES)
        total = tl.zeros([BLOCK], tl.float64)
        for start in range(0, tiles, BLOCK):
            places = start + tl.arange(0, BLOCK)
            total += tl.load(partial_sums + places, places < tiles, 0.0).to(tl.float64)
        gradient = tl.sum(total, 0)
    kept, new, old_second, new_second, step, root, eps = _counted(row, 2)
    first, second = tl.load(_at(row, SCALE + 1, False)), tl.load(_at(row, SCALE + 2, False))
    first = first + new * (gradient - first)
    second = old_second * second + new_second * gradient * gradient
    scale = tl.load(_at(row, SCALE, False))
    tl.store(rate, scale)
    scale = (scale * kept - step * first / (tl.sqrt(second) / root + eps)).to(tl.float32)
    tl.store(rate + 1, scale)
    tl.store(_at(row, SCALE, False), scale)
    tl.store(_at(row, SCALE + 1, False), first.to(tl.float32))
    tl.store(_at(row, SCALE + 2, False), second.to(tl.float32))
    _counted_and_kept(row, 0, rate + 2)
    _counted_and_kept(row, 1, rate + 2 + PER_RATE)


@triton.jit
def _adamw(row, column: tl.constexpr, places, inside, gradient, rate, ALIGNED: tl.constexpr):
    """Step what is at `column` of the table, with its moments; what it is then."""
    values = _at(row, column, ALIGNED) + places
    firsts = _at(row, column + 1, ALIGNED) + places
    seconds = _at(row, column + 2, ALIGNED) + places
    first, second = tl.load(firsts, inside, 0.0), tl.load(seconds, inside, 0.0)
    first += tl.load(rate + 1) * (gradient - first)
    second = tl.load(rate + 2) * second + tl.load(rate + 3) * gradient * gradient
    size = tl.div_rn(tl.sqrt_rn(second), tl.load(rate + 5)) + tl.load(rate + 6)
    value = tl.load(values, inside, 0.0) * tl.load(rate) - tl.div_rn(tl.load(rate + 4) * first, size)
    tl.store(firsts, first, inside)
    tl.store(seconds, second, inside)
    tl.store(values, value, inside)
    return value


@triton.jit
def _step(table, layers, rates, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    tile = tl.program_id(0)
    layer = tl.load(layers + tile)
    row, rate = table + layer * WIDTH, rates + layer * RATES
    start, inside = _tile(row, tile, BLOCK, ALIGNED)
    places = start + tl.arange(0, BLOCK)
    gradient = tl.load(_at(row, GRADIENT, ALIGNED) + places, inside, 0.0)
    weight = _adamw(row, WEIGHT, places, inside, gradient, rate + 2, ALIGNED)
    auxiliary = _adamw(row, AUXILIARY, places, inside, tl.load(rate) * gradient, rate + 2 + PER_RATE, ALIGNED)
    tl.store(_at(row, SUM, ALIGNED) + places, weight + tl.load(rate + 1) * auxiliary, inside)
