"""What a trained model says of every sample of the test split, a file beside the record out, and back. No torch.

Arrays of N samples, by what the task gives (`Task.outputs`). One label: "label", "predicted" (N,) and "probability" (N,)
of the true class. Several tags: "label" (N, C) bool and "score" (N, C), logits in eighths, which lie between -16 and 16.
Points: "correct" (N,), the share of a shape's points that get the right part. In a run's working folder the file is whole:
logits as they are, and "correct" (N, P) by point.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.arrays import read_arrays, write_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

FILE = "outputs.npz"
MAX_BYTES = 64 * 2**20  # of a file that is read, unpacked
STEP = 0.125  # of logits as they are kept
NAMES = {"label", "predicted", "probability", "score", "correct"}


def write_outputs(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Whole or not at all; the same bytes for the same arrays."""
    write_arrays(path, arrays)


def keep_small(work: Path, folder: Path) -> None:
    """Leave in `folder`, beside the record, a small copy of what a run left in its working folder, where it left any."""
    import numpy as np

    kept = _load(work / FILE)
    if "correct" in kept and kept["correct"].ndim > 1:
        kept["correct"] = kept["correct"].mean(1, dtype=np.float64).astype(np.float16)
    if "score" in kept:
        kept["score"] = np.clip(np.rint(kept["score"].astype(np.float32) / STEP), -127, 127).astype(np.int8)
    write_outputs(folder / FILE, kept)


def read_outputs(path: Path) -> Arrays | None:
    """None where there are none; raises `ValueError` in one line for a file that is damaged or no such file.

    Scores are logits again, and the smaller types those that numpy computes in.
    """
    import numpy as np

    arrays = _load(path)
    if "score" in arrays and arrays["score"].dtype == np.int8:
        arrays["score"] = arrays["score"] * np.float64(STEP)
    return {name: array if array.dtype == bool else array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
            for name, array in arrays.items()} or None


def _load(path: Path) -> Arrays:
    """As they are stored; {} where there are none."""
    return read_arrays(path, f"outputs {path.parent.name}/{path.name}", "outputs", MAX_BYTES, _fits)


def _fits(arrays: Arrays) -> bool:
    """Whether they are some of those that a task gives, of as many samples each"""
    return bool(arrays) and not set(arrays) - NAMES and len({array.shape[:1] for array in arrays.values()} - {()}) == 1
