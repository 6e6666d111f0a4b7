"""ScanObjectNN as it is distributed in, splits of clouds out.

The clouds stay as they are, in farthest-point order, made once. Validation is a part of the training samples, chosen by
the hash of their names.

Shapes: S samples, N points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.data.catalogue import Layout, Prepared, digests, find
from benchmark.data.examples import Examples
from benchmark.data.listing import Listing, Root
from benchmark.spec.recipes import Split
from tasks.points_official import (
    Array,
    cached,
    count_kept,
    farthest_first,
    hdf5_clouds,
    hdf5_entries,
    notes,
    parse_hdf5,
    splits_of,
)

__all__ = ["LAYOUTS", "digests", "load"]

POINTS = 2048
OBJECTS = ("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow", "sink",
           "sofa", "toilet")
SCANS = {  # folder and ending of the two files of each variant
    "ScanObjectNN-OBJ_BG": ("main_split", "objectdataset"),
    "ScanObjectNN-OBJ_ONLY": ("main_split_nobg", "objectdataset"),
    "ScanObjectNN-PB_T50_RS": ("main_split", "objectdataset_augmentedrot_scale75"),
}


def enumerate_scans(folder: str, ending: str, root: Root) -> Listing:
    """The two files of a variant"""
    train, test = (hdf5_entries(root, [f"{folder}/{split}_{ending}.h5"], _read_scans) for split in ("training", "test"))
    return Listing({"train": train, "test": test}, list(OBJECTS))


def look_scans(path: Path) -> None:
    """Read the file; raises `DataError`."""
    _read_scans(path)


def _read_scans(path: Path, data: bytes | None = None) -> tuple[Array, Array]:
    return parse_hdf5(path.read_bytes() if data is None else data, path, "label", POINTS, len(OBJECTS))


def clouds_of(prepared: Prepared) -> dict[str, Array]:
    """"input_SPLIT" (S, 2048, 3) float32 in farthest-point order and "label_SPLIT" (S,) int64, made once; see `cached`."""
    made_by = (__name__, "tasks.points_official", "benchmark.model.points")
    return cached(prepared, made_by, lambda: hdf5_clouds(prepared, _read_scans, _ordered, POINTS))


def _ordered(named: tuple[str, Array]) -> Array:
    return farthest_first(named[1], POINTS)


def count_clouds(prepared: Prepared) -> dict[str, Any]:
    """See `tasks.points_official.count_kept`; makes the cache."""
    return count_kept(clouds_of(prepared))


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of a prepared variant: "input" (2048, 3) float32 in farthest-point order, and "label"."""
    (name,) = names
    prepared = find(name)
    splits = splits_of(prepared, clouds_of(prepared))
    if name.endswith("PB_T50_RS"):
        splits["val"].note = notes(splits["val"].note, "other views of its objects are in train")
    return splits


LAYOUTS = tuple(Layout(name, f"ROOT/{folder}/{{training,test}}_{ending}.h5", partial(enumerate_scans, folder, ending),
                       look_scans, count_clouds) for name, (folder, ending) in SCANS.items())
