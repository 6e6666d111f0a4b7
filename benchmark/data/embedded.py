"""Name of an embedded data set in, its checked arrays out."""

from __future__ import annotations

import functools
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

FOLDER = Path(__file__).parent / "embedded"

DIGESTS = {
    "audio_tags": "f2d239ba868acd4766608488ea2e87b216d9970f473cb26194d9d5a6866d6a03",
    "audio_tags_wave_ogg": "e0bcbd90f6c01b0087c70b15f452978e852369ca506c513056b8e1dffc5fb629",
    "image_emoji": "0ff420b8d64b7fd50400295b0cb506ecf9aa3539855df82fe52c548e46e3444f",
    "pointcloud_cls": "27368ef86f5a6490053013dd61c4c28255f9b9a82526ab6d3490a9b50eec0e75",
    "pointcloud_seg": "1a996ff571b07f0af3a9a2fb8bb05e6c2ef97f1c463226c34a79af35239b5a63",
    "text_topics": "bc5d0fc1fb7fa5388ad1862e717d12bbe6a3d376196595f01dc344e8588e6b19",
    "video_actions": "9b32344120f49a583afec007c4d1f399bfee56f5346220b3b7ce19ef81932174",
}


class DataError(ValueError):
    """A data set is missing, damaged or not of its documented layout."""


def check(name: str) -> tuple[Path, str]:
    """The path and SHA-256 of set `name`; raises `DataError` where its file is missing or damaged, or it is official."""
    if name not in DIGESTS:
        raise DataError(f"data set {name} is not embedded; embedded are {', '.join(DIGESTS)}; a profile of "
                        "official data names the module that reads it (reader)")
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        raise DataError(f"embedded data set {path} is missing; restore it with: git checkout -- {path.name}, or reinstall")
    return path, _checked_digest(path, path.stat().st_mtime_ns)


@functools.lru_cache
def _checked_digest(path: Path, _modified_ns: int) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = DIGESTS[path.stem]
    if digest != expected:
        raise DataError(f"embedded data set {path} is damaged (sha256 {digest[:12]}..., expected {expected[:12]}...); "
                        "restore it with: git checkout, or reinstall")
    return digest


def arrays_of(name: str) -> dict[str, np.ndarray]:
    """Every array of embedded set `name`; raises `DataError` as `check` does."""
    import numpy as np  # not for those who only ask for a digest

    path, _ = check(name)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"embedded data set {path} cannot be read: {error}") from error


def digests(names: Sequence[str]) -> dict[str, str]:
    """SHA-256 of each set; raises `DataError` as `check` does."""
    return {name: check(name)[1] for name in names}
