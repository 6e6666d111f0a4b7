"""ShapeNetPart and ShapeNet-55 as they are distributed in, splits with parts and the pool of pretraining out.

ShapeNetPart: normalised over all points, then 2048 drawn with replacement, as in the released code; ours are drawn once for
each shape, theirs anew at every reading. HDF5 files (PointNet's) have 2048 points of each shape: all of them, normalised.
The official validation split is ours; the paper trains on it too.

ShapeNet-55: a random part of each cloud's 8192 points for every epoch, normalised after the choice, as in Point-MAE. Its
list "train" is the pool.

Shapes: B batch, S samples, N points as stored, K points kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from benchmark.data.catalogue import Item, Layout, Prepared, digests, find, items
from benchmark.data.embedded import DataError
from benchmark.data.examples import Batch, Examples
from benchmark.data.listing import Entry, Listing, Root, one_sided, read_text
from benchmark.spec.recipes import SPLITS, Split
from tasks.points_official import (
    Array,
    apart,
    cached,
    each,
    hdf5_entries,
    label_of,
    listed,
    load_bytes,
    normalised,
    notes,
    parse_array,
    parse_hdf5,
    parse_table,
    read_lines,
    stack,
)
from tasks.shapenet import PART_OFFSETS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from benchmark.data.seeds import SampleRandom
    from benchmark.spec.recipes import ModelShape, OptimRecipe

__all__ = ["LAYOUTS", "digests", "load", "load_pool"]

PARTS, POOL = "ShapeNetPart", "ShapeNet-55"
CATEGORIES = ("Airplane", "Bag", "Cap", "Car", "Chair", "Earphone", "Guitar", "Knife", "Lamp", "Laptop", "Motorbike", "Mug",
              "Pistol", "Rocket", "Skateboard", "Table")  # in the order of their parts
OFFSETS = PART_OFFSETS[50]
SYNSETS = "synsetoffset2category.txt"
KEPT = 2048  # points of a shape with parts
HDF5_LIST = "{}_hdf5_file_list.txt"
STORED = 8192  # points of a cloud of the pool


def enumerate_parts(source: Root) -> Listing:
    """The three official lists, of texts or of HDF5 files"""
    root, splits = source.path, dict[Split, list[Entry]]()
    if (root / HDF5_LIST.format("train")).is_file():
        for split in SPLITS:
            splits[split] = hdf5_entries(source, read_lines(root / HDF5_LIST.format(split)), _read_categories_of)
        return apart(Listing(splits, list(CATEGORIES)), PARTS)
    categories = read_categories(root / SYNSETS)
    for split in SPLITS:
        path = root / "train_test_split" / f"shuffled_{split}_file_list.json"
        try:
            lines = json.loads(read_text(path))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"list {path} cannot be read: {error}") from error
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise DataError(f"list {path} is no list of names such as shape_data/02691156/1a04e3eab45ca15dd86060f189eb133")
        paths = [source.below(line).removeprefix("shape_data/") + ".txt" for line in lines]
        splits[split] = [Entry(name, str(categories.get(name.split("/")[0], ""))) for name in paths]
    problems = one_sided(splits["train"], splits["test"], CATEGORIES)
    return apart(Listing(splits, list(CATEGORIES), problems), PARTS)


def read_categories(path: Path) -> dict[str, int]:
    """Category by synset, its number that of the order of parts, whatever the order of lines; raises `DataError`."""
    return dict(_read_categories(path, path.stat().st_mtime_ns if path.is_file() else 0))


@lru_cache
def _read_categories(path: Path, _modified_ns: int) -> Mapping[str, int]:
    found = {}
    for line in read_lines(path):
        name, _, synset = line.replace("\t", " ").partition(" ")
        if name not in CATEGORIES or not synset.strip():
            raise DataError(f"{path} has the line {line!r}; expected a name of {', '.join(CATEGORIES)} and a synset")
        found[synset.strip()] = CATEGORIES.index(name)
    return found


def look_parts(path: Path) -> None:
    """Read a shape, or a file of many; raises `DataError`."""
    if path.suffix == ".h5":
        _parse_hdf5(path.read_bytes(), path)
        return
    category = read_categories(path.parents[1] / SYNSETS).get(path.parent.name)
    if category is None:
        raise DataError(f"{path}: its category is not in {path.parents[1] / SYNSETS}")
    _parse_shape(path.read_bytes(), path, category)


def _parse_shape(data: bytes, path: Path, category: int) -> tuple[Array, Array]:
    """(N, 3) float32, normalised, and parts (N,) int64 of the lines x y z nx ny nz label"""
    table = parse_table(data, path, 7)
    parts, (first, end) = table[:, 6], OFFSETS[category : category + 2]
    if (parts % 1).any() or parts.min() < first or parts.max() >= end:
        raise DataError(f"{path} has parts from {parts.min():g} to {parts.max():g}; those of {CATEGORIES[category]} are "
                        f"{first} to {end - 1}")
    return normalised(table[:, :3], path), parts.astype(np.int64)


def _read_categories_of(path: Path) -> tuple[Array, Array]:
    return parse_hdf5(path.read_bytes(), path, "label", KEPT, len(CATEGORIES))


def _parse_hdf5(data: bytes, path: Path) -> tuple[Array, Array, Array]:
    """(S, K, 3) float32, normalised, parts (S, K) and categories (S,) of "data", "pid" and "label"; raises `DataError`."""
    clouds, parts = parse_hdf5(data, path, "pid", KEPT, OFFSETS[-1], of_points=True)
    categories = parse_hdf5(data, path, "label", KEPT, len(CATEGORIES))[1]
    for index, (part, category) in enumerate(zip(parts, categories, strict=True)):
        first, end = OFFSETS[category : category + 2]
        if part.min() < first or part.max() >= end:
            raise DataError(f"{path}#{index} has parts from {part.min()} to {part.max()}; those of {CATEGORIES[category]} are "
                            f"{first} to {end - 1}")
    return np.stack([normalised(cloud, f"{path}#{index}") for index, cloud in enumerate(clouds)]), parts, categories


def _make_shape(prepared: Prepared, item: Item) -> tuple[Array, Array]:
    """(K, 3) float32 and parts (K,) int8 of a shape, drawn with replacement by the hash of its name"""
    from benchmark.data.seeds import derive_seed

    points, parts = _parse_shape(load_bytes(prepared, item), prepared.root / item.path, label_of(item, len(CATEGORIES)))
    chosen = np.random.default_rng(derive_seed(0, "points", item.path)).integers(0, len(points), KEPT)
    return points[chosen], parts[chosen].astype(np.int8)


def shapes_of(prepared: Prepared) -> dict[str, Array]:
    """"input_SPLIT" (S, K, 3) float32, "label_SPLIT" (S, K) int8 and "category_SPLIT" (S,) int64, made once."""
    return cached(prepared, (__name__, "tasks.points_official", "benchmark.data.seeds"), partial(make_shapes, prepared))


def make_shapes(prepared: Prepared) -> dict[str, Array]:
    """The shapes of a data set as they were distributed, by what they are and their split."""
    arrays: dict[str, Array] = {}
    for split, found in listed(prepared).items():
        if _is_hdf5(found):
            columns = zip(*(_parse_hdf5(load_bytes(prepared, item), prepared.root / item.path) for item in found), strict=True)
            points, labels, categories = (np.concatenate(column) for column in columns)
            arrays |= {f"input_{split}": points, f"label_{split}": labels.astype(np.int8), f"category_{split}": categories}
            continue
        shapes = each(partial(_make_shape, prepared), found)
        arrays[f"input_{split}"] = stack([points for points, _ in shapes], (KEPT, 3), np.float32)
        arrays[f"label_{split}"] = stack([parts for _, parts in shapes], (KEPT,), np.int8)
        arrays[f"category_{split}"] = np.array([label_of(item, len(CATEGORIES)) for item in found], np.int64)
    return arrays


def _is_hdf5(found: Sequence[Item]) -> bool:
    return bool(found) and found[0].path.endswith(".h5")


def measure_chance(prepared: Prepared) -> dict[str, Any]:
    """What labelling every point with its category's most frequent part of train reaches on test; makes the cache."""
    import torch

    from tasks.shapenet.model import PartMeter

    arrays = shapes_of(prepared)
    counts = np.zeros((len(CATEGORIES), OFFSETS[-1]))
    for parts, category in zip(arrays["label_train"], arrays["category_train"], strict=True):
        counts[category] += np.bincount(parts, minlength=OFFSETS[-1])
    meter, answers = PartMeter(OFFSETS), torch.from_numpy(counts)
    for parts, category in zip(arrays["label_test"], arrays["category_test"], strict=True):
        label = torch.from_numpy(parts.astype(np.int64))[None]
        meter.update(answers[category].expand(1, KEPT, -1), {"label": label, "category": torch.tensor([category])})
    return {f"most frequent part, {name}": round(value, 2) for name, value in meter.compute().items()}


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of the first of the sets: "input" (K, 3) float32, "label" (K,) and "category"."""
    import torch

    prepared = find(names[0])
    arrays = shapes_of(prepared)
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        columns = {name: torch.from_numpy(arrays[f"{name}_{split}"]) for name in ("input", "label", "category")}
        splits[split] = Examples({**columns, "label": columns["label"].long()})
        splits[split].note = notes(prepared.note(split), "without the official validation split, which the paper trains on too"
                                   if split == "train" else "")
    return splits


def enumerate_pool(source: Root) -> Listing:
    """The lists of ShapeNet-55"""
    splits: dict[Split, list[str]] = {}
    lists: tuple[Split, Split] = ("train", "test")
    for split in lists:
        splits[split] = read_lines(source.path / POOL / f"{split}.txt")
    classes = sorted({line.partition("-")[0] for lines in splits.values() for line in lines})
    labels = {name: str(label) for label, name in enumerate(classes)}
    return apart(Listing({split: [Entry(f"shapenet_pc/{line}", labels[line.partition("-")[0]]) for line in lines]
                          for split, lines in splits.items()}, classes), POOL)


def look_pool(path: Path) -> None:
    """Read a cloud; raises `DataError`."""
    normalised(parse_array(path.read_bytes(), path, (STORED, 3)), path)


class Subsampled(Examples):
    """Clouds of which every epoch sees other points, with the mean of those at 0 and the farthest at distance 1.

    The choice is that of `benchmark.model.points.prepare_points`, which normalises nothing, so it is made here instead.
    """

    points = pool = 0

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """Strengths of the recipe"""
        other = self._with(self.columns)
        stored = self.columns["input"].shape[1]
        other.points = int(recipe.augment.get("points", 0))
        other.pool = min(int(recipe.augment.get("pool", 0)) or stored, stored)
        if other.points > other.pool:
            raise ValueError(f"augmentation asks for {other.points} of {other.pool} points")
        return other

    def remaining(self, strengths: Mapping[str, float]) -> Mapping[str, float]:
        """All but the choice of points, where that is made here"""
        return {name: value for name, value in strengths.items() if not self.points or name not in {"points", "pool"}}

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """See `Examples`; whole clouds, normalised."""
        batch = super().batch(indices, device)
        return {**batch, "input": normalise(batch["input"])}

    def stream(self, chosen: Sequence[Tensor], device: torch.device | str = "cpu",
               draw: Callable[[Tensor], SampleRandom] | None = None) -> Iterator[Batch]:
        """See `Examples`"""
        for indices in chosen:
            if draw is None or not self.points:
                yield self.batch(indices, device)
            else:
                yield self._choose(super().batch(indices, device), draw)

    def _choose(self, batch: Batch, draw: Callable[[Tensor], SampleRandom]) -> Batch:
        from benchmark.model.points import gather_points

        ids = draw(batch["index"]).uniform("points", self.pool).argsort(dim=1, stable=True)[:, : self.points]
        return {**batch, "input": normalise(gather_points(batch["input"], ids))}


def normalise(points: Tensor) -> Tensor:
    """(B, N, 3) -> (B, N, 3): the mean of each cloud at 0, its farthest point at distance 1"""
    centred = points - points.mean(1, keepdim=True)
    return centred / centred.square().sum(2).amax(1).sqrt()[:, None, None]


def load_pool(names: Sequence[str]) -> Examples:
    """The training list of ShapeNet-55: "input" (8192, 3) float32, see `Subsampled`.

    Noted is how many of its clouds are shapes that ShapeNetPart, where it is among `names`, is tested on; HDF5 files do not
    name their shapes.
    """
    import torch

    prepared = find(POOL)
    found = items(prepared, "train")
    points = torch.empty(len(found), STORED, 3)
    for place, item in enumerate(found):
        points[place] = torch.from_numpy(parse_array(load_bytes(prepared, item), prepared.root / item.path, (STORED, 3)))
    pool = Subsampled({"input": points})
    shared = ""
    if PARTS in names:
        used = items(find(PARTS), "test")
        tested = {item.path.removesuffix(".txt").replace("/", "-") for item in used}
        number = sum(PurePosixPath(item.path).stem in tested for item in found)
        shared = f"{number:,} of {len(found):,} clouds are test shapes of {PARTS}, without their parts" if number else ""
        if _is_hdf5(used):
            shared = f"test shapes of {PARTS} may be among its clouds, without their parts: HDF5 files do not name them"
    pool.note = notes(prepared.note("train"), shared)
    return pool


LAYOUTS = (
    Layout(PARTS, f"ROOT/{SYNSETS}, train_test_split/shuffled_{{train,val,test}}_file_list.json and SYNSET/ID.txt "
           "(shapenetcore_partanno_segmentation_benchmark_v0_normal); or ROOT/{train,val,test}_hdf5_file_list.txt and the .h5 "
           "files that they name (hdf5_data)", enumerate_parts, look_parts, measure_chance),
    Layout(POOL, f"ROOT/{POOL}/{{train,test}}.txt and shapenet_pc/SYNSET-ID.npy, of which train.txt is trained on",
           enumerate_pool, look_pool),
)
