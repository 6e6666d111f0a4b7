"""Files of point clouds as they are distributed in, checked arrays out: what the readers of official point sets share.

Every file that is loaded is compared with its digest in the catalogue. What costs minutes to make of a data set is kept in
the catalogue's folder as NAME.DATA.CODE.npz, where DATA and CODE are digests of the data set and of the code that made it;
a file there that is damaged is made again.

Shapes: S samples, N points as stored, K points kept.
"""

from __future__ import annotations

import codecs
import hashlib
import importlib
import io
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.catalogue import Item, Prepared, checked, folder, items
from benchmark.data.embedded import DataError
from benchmark.data.examples import Examples
from benchmark.data.listing import Entry, Listing, Root, carve_validation, found_in, inside, is_leftover, printable, read_text
from benchmark.data.looking import processes
from benchmark.provenance.code import reachable_code
from benchmark.records.record import write_whole
from benchmark.spec.recipes import SPLITS, Split

Array = NDArray[Any]
In = TypeVar("In")
Out = TypeVar("Out")
MANY = 50_000  # clouds of one HDF5 file; official ones hold at most 11,416
FEW = 64  # files that are not worth other processes
PICKLES = (".dat", ".pkl", ".pickle")
# What numpy and h5py raise for files that are not what they seem.
DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError, MemoryError, OverflowError,
           SyntaxError, tokenize.TokenError, struct.error, zlib.error, zipfile.BadZipFile)


def read_lines(path: Path) -> list[str]:
    """The lines of a list that are not empty; raises `DataError` where it is missing, empty or no text."""
    try:
        found = [line.strip() for line in re.split(r"[\r\n]+", read_text(path)) if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"list {path} cannot be read: {error}") from error
    if not found:
        raise DataError(f"list {path} is empty")
    return found


def read_names(path: Path, most: int) -> list[str]:
    """Names of classes in the order of their labels; raises `DataError` for more than `most`, or one that is there twice."""
    return list(_read_names(path, most, path.stat().st_mtime_ns if path.is_file() else 0))


@lru_cache
def _read_names(path: Path, most: int, _modified_ns: int) -> tuple[str, ...]:
    names = read_lines(path)
    if len(names) > most or len(set(names)) < len(names):
        raise DataError(f"{path} names {len(names)} classes, {len(set(names))} of them different; expected {most} at most")
    return tuple(names)


def apart(listing: Listing, name: str) -> Listing:
    """The listing itself; raises `DataError` for a file that two splits share."""
    seen: dict[str, Split] = {}
    for split, entries in listing.splits.items():
        for entry in entries:
            if seen.setdefault(entry.path, split) != split:
                raise DataError(f"{name}: {entry.path} is in the lists of {seen[entry.path]} and {split}")
    return listing


def find_pickle(root: Path) -> Path | None:
    """A pickle in a folder or in one below it"""
    found = (path for pattern in ("*", "*/*") for path in sorted(root.glob(pattern)))
    return next((path for path in found if path.suffix in PICKLES and not is_leftover(str(path.relative_to(root)))), None)


def load_bytes(prepared: Prepared, item: Item) -> bytes:
    """A listed file; raises `DataError` where it is not the one that was prepared."""
    path = inside(prepared.root, item.path, prepared.links)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read ({error.strerror}); prepare the data set again") from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise DataError(f"{printable(path)} has changed since it was prepared; put it back, or prepare the data set again")
    return data


def label_of(item: Item, num_labels: int) -> int:
    """The label of a listed file; raises `DataError` for one out of [0, num_labels)."""
    if not item.label.isdecimal() or int(item.label) >= num_labels:
        raise DataError(f"{item.path} has the label {item.label!r} instead of 0 to {num_labels - 1}")
    return int(item.label)


def parse_table(data: bytes, path: Path, columns: int, delimiter: str | None = None) -> Array:
    """Text of one point a line to (N, columns) float64; raises `DataError` naming the file for anything else."""
    if not data.strip():
        raise DataError(f"{path} is empty")
    try:
        content = io.BytesIO(re.sub(rb"[ \t]*,[ \t]*(\r?\n|$)", rb"\1", data.removeprefix(codecs.BOM_UTF8)))
        if delimiter is not None and delimiter.encode() not in data:
            delimiter = None  # copies of ModelNet40 exist whose numbers are parted by blanks
        table: Array = np.loadtxt(content, delimiter=delimiter, ndmin=2, comments=None, encoding="utf-8")
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path} is no table of numbers: {error}") from error
    if table.shape[1] != columns:
        raise DataError(f"{path} has {table.shape[1]} columns instead of {columns}")
    return check_finite(table, path)


def check_finite(values: Array, path: Path | str) -> Array:
    """The values themselves; raises `DataError` naming the file where any is no finite number."""
    if not np.isfinite(values).all():
        raise DataError(f"{path} has {int((~np.isfinite(values)).sum())} values that are no finite numbers")
    return values


def normalised(points: Array, path: Path | str) -> Array:
    """(N, 3) -> (N, 3) float32: their mean at 0, the farthest point at distance 1 (Point-MAE's pc_norm).

    Raises `DataError` where all points coincide, or lie too far away for numbers.
    """
    centred: Array = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    radius = float(np.sqrt(np.square(centred).sum(1).max()))
    if not 0 < radius < np.inf:
        raise DataError(f"{path} has {len(points)} points that all coincide, or are too far apart")
    scaled: Array = (centred / radius).astype(np.float32)
    return scaled


def farthest_first(points: Array, count: int) -> Array:
    """(N, 3) float32 -> (count, 3): the first point, then each time the one farthest from those before it."""
    import torch

    from benchmark.model.points import farthest_point_sample

    chosen: Array = points[farthest_point_sample(torch.from_numpy(points)[None], count)[0].numpy()]
    return chosen


def parse_array(data: bytes, path: Path, shape: tuple[int, ...]) -> Array:
    """An .npy file of floats to float32; raises `DataError` naming it for another shape or kind."""
    try:
        array: Array = np.load(io.BytesIO(data), allow_pickle=False)
        found, kind = array.shape, array.dtype.kind
    except DAMAGED as error:
        raise DataError(f"{path} is no array of numbers: {found_in(data[:512]) or error}") from error
    if found != shape or kind != "f":
        raise DataError(f"{path} has shape {found} of kind {kind!r} instead of {shape} floats")
    return check_finite(array.astype(np.float32), path)


def parse_hdf5(data: bytes, path: Path, label: str, num_points: int, num_labels: int,
               of_points: bool = False) -> tuple[Array, Array]:
    """"data" (S, num_points, 3) float32 and `label` (S,) int64, or (S, num_points) `of_points`, of an HDF5 file.

    Raises `DataError` naming it for other shapes, labels out of [0, num_labels), and data that lie in other files.
    """
    h5py: Any = importlib.import_module("h5py")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            points = _dataset(h5py, file, "data", path)
            labels = _dataset(h5py, file, label, path)
            size = len(points) if points.ndim else 0
            if points.shape != (size, num_points, 3) or not 0 < size <= MANY or points.dtype.kind != "f":
                raise DataError(f"{path}: 'data' has shape {points.shape} of kind {points.dtype.kind!r} instead of "
                                f"(1 to {MANY}, {num_points}, 3) floats")
            fitting = {(size, num_points)} if of_points else {(size,), (size, 1)}
            if labels.shape not in fitting or labels.dtype.kind not in "iu":
                raise DataError(f"{path}: {label!r} has shape {labels.shape} of kind {labels.dtype.kind!r} instead of "
                                f"{min(fitting)} integers")
            with np.errstate(over="ignore"):  # which is refused below
                clouds, classes = points[()].astype(np.float32), labels[()].astype(np.int64)
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(f"{path} is no HDF5 file with 'data' and {label!r}: {found_in(data[:512]) or error}") from error
    if classes.min() < 0 or classes.max() >= num_labels:
        raise DataError(f"{path} has labels from {classes.min()} to {classes.max()}; expected 0 to {num_labels - 1}")
    return check_finite(clouds, path), classes if of_points else classes.reshape(-1)


def _dataset(h5py: Any, file: Any, name: str, path: Path) -> Any:
    """A data set that lies in the file itself"""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise DataError(f"{path} has no data set {name!r} of its own")
    if file[name].external or file[name].is_virtual:
        raise DataError(f"{path}: {name!r} lies in another file")
    return file[name]


def hdf5_entries(root: Root, paths: Sequence[str], read: Callable[[Path], tuple[Array, Array]]) -> list[Entry]:
    """A file each, with the labels of its clouds; without any where the file cannot be read, which `prepare` finds then."""
    entries = []
    for path in map(root.below, paths):
        try:
            labels = read(root.inside(path))[1]
        except (DataError, OSError):
            labels = np.zeros(0)
        entries.append(Entry(path, ",".join(map(str, labels.tolist()))))
    return entries


def hdf5_clouds(prepared: Prepared, read: Callable[[Path, bytes], tuple[Array, Array]],
                order: Callable[[tuple[str, Array]], Array], kept: int) -> dict[str, Array]:
    """"input_SPLIT" (S, kept, 3) float32 and "label_SPLIT" (S,) of files of many clouds, each put in order with its name.

    Validation is a part of the training clouds, chosen by the hash of their names.
    """
    samples: dict[Split, list[tuple[str, Array, int]]] = {}
    for split, found in listed(prepared).items():
        samples[split] = []
        for item in found:
            points, labels = read(prepared.root / item.path, load_bytes(prepared, item))
            samples[split] += [(f"{item.path}#{index}", cloud, int(label))
                               for index, (cloud, label) in enumerate(zip(points, labels, strict=True))]
    chosen = {entry.path for entry in carve_validation([Entry(name) for name, _, _ in samples["train"]])[1]}
    samples["val"] = [sample for sample in samples["train"] if sample[0] in chosen]
    samples["train"] = [sample for sample in samples["train"] if sample[0] not in chosen]
    arrays = {}
    for split in SPLITS:
        arrays[f"input_{split}"] = stack(each(order, [(name, points) for name, points, _ in samples[split]]), (kept, 3),
                                         np.float32)
        arrays[f"label_{split}"] = np.array([label for _, _, label in samples[split]], np.int64)
    return arrays


def count_kept(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Clouds by split, as an HDF5 file holds many, and how many points of each are used"""
    return {"clouds": {split: len(arrays[f"label_{split}"]) for split in SPLITS}, "points": arrays["input_train"].shape[1]}


def splits_of(prepared: Prepared, arrays: Mapping[str, Array]) -> dict[Split, Examples]:
    """"input_SPLIT" and "label_SPLIT" as splits, with what is to be noted of each"""
    import torch

    splits = {split: Examples({"input": torch.from_numpy(arrays[f"input_{split}"]),
                               "label": torch.from_numpy(arrays[f"label_{split}"])}) for split in SPLITS}
    for split, examples in splits.items():
        examples.note = prepared.note(split)
    return splits


def each(function: Callable[[In], Out], things: Sequence[In]) -> list[Out]:
    """`function` of each, in order; in as many processes as M2PT_WORKERS says where there are many."""
    from benchmark.data.files import count_workers

    workers = count_workers() if len(things) > FEW else 0
    if workers < 2:
        return [function(thing) for thing in things]
    with processes(workers, f"M2PT_WORKERS, now {workers}") as pool:
        return list(pool.map(function, things, chunksize=16))


def cached(prepared: Prepared, made_by: Sequence[str], make: Callable[[], dict[str, Array]],
           extra: str = "") -> dict[str, Array]:
    """What `make` makes of a data set, from the catalogue's folder where the modules `made_by` have made it before.

    `extra` is what else it depends on. Raises `DataError` where the folder cannot be written to.
    """
    trees = dict(reachable_code(made_by))
    code = hashlib.sha256("\n".join([*(f"{name} {trees[name]}" for name in sorted(made_by)), extra]).encode()).hexdigest()
    path = folder() / f"{prepared.name}.{prepared.digest[:16]}.{code[:8]}.npz"
    arrays = _read_cache(path)
    if arrays is not None:
        for found in listed(prepared).values():
            for item in found:
                checked(prepared, item, cheap=0)
    else:
        arrays = make()
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        try:
            write_whole(path, content.getbuffer())
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error}") from error
    return arrays


def _read_cache(path: Path) -> dict[str, Array] | None:
    """Every array of a cache; None where there is none, or it is damaged (the archive holds checksums)."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files} or None
    except DAMAGED:
        return None


def stack(arrays: Sequence[Array], shape: tuple[int, ...], dtype: Any) -> Array:
    """(S, *shape), also where there are none"""
    return np.stack(arrays).astype(dtype) if len(arrays) else np.zeros((0, *shape), dtype)


def listed(prepared: Prepared) -> dict[Split, list[Item]]:
    """The files of every split, from the catalogue"""
    return {split: items(prepared, split) for split in SPLITS}


def notes(*parts: str) -> str:
    """What is to be noted of a split, in one line"""
    return "; ".join(filter(None, parts))
