"""Profile in, images of three splits out: RGB bytes (N, 3, H, W) and classes."""

from __future__ import annotations

from benchmark.contracts import SPLITS, Split
from benchmark.data import Examples, embedded


def digests(profile: str) -> dict[str, str]:
    """SHA-256 by data set; raises `DataError` for official data."""
    _need_embedded(profile)
    return {"image_emoji": embedded.check("image_emoji")[1]}


def load(profile: str) -> dict[Split, Examples]:
    """Every split; all drawings of one concept are in one split. Raises `DataError` for official data."""
    import torch

    _need_embedded(profile)
    arrays = embedded.load("image_emoji")
    return {split: Examples({"input": torch.from_numpy(arrays[f"x_{split}"]).permute(0, 3, 1, 2).contiguous(),
                             "label": torch.from_numpy(arrays[f"y_{split}"]).long()}) for split in SPLITS}


def _need_embedded(profile: str) -> None:
    if profile == "paper":
        raise embedded.DataError("imagenet: official data sets (ImageNet-1K) are not wired up yet in this version; "
                                 "use --profile tiny or small")
