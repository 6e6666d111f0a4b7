"""What a task is shown and what masked pretraining makes of it, as small arrays beside the records. Reading needs no torch.

Arrays of grids (images, clips, spectrograms): "input" and "reconstruction" (n, [T,] H, W, C) uint8, "hidden" (n, [T,] H, W)
bool. Arrays of points: "input" (n, N, 3), "visible" and "reconstruction" (n, P, 3) float16. Contact sheets have "input" and,
where there is one number a sample or a point, "label".
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.record import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.spec.contracts import Task
    from benchmark.spec.runspec import RunSpec

    Pictures = dict[str, NDArray[Any]]

SHOWN = 12  # samples on a contact sheet
RECONSTRUCTED = 4  # samples of the validation split
FILE = "reconstruction.npz"  # beside the record of a pretraining
MAX_BYTES = 64 * 2**20  # of a file that is read, unpacked: it holds a dozen samples


def depict_samples(spec: RunSpec, task: Task) -> Pictures:
    """A contact sheet of the run's training split, spread evenly over it; {} where inputs are neither grids nor points."""
    import torch

    examples = task.load(spec.profile)["train"].configured(spec.shape, spec.recipe).take(SHOWN)
    batch = examples.batch(torch.arange(len(examples)))
    values, label = batch["input"], batch.get("label")
    if values.ndim == 3 and values.shape[-1] == 3:
        pictures = {"input": _points(values)}
    elif values.ndim == 3 and values.shape[1] > 1:
        pictures = {"input": _bytes(values[:, None], values[:, None])}
    elif values.ndim in (4, 5) and values.shape[1] in (1, 3):
        pictures = {"input": values.movedim(1, -1).numpy() if values.dtype == torch.uint8 else _bytes(values, values)}
    else:
        return {}
    if label is not None and not label.is_floating_point() and label.ndim <= 2:
        pictures["label"] = label.numpy().astype("int16")
    return pictures


def depict_reconstruction(spec: RunSpec, task: Task, checkpoint: Path) -> Pictures:
    """Validation samples, what of them a finished pretraining sees, and what it makes of the rest.

    `checkpoint` holds the whole autoencoder after its last epoch; {} where there is none, or the target is of a kind that
    is not known here. A patch is shown at its own mean and spread, as the target leaves those out (norm_pix_loss).
    """
    import torch

    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import gather_tokens
    from benchmark.model.mae import random_masking
    from benchmark.model.patches import PixelTarget
    from benchmark.model.points import ChamferTarget
    from benchmark.spec.recipes import PretrainRecipe
    from benchmark.train.checkpoint import load_checkpoint
    from benchmark.train.execute import build_autoencoder

    assert isinstance(spec.recipe, PretrainRecipe)
    state = load_checkpoint(checkpoint)
    if state is None:
        return {}
    model = build_autoencoder(spec, task)
    model.load_state_dict(state["model"])
    model.eval()
    examples = task.load(spec.profile)["val"].configured(spec.shape, spec.recipe).take(RECONSTRUCTED)
    batch = next(iter(task.views(examples.batch(torch.arange(len(examples))), spec.shape, {})))
    random = SampleRandom(spec.seed, 0, batch["index"])
    with torch.inference_mode():
        tokens = model.encoder.tokenizer(batch)
        noise = model.target.mask_noise(tokens, random)
        ids_keep, ids_masked = random_masking(noise, spec.recipe.mask_ratio, model.target.mask_group)
        prediction = model.reconstruct(tokens, ids_keep, ids_masked).float()
        if isinstance(model.target, PixelTarget) and len(spec.shape.patch_size) > 1:
            patches = tokens.geometry["patches"]
            groups = model.target.in_chans if model.target.per_channel else 1
            shown = _as_seen(prediction, gather_tokens(patches, ids_masked), groups)
            places = ids_masked[:, :, None].expand_as(shown)
            hidden = torch.zeros_like(patches).scatter(1, places, 1.0)
            whole = patches.scatter(1, places, shown)
            grids = [_unpatchify(x, tuple(batch["input"].shape[1:]), spec.shape.patch_size) for x in (whole, hidden)]
            return {"input": _bytes(batch["input"], batch["input"]), "reconstruction": _bytes(grids[0], batch["input"]),
                    "hidden": grids[1][:, 0].numpy() > 0}
        if isinstance(model.target, ChamferTarget):
            centres, near = tokens.geometry["centres"], tokens.geometry["neighbourhoods"]
            made = prediction.unflatten(2, (-1, 3)) + gather_tokens(centres, ids_masked)[:, :, None]
            kept = gather_tokens(near.flatten(2), ids_keep).unflatten(2, (-1, 3)) + gather_tokens(centres, ids_keep)[:, :, None]
            return {"input": _points(batch["input"]), "visible": _points(kept.flatten(1, 2)),
                    "reconstruction": _points(made.flatten(1, 2))}
    return {}


def _as_seen(prediction: Tensor, patches: Tensor, groups: int) -> Tensor:
    """(B, M, V) normalised values -> pixels, with the mean and spread of the true patches; `groups` of channels each"""
    split = [x.unflatten(2, (groups, -1)) for x in (prediction, patches)]
    mean, spread = split[1].mean(3, keepdim=True), split[1].std(3, keepdim=True)
    seen: Tensor = (split[0] * spread + mean).flatten(2)
    return seen


def _unpatchify(patches: Tensor, shape: tuple[int, ...], patch_size: tuple[int, ...]) -> Tensor:
    """(B, N, V) -> (B, *shape): the inverse of `benchmark.model.patches.patchify`"""
    channels, *sizes = shape
    grid = [size // patch for size, patch in zip(sizes, patch_size, strict=True)]
    axes = len(sizes)
    x = patches.reshape(len(patches), *grid, channels, *patch_size)
    order = [axis for pair in zip(range(1, 1 + axes), range(2 + axes, 2 + 2 * axes), strict=True) for axis in pair]
    return x.permute(0, 1 + axes, *order).reshape(len(patches), *shape)


def _bytes(x: Tensor, reference: Tensor) -> NDArray[Any]:
    """(n, C, *S) -> (n, *S, C) bytes, each channel from the least to the greatest value of `reference` (n, C, *S)"""
    axes = [axis for axis in range(reference.ndim) if axis != 1]
    low, high = reference.float().amin(axes, keepdim=True), reference.float().amax(axes, keepdim=True)
    scaled = 255 * (x.float() - low) / (high - low).clamp(min=1e-12)
    values: NDArray[Any] = scaled.clamp(0, 255).round().movedim(1, -1).numpy().astype("uint8")
    return values


def _points(x: Tensor) -> NDArray[Any]:
    """Stored int8 are by 1/127, as `benchmark.model.points.prepare_points` has them"""
    values: NDArray[Any] = (x.float() if x.is_floating_point() else x.float() / 127).numpy().astype("float16")
    return values


def write_pictures(path: Path, pictures: Mapping[str, NDArray[Any]]) -> None:
    """Whole or not at all; the same bytes for the same arrays. Nothing is written where there is nothing to show."""
    import numpy as np

    if not pictures:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in pictures.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    write_whole(path, buffer.getvalue())


def read_pictures(path: Path) -> Pictures | None:
    """None where there are none; raises `ValueError` in one line for a file that is damaged or no such file."""
    import numpy as np

    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES // 2**20} MiB unpacked")
        with np.load(path, allow_pickle=False) as arrays:
            pictures = {name: arrays[name] for name in arrays.files}
        if not _is_sound(pictures):
            raise ValueError("its arrays are not those of pictures")
        return pictures
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"pictures {path.name} cannot be read: {' '.join(str(error).split())}") from error


def _is_sound(pictures: Mapping[str, NDArray[Any]]) -> bool:
    """Whether arrays are of one of the kinds that this module writes, and fit each other."""
    values, label = pictures.get("input"), pictures.get("label")
    if values is None or not values.size or (label is not None and (
            label.dtype.kind != "i" or label.shape not in (values.shape[:1], values.shape[:2]))):
        return False
    others = {name: array for name, array in pictures.items() if name not in ("input", "label")}
    if values.dtype.kind == "f":
        sets = [values, *others.values()]
        return (set(others) in (set(), {"visible", "reconstruction"}) and len({len(array) for array in sets}) == 1
                and all(array.dtype.kind == "f" and array.ndim == 3 and array.shape[-1] == 3 and array.size for array in sets))
    return (values.dtype == "uint8" and values.ndim in (4, 5) and values.shape[-1] in (1, 3) and (not others or (
        set(others) == {"reconstruction", "hidden"} and others["reconstruction"].dtype == "uint8"
        and others["reconstruction"].shape == values.shape and others["hidden"].dtype == bool
        and others["hidden"].shape == values.shape[:-1])))
