"""PartNet as it is distributed for semantic segmentation (sem_seg_h5), splits with parts out.

Clouds are normalised as all others are, and their points put in a random order of their own once, as the first of them make
the tokens.

Shapes: S samples, N points as stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmark.data.catalogue import Layout, Prepared, digests, find, items
from benchmark.data.embedded import DataError
from benchmark.data.examples import Examples
from benchmark.data.listing import Entry, Listing, Root
from benchmark.spec.recipes import SPLITS, Split
from tasks.partnet import CATEGORIES, OFFSETS
from tasks.points_official import Array, apart, label_of, load_bytes, normalised, parse_hdf5, read_lines

__all__ = ["LAYOUTS", "digests", "load"]

LEVEL = 3
STORED = 10_000  # points of a shape
NAMES = tuple(CATEGORIES)


def enumerate_files(root: Root) -> Listing:
    """The official lists of level 3 of every category"""
    splits: dict[Split, list[Entry]] = {split: [] for split in SPLITS}
    for category, name in enumerate(NAMES):
        folder = f"{name}-{LEVEL}"
        for split in SPLITS:
            splits[split] += [Entry(root.below(str(PurePosixPath(folder) / line)), str(category))
                              for line in read_lines(root.path / folder / f"{split}_files.txt")]
    return apart(Listing(splits, list(NAMES)), "PartNet")


def look(path: Path) -> None:
    """Read a file; raises `DataError`."""
    name = path.parent.name.removesuffix(f"-{LEVEL}")
    if name not in CATEGORIES:
        raise DataError(f"{path}: its folder is none of a category of level {LEVEL}")
    _parse(path.read_bytes(), path, NAMES.index(name))


def _parse(data: bytes, path: Path, category: int) -> tuple[Array, Array]:
    """(S, N, 3) float32, normalised, and the category's own labels (S, N)"""
    first, end = OFFSETS[category : category + 2]
    clouds, labels = parse_hdf5(data, path, "label_seg", STORED, end - first, of_points=True)
    return np.stack([normalised(cloud, f"{path}: cloud {index}") for index, cloud in enumerate(clouds)]), labels


def count_shapes(prepared: Prepared) -> dict[str, Any]:
    """Shapes by split, as a file holds many"""
    return {"shapes": {split: sum(len(labels) for _, labels, _ in _files(prepared, split)) for split in SPLITS}}


def _files(prepared: Prepared, split: Split) -> Iterator[tuple[Array, Array, int]]:
    """Clouds, the category's own labels, and the category, of every listed file"""
    for item in items(prepared, split):
        category = label_of(item, len(NAMES))
        yield *_parse(load_bytes(prepared, item), prepared.root / item.path, category), category


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of the first of the sets: "input" (N, 3) float32, "label" (N,) int16 among those of all categories, "category"."""
    import torch

    from benchmark.model.points import shuffle_points

    prepared = find(names[0])
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        parts = [(torch.zeros(0, STORED, 3), torch.zeros(0, STORED, dtype=torch.int16), torch.zeros(0, dtype=torch.int64))]
        for clouds, labels, category in _files(prepared, split):  # a file at a time: the whole set has gigabytes
            ordered = shuffle_points(torch.from_numpy(clouds), torch.from_numpy((labels + OFFSETS[category]).astype(np.int16)))
            parts.append((ordered[0], ordered[1], torch.full((len(clouds),), category)))
        points, label, category_of = (torch.cat(column) for column in zip(*parts, strict=True))
        splits[split] = Examples({"input": points, "label": label, "category": category_of})
        splits[split].note = prepared.note(split)
    return splits


LAYOUTS = (Layout("PartNet", f"ROOT/CATEGORY-{LEVEL}/{{train,val,test}}_files.txt of {len(NAMES)} categories and the .h5 files "
                  "that they name (sem_seg_h5)", enumerate_files, look, count_shapes),)
