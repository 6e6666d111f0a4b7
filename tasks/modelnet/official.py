"""ModelNet40 as it is distributed in, splits of clouds out.

Every cloud is in farthest-point order, made once (Point-MAE orders 1200 points anew each time that it reads a cloud, and
takes a random 1024 of them; at test the first 1024). They are normalised first, over all points that are stored, where
Point-MAE normalises the farthest 8192 of 10,000. Validation is a part of the training samples, chosen by the hash of
their names.

Shapes: S samples, N points as stored, K points kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data.catalogue import Layout, Prepared, digests, find
from benchmark.data.embedded import DataError
from benchmark.data.examples import Examples
from benchmark.data.listing import Entry, Listing, Root, carve_validation, is_leftover, one_sided, passed_over
from benchmark.spec.recipes import SPLITS, Split
from tasks.meshes import SUFFIXES as MESHES
from tasks.meshes import parse_mesh, sample_surface
from tasks.points_official import (
    Array,
    apart,
    cached,
    count_kept,
    each,
    farthest_first,
    find_pickle,
    hdf5_clouds,
    hdf5_entries,
    label_of,
    listed,
    load_bytes,
    normalised,
    parse_hdf5,
    parse_table,
    read_lines,
    read_names,
    splits_of,
    stack,
)

__all__ = ["LAYOUTS", "digests", "load"]

MODELNET = "ModelNet40"
NUM_CLASSES = 40
KEPT = 1200  # points of a cloud, in farthest-point order: the pool of Point-MAE's recipe
SAMPLED = 8192  # points on a mesh, before that
NAMES = "modelnet40_shape_names.txt"
HDF5_POINTS = 2048
HDF5_FOLDER = "data/modelnet40_ply_hdf5_2048/"  # what the lists of the HDF5 files begin their lines with

def enumerate_modelnet(source: Root) -> Listing:
    """Text files, HDF5 files or meshes, whichever is there; raises `DataError` for pickles and for none of them."""
    root = source.path
    if (root / NAMES).is_file():
        return _enumerate_texts(root)
    if any(root.glob("ply_data_*.h5")) or (root / "train_files.txt").is_file():
        return _enumerate_hdf5(source)
    if any(path.suffix.lower() in MESHES for path in root.glob("*/train/*")):
        return _enumerate_meshes(root)
    _refuse_pickles(root)
    raise DataError(f"{root} is no ModelNet40: it has neither {NAMES}, nor ply_data_train*.h5, nor CLASS/train/*.off")


def _refuse_pickles(root: Path) -> None:
    path = find_pickle(root)
    if path is None:
        return
    if "shot" in path.parent.name:
        raise DataError(f"{path} is a pickle, and reading one runs what code it holds; folds are made of ModelNet40 itself: "
                        "see tasks.fewshot.folds")
    raise DataError(f"{path} is a pickle, and reading one runs what code it holds; use the text files of "
                    "modelnet40_normal_resampled.zip that it was made of, or, where you trust it, write each of its clouds to "
                    "CLASS/ID.txt yourself, a line x,y,z,nx,ny,nz for each point")


def _enumerate_texts(root: Path) -> Listing:
    classes = read_names(root / NAMES, NUM_CLASSES)
    if not any((root / name).is_dir() for name in classes):
        _refuse_pickles(root)
    splits: dict[Split, list[Entry]] = {}
    lists: tuple[Split, Split] = ("train", "test")
    for split in lists:
        splits[split] = []
        for line in read_lines(root / f"modelnet40_{split}.txt"):
            name = line.rpartition("_")[0]
            label = str(classes.index(name)) if name in classes else ""  # looking at the file says why it has none
            splits[split].append(Entry(f"{name}/{line}.txt" if name else f"{line}.txt", label))
    problems = one_sided(splits["train"], splits["test"], classes)
    splits["train"], splits["val"] = carve_validation(splits["train"])
    return apart(Listing(splits, classes, problems), MODELNET)


def _enumerate_meshes(root: Path) -> Listing:
    folders = [path.name for path in root.iterdir() if (path / "train").is_dir() or (path / "test").is_dir()]
    classes = sorted(name for name in folders if not is_leftover(name))
    notes = passed_over("folders that are leftovers of other software", filter(is_leftover, sorted(folders)))
    found: dict[str, list[Entry]] = {"train": [], "test": []}
    problems, others = list[str](), list[str]()
    for split, entries in found.items():
        for label, name in enumerate(classes):
            there = sorted((root / name / split).glob("*"))
            files = [path for path in there if path.suffix.lower() in MESHES]
            entries += [Entry(f"{name}/{split}/{path.name}", str(label)) for path in files]
            problems += [] if files else [f"{name}/{split}: its class has no mesh in {split}"]
            others += [f"{name}/{split}/{path.name}" for path in there
                       if path not in files and not is_leftover(path.name)]
    train, val = carve_validation(found["train"])
    return Listing({"train": train, "val": val, "test": found["test"]}, classes, problems,
                   notes + passed_over("files that are no meshes by their names", others))


def _enumerate_hdf5(source: Root) -> Listing:
    """Whole files; which of their clouds are validation is known when they are read."""
    root, splits = source.path, dict[Split, list[Entry]]()
    lists: tuple[Split, Split] = ("train", "test")
    for split in lists:
        if (root / f"{split}_files.txt").is_file():
            paths = [line.removeprefix(HDF5_FOLDER) for line in read_lines(root / f"{split}_files.txt")]
        else:
            paths = sorted(path.name for path in root.glob(f"ply_data_{split}*.h5"))
        splits[split] = hdf5_entries(source, paths, _read_hdf5)
    return apart(Listing(splits, read_names(root / "shape_names.txt", NUM_CLASSES)), MODELNET)


def _read_hdf5(path: Path, data: bytes | None = None) -> tuple[Array, Array]:
    return parse_hdf5(path.read_bytes() if data is None else data, path, "label", HDF5_POINTS, NUM_CLASSES)


def look_modelnet(path: Path) -> None:
    """Read a file and normalise its clouds; raises `DataError`."""
    if path.suffix == ".h5":
        for index, points in enumerate(_read_hdf5(path)[0]):
            normalised(points, f"{path}#{index}")
    elif path.suffix.lower() in MESHES:
        normalised(parse_mesh(path.read_bytes(), path)[0], path)
    else:
        names = path.parents[1] / NAMES
        if path.parent.name not in read_names(names, NUM_CLASSES):
            raise DataError(f"{path}: its class is not in {names}")
        normalised(_parse_text(path.read_bytes(), path), path)


def _parse_text(data: bytes, path: Path) -> Array:
    """(N, 3) of the lines x,y,z,nx,ny,nz"""
    points = parse_table(data, path, 6, ",")[:, :3]
    if len(points) < KEPT:
        raise DataError(f"{path} has {len(points)} points; expected at least {KEPT}")
    return points


def upright(points: Array) -> Array:
    """(N, 3) -> (N, 3): the meshes stand on z, the sampled clouds of ModelNet40 and ShapeNet on y"""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], 1)


def clouds_of(prepared: Prepared) -> dict[str, Array]:
    """"input_SPLIT" (S, K, 3) float32 in farthest-point order and "label_SPLIT" (S,) int64, made once; see `cached`."""
    paths = [item.path for found in listed(prepared).values() for item in found]
    sampler = metadata.version("trimesh") if paths[0].lower().endswith(MESHES) else ""
    made_by = (__name__, "tasks.meshes", "tasks.points_official", "benchmark.model.points")
    return cached(prepared, made_by, partial(_make_clouds, prepared), sampler)


def _make_clouds(prepared: Prepared) -> dict[str, Array]:
    found = listed(prepared)
    if found["train"][0].path.endswith(".h5"):
        return hdf5_clouds(prepared, _read_hdf5, _ordered, KEPT)
    arrays = {}
    for split in SPLITS:
        arrays[f"input_{split}"] = stack(each(partial(_make_cloud, prepared), found[split]), (KEPT, 3), np.float32)
        arrays[f"label_{split}"] = np.array([label_of(item, NUM_CLASSES) for item in found[split]], np.int64)
    return arrays


def _ordered(named: tuple[str, Array]) -> Array:
    """A cloud of an HDF5 file with its name to (K, 3)"""
    name, points = named
    return farthest_first(normalised(points, name), KEPT)


def _make_cloud(prepared: Prepared, item: Any) -> Array:
    """A text file or mesh to (K, 3)"""
    data, path = load_bytes(prepared, item), prepared.root / item.path
    if path.suffix.lower() in MESHES:
        from benchmark.data.seeds import derive_seed

        points = upright(sample_surface(*parse_mesh(data, path), SAMPLED, derive_seed(0, "surface", item.path) % 2**31, path))
    else:
        points = _parse_text(data, path)
    return farthest_first(normalised(points, path), KEPT)


def count_clouds(prepared: Prepared) -> dict[str, Any]:
    """See `tasks.points_official.count_kept`; makes the cache."""
    return count_kept(clouds_of(prepared))


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of a prepared set: "input" (K, 3) float32 in farthest-point order, and "label"."""
    (name,) = names
    prepared = find(name)
    return splits_of(prepared, clouds_of(prepared))


LAYOUTS = (
    Layout(MODELNET, f"ROOT/{NAMES}, modelnet40_{{train,test}}.txt and CLASS/ID.txt (modelnet40_normal_resampled), or "
           "ROOT/CLASS/{train,test}/ID.off (ModelNet40's meshes; .ply, .obj, .stl of others), or ROOT/shape_names.txt and "
           "ply_data_{train,test}*.h5",
           enumerate_modelnet, look_modelnet, count_clouds, NUM_CLASSES),
)
