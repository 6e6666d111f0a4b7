#!/usr/bin/env bash
# The gradient of a vector that is looked up many times is the sum of what comes back from each place. Where weights are bfloat16, torch
# sums most things in float32 and rounds once: a vector that is expanded, a matrix product, index_select, gather. On a CPU it sums the
# gradient of an embedding in bfloat16 itself, one place after the other, and 256 and 1 make 256 there. A modality or segment embedding of
# two rows, or a frequent word, is looked up thousands of times in a batch: of 20,000 ones its gradient is 256, of 20,000 numbers about 1
# with a deviation of 1 it is 6 % of what it should be. So a row's gradient follows how often it is used only up to a few hundred uses, and
# frequent rows learn like rare ones. nn.Embedding, its sparse form, EmbeddingBag and weight[index] are so; in float16 they stop at 2,048.
# index_select, gather and one_hot @ weight of the very same are right. Nothing is said. Weights of float32 under autocast have none of it.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn import functional

LENGTH = 20_000
WIDTH = 64
places = torch.zeros(LENGTH, dtype=torch.long)
ways = {
    "embedding": lambda weight: functional.embedding(places, weight),
    "sparse embedding": lambda weight: functional.embedding(places, weight, sparse=True),
    "embedding_bag": lambda weight: functional.embedding_bag(places, weight, torch.arange(LENGTH), mode="sum"),
    "weight[index]": lambda weight: weight[places],
    "index_select": lambda weight: weight.index_select(0, places),
    "gather": lambda weight: weight.gather(0, places[:, None].expand(LENGTH, WIDTH)),
    "one_hot @ weight": lambda weight: functional.one_hot(places, 2).to(weight.dtype) @ weight,
    "expand": lambda weight: weight[:1].expand(LENGTH, WIDTH),
}


def share(way: str, dtype: torch.dtype, coming: torch.Tensor) -> tuple[float, float]:
    """The mean gradient of row 0, and its share of the sum in float64"""
    weight = torch.zeros(2, WIDTH, dtype=dtype, requires_grad=True)
    ways[way](weight).backward(coming.to(dtype))
    gradient = weight.grad.coalesce().to_dense() if weight.grad.is_sparse else weight.grad
    found = float(gradient[0].double().mean())
    return found, found / float(coming.to(dtype).double().sum(0).mean())


print(f"torch {torch.__version__}; one row that is looked up {LENGTH:,} times")
ones = torch.ones(LENGTH, WIDTH)
drawn = 1 + torch.randn(LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))
lost = {}
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    for way in ways:
        (sum_of_ones, part_of_ones), (_, part) = share(way, dtype, ones), share(way, dtype, drawn)
        lost[dtype, way] = part_of_ones < 0.9 and part < 0.9
        print(f"{dtype}, {way}: gradient of ones {sum_of_ones:.0f}; of numbers about 1 {100 * part:.1f} % of the right one")
by_place = {"embedding", "sparse embedding", "embedding_bag", "weight[index]"}
sys.exit(0 if all(gone == (way in by_place and dtype != torch.float32) for (dtype, way), gone in lost.items()) else 1)
PYTHON
