"""A run and its task in; what the task is shown, and what masked pretraining makes of it, as small arrays out.

The arrays are those of `benchmark.records.pictures`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.records.pictures import Pictures
    from benchmark.spec.contracts import Task
    from benchmark.spec.runspec import RunSpec

SHOWN = 12  # samples on a contact sheet
RECONSTRUCTED = 4  # samples of the validation split


def depict_samples(spec: RunSpec, task: Task) -> Pictures:
    """A contact sheet of the run's training split, spread evenly over it; {} for inputs of another kind."""
    import numpy as np
    import torch

    from benchmark.data.characters import as_texts
    from benchmark.data.names import sample_names
    from benchmark.model.patches import CharacterTarget
    from benchmark.spec.sounds import SoundProfile

    profile = task.profiles[spec.profile]
    examples = task.load(spec.profile)["train"].configured(spec.shape, spec.recipe).take(SHOWN)
    batch = examples.batch(torch.arange(len(examples)))
    values, label = batch["input"], batch.get("label")
    if values.ndim == 3 and values.shape[-1] == 3:
        pictures = {"input": _points(values)}
    elif values.ndim == 3 and values.shape[1] == 1 < values.shape[2]:
        pictures = {"input": _signals(values[:, 0])}
    elif values.ndim == 3 and values.shape[1] > 1:
        pictures = {"input": _bytes(values[:, None], values[:, None])}
    elif values.ndim == 2 and isinstance(task.masked_target(spec.shape), CharacterTarget):
        pictures = {"input": np.array(as_texts(values.numpy()))}
    elif values.ndim in (4, 5) and values.shape[1] in (1, 3):
        pictures = {"input": values.movedim(1, -1).numpy() if values.dtype == torch.uint8 else _bytes(values, values)}
    else:
        return {}
    if label is not None and not label.is_floating_point() and label.ndim <= 2:
        pictures["label"] = label.numpy().astype("int16")
    if names := sample_names(profile, batch):
        pictures["name"] = np.array(names)
    if isinstance(profile, SoundProfile):
        pictures |= {"seconds": np.array([profile.seconds]), "hertz": np.array(profile.bin_hertz())}
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
    from benchmark.model.patches import CharacterTarget, PixelTarget
    from benchmark.model.points import ChamferTarget
    from benchmark.spec.recipes import PretrainRecipe
    from benchmark.train.checkpoint import load_checkpoint
    from benchmark.train.setup import build_autoencoder

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
        if isinstance(model.target, CharacterTarget):
            return _guessed(batch["input"].argmax(1), ids_masked, prediction)
        if isinstance(model.target, PixelTarget) and len(spec.shape.patch_size) > 1:
            patches = tokens.geometry["patches"]
            groups = model.target.in_chans if model.target.per_channel else 1
            shown = as_seen(prediction, gather_tokens(patches, ids_masked), groups)
            places = ids_masked[:, :, None].expand_as(shown)
            hidden = torch.zeros_like(patches).scatter(1, places, 1.0)
            whole = patches.scatter(1, places, shown)
            grids = [unpatchify(x, tuple(batch["input"].shape[1:]), spec.shape.patch_size) for x in (whole, hidden)]
            return {"input": _bytes(batch["input"], batch["input"]), "reconstruction": _bytes(grids[0], batch["input"]),
                    "hidden": grids[1][:, 0].numpy() > 0}
        if isinstance(model.target, ChamferTarget):
            centres, near = tokens.geometry["centres"], tokens.geometry["neighbourhoods"]
            made = prediction.unflatten(2, (-1, 3)) + gather_tokens(centres, ids_masked)[:, :, None]
            kept = gather_tokens(near.flatten(2), ids_keep).unflatten(2, (-1, 3)) + gather_tokens(centres, ids_keep)[:, :, None]
            return {"input": _points(batch["input"]), "visible": _points(kept.flatten(1, 2)),
                    "reconstruction": _points(made.flatten(1, 2))}
    return {}


def _guessed(codes: Tensor, ids_masked: Tensor, prediction: Tensor) -> Pictures:
    """Texts of (B, L) characters, of which (B, M, V) scores guess the hidden tokens"""
    import numpy as np

    from benchmark.data.characters import CHARACTERS, as_texts
    from benchmark.records.pictures import UNSEEN

    length = prediction.shape[2] // CHARACTERS
    made, hidden = codes.unflatten(1, (-1, length)).clone(), codes.new_zeros(codes.shape).bool().unflatten(1, (-1, length))
    places = ids_masked[:, :, None].expand(-1, -1, length)
    made.scatter_(1, places, prediction.unflatten(2, (CHARACTERS, length)).argmax(2))
    hidden.scatter_(1, places, True)
    whole, guessed = as_texts(codes.numpy()), as_texts(made.flatten(1).numpy())
    seen = ["".join(UNSEEN if cover else letter for letter, cover in zip(text, row, strict=True))
            for text, row in zip(whole, hidden.flatten(1).tolist(), strict=True)]
    return {"input": np.array(whole), "visible": np.array(seen), "reconstruction": np.array(guessed)}


def as_seen(prediction: Tensor, patches: Tensor, groups: int) -> Tensor:
    """(B, M, V) normalised values -> pixels, with the mean and spread of the true patches; `groups` of channels each"""
    split = [x.unflatten(2, (groups, -1)) for x in (prediction, patches)]
    mean, spread = split[1].mean(3, keepdim=True), split[1].std(3, keepdim=True)
    seen: Tensor = (split[0] * spread + mean).flatten(2)
    return seen


def unpatchify(patches: Tensor, shape: tuple[int, ...], patch_size: tuple[int, ...]) -> Tensor:
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


def _signals(x: Tensor) -> NDArray[Any]:
    """(n, N) -> the same as shares of the greatest of all magnitudes"""
    x = x.double()
    values: NDArray[Any] = (x / x.abs().max().clamp(min=1e-12)).numpy().astype("float16")
    return values


def _points(x: Tensor) -> NDArray[Any]:
    """Stored int8 are by 1/127, as `benchmark.model.points.prepare_points` has them"""
    values: NDArray[Any] = (x.float() if x.is_floating_point() else x.float() / 127).numpy().astype("float16")
    return values
