"""Small arrays to look at in, a file beside the records out, and back. No torch.

Arrays of grids (images, clips, spectrograms): "input" and "reconstruction" (n, [T,] H, W, C) uint8, "hidden" (n, [T,] H, W)
bool. Arrays of points: "input" (n, N, 3), "visible" and "reconstruction" (n, P, 3) float16. Of signals: "input" (n, N) float16,
as shares of their greatest magnitude. Of texts: "input", "visible", with `UNSEEN` for what is hidden, and "reconstruction"
(n,). Contact sheets have "input" and, where there is one number a sample or a point, "label";
where it is known, the "name" (n,) of what each sample is; and of spectrograms (n, frames, bins, 1) the "seconds" (1,) that all
frames last, and the "hertz" (bins,) of each bin's middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.arrays import read_arrays, write_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = dict[str, NDArray[Any]]

FILE = "reconstruction.npz"  # beside the record of a pretraining
UNSEEN = "\N{LIGHT SHADE}"  # in place of a character of a text that is hidden
SHEET = ("label", "name", "seconds", "hertz")  # of a contact sheet, beside its samples
MAX_BYTES = 64 * 2**20  # of a file that is read, unpacked: it holds a dozen samples


def write_pictures(path: Path, pictures: Mapping[str, NDArray[Any]]) -> None:
    """Whole or not at all; the same bytes for the same arrays. Nothing is written where there is nothing to show."""
    write_arrays(path, pictures)


def read_pictures(path: Path) -> Pictures | None:
    """None where there are none; raises `ValueError` in one line for a file that is damaged or no such file."""
    return read_arrays(path, f"pictures {path.name}", "pictures", MAX_BYTES, _is_sound) or None


def _is_sound(pictures: Mapping[str, NDArray[Any]]) -> bool:
    """Whether arrays are of one of the kinds that this module writes, and fit each other."""
    values, label = pictures.get("input"), pictures.get("label")
    if values is None or not values.size or (label is not None and (
            label.dtype.kind != "i" or label.shape not in (values.shape[:1], values.shape[:2]))):
        return False
    told = {name: pictures[name] for name in SHEET[1:] if name in pictures}
    if not _are_told(told, values):
        return False
    others = {name: array for name, array in pictures.items() if name not in ("input", *SHEET)}
    if values.dtype.kind == "U":
        return values.ndim == 1 and set(others) in (set(), {"visible", "reconstruction"}) and all(
            array.dtype.kind == "U" and array.shape == values.shape for array in others.values())
    if values.dtype.kind == "f" and values.ndim == 2:
        return not others and values.shape[1] > 1
    if values.dtype.kind == "f":
        sets = [values, *others.values()]
        return (set(others) in (set(), {"visible", "reconstruction"}) and len({len(array) for array in sets}) == 1
                and all(array.dtype.kind == "f" and array.ndim == 3 and array.shape[-1] == 3 and array.size for array in sets))
    return (values.dtype == "uint8" and values.ndim in (4, 5) and values.shape[-1] in (1, 3) and (not others or (
        set(others) == {"reconstruction", "hidden"} and others["reconstruction"].dtype == "uint8"
        and others["reconstruction"].shape == values.shape and others["hidden"].dtype == bool
        and others["hidden"].shape == values.shape[:-1])))


def _are_told(told: Mapping[str, NDArray[Any]], values: NDArray[Any]) -> bool:
    """Whether names and axes are of as many samples and bins as there are"""
    name, seconds, hertz = (told.get(key) for key in SHEET[1:])
    return ((name is None or (name.dtype.kind == "U" and name.shape == values.shape[:1]))
            and (seconds is None) == (hertz is None)
            and (seconds is None or hertz is None or (
                seconds.dtype.kind == hertz.dtype.kind == "f" and seconds.shape == (1,) and bool(seconds > 0)
                and values.ndim == 4 and hertz.shape == values.shape[2:3] and bool((hertz > 0).all()))))
