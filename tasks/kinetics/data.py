"""Profile in, clips of three splits out: RGB bytes (N, 3, T, H, W) and classes."""

from __future__ import annotations

from benchmark.contracts import SPLITS, Split
from benchmark.data import Examples, embedded


def digests(profile: str) -> dict[str, str]:
    """SHA-256 by data set; raises `DataError` for official data."""
    _need_embedded(profile)
    return {"video_actions": embedded.check("video_actions")[1]}


def load(profile: str) -> dict[Split, Examples]:
    """Every split; all clips of one character family are in one split. Raises `DataError` for official data."""
    import torch

    _need_embedded(profile)
    arrays = embedded.load("video_actions")
    return {split: Examples({"input": torch.from_numpy(arrays[f"x_{split}"]).permute(0, 4, 1, 2, 3).contiguous(),
                             "label": torch.from_numpy(arrays[f"y_{split}"]).long()}) for split in SPLITS}


def _need_embedded(profile: str) -> None:
    if profile == "paper":
        raise embedded.DataError("kinetics: official data sets (Kinetics-400) are not wired up yet in this version; "
                                 "use --profile tiny or small")
