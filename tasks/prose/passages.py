"""Stored passages in, windows of one-hot characters out, sample by sample: no sample's result depends on its batch.

Shapes: B batch, L characters stored, W of the window that a model sees, K kinds of characters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.data.characters import CHARACTERS
from benchmark.data.seeds import SampleRandom

WINDOW = 128  # characters that a model sees
STRENGTHS = {"crop": "share of the characters beside the window over which its start is drawn",
             "typos": "share of the characters that are replaced, each by any one"}


def prepare_passages(codes: Tensor, random: SampleRandom | None, strengths: Mapping[str, float]) -> Tensor:
    """(B, L) codes -> (B, K, W) float32: the middle of the passage, or a window drawn around it, with mistypings.

    Raises `ValueError` for an augmentation that passages do not have, and for passages shorter than the window.
    """
    if unknown := sorted(set(strengths) - set(STRENGTHS)):
        raise ValueError(f"unknown augmentation {unknown[0]!r} of passages; they have {', '.join(STRENGTHS)}")
    spare = codes.shape[1] - WINDOW
    if spare < 0:
        raise ValueError(f"passages of {codes.shape[1]} characters are shorter than the window of {WINDOW}")
    codes = codes.long()
    first = torch.full((len(codes),), spare // 2, device=codes.device)
    if random is not None and strengths.get("crop"):
        room = int(spare * strengths["crop"])
        first = (spare - room) // 2 + random.integers("crop", room + 1, 1)[:, 0]
    window = codes.gather(1, first[:, None] + torch.arange(WINDOW, device=codes.device))
    if random is not None and strengths.get("typos"):
        wrong = random.uniform("typos", WINDOW) < strengths["typos"]
        window = torch.where(wrong, random.integers("typed", CHARACTERS, WINDOW), window)
    return functional.one_hot(window, CHARACTERS).movedim(2, 1).float()
