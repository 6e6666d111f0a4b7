"""Published checkpoints in, weights under our names out, with every key accounted for.

Formats, by what distinguishes their keys: MAE and AudioMAE (`model`: timm's names, a decoder), timm's ViTs (flat), VideoMAE
v1 and v2 (`model` or `module`: separate q and v biases, fixed positions), Point-MAE (`base_model`: 1x1 convolutions), and
our own safetensors. Files are read with `weights_only=True`: tensors and plain values, no code.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.model.encoder import Encoder
from benchmark.model.weights import CheckpointError, save_tensors
from benchmark.spec.contracts import Task
from benchmark.spec.recipes import ModelShape

NESTS = ("model", "module", "state_dict", "base_model")  # where published files keep their weights
TOKENIZER = ("cls_token", "pos_embed", "patch_embed.")  # names that our tokenizers hold
POINT_NET = {"first_conv.0": "conv1", "first_conv.1": "norm1", "first_conv.3": "conv2",
             "second_conv.0": "conv3", "second_conv.1": "norm2", "second_conv.3": "conv4"}


@dataclass
class Conversion:
    """Weights under our names, and what happened to every key on the way."""

    tensors: dict[str, Tensor]
    format: str
    dropped: list[str] = field(default_factory=list)  # of the file: decoders, heads, mask tokens
    filled: list[str] = field(default_factory=list)  # of the model: what the format leaves to be computed
    reshaped: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """One line for each kind of key"""
        lines = [f"{self.format}: {len(self.tensors)} tensors"]
        for what, names in (("reshaped", self.reshaped), ("filled", self.filled), ("left out", self.dropped)):
            if names:
                lines.append(f"{what} ({len(names)}): {', '.join(summarise(names))}")
        return "\n".join(lines)


def summarise(names: list[str]) -> list[str]:
    """Names with the numbers of their blocks replaced by N, each once"""
    return list(dict.fromkeys(re.sub(r"\.\d+\.", ".N.", name) for name in names))


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, out of the nests that published files have; raises `CheckpointError`, never runs code."""
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # MAE's files keep their arguments so
                state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from error
    except Exception as error:  # the unpickler raises whatever a foreign or damaged file makes it stumble over
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"checkpoint {path} is refused: only tensors and plain values are read ({reason})") from error
    for _ in range(3):
        nest = next((name for name in NESTS if isinstance(state, Mapping) and isinstance(state.get(name), Mapping)), None)
        if nest is None:
            break
        state = state[nest]  # type: ignore[index]
    if not isinstance(state, Mapping) or not state or not all(
            isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()):
        raise CheckpointError(f"checkpoint {path} holds no weights by name, neither flat nor under {', '.join(NESTS)}")
    return {key.removeprefix("module."): value for key, value in state.items()}


def detect(tensors: Mapping[str, Tensor]) -> str:
    """The format of weights by name; raises `CheckpointError` where it is none of ours."""
    names = tensors.keys()
    if any(name.startswith("tokenizer.") for name in names):
        return "ours"
    if any("first_conv." in name for name in names):
        return "point-mae"
    if any(name.endswith("attn.q_bias") for name in names) or any(name.startswith("encoder.blocks.") for name in names):
        return "videomae"
    if "mask_token" in names or any(name.startswith("decoder_") for name in names):
        return "mae"
    if any(name.startswith("blocks.") for name in names):
        return "timm"
    raise CheckpointError(f"weights of an unknown format; they begin with {', '.join(list(names)[:3])}")


def rename_mae(tensors: Mapping[str, Tensor], conversion: Conversion) -> dict[str, Tensor]:
    """MAE, AudioMAE and timm: their names are ours, but that a tokenizer's are under "tokenizer."."""
    renamed = {}
    for name, tensor in tensors.items():
        if name.startswith(TOKENIZER):
            renamed[f"tokenizer.{name}"] = tensor
        elif name.startswith(("blocks.", "norm.")):
            renamed[name] = tensor
        elif name.startswith(("decoder", "mask_token", "head.", "fc_norm.", "pre_logits.", "head_drop")):
            conversion.dropped.append(name)
        else:
            renamed[name] = tensor  # unknown: the comparison with the model names it
    return renamed


def rename_videomae(tensors: Mapping[str, Tensor], conversion: Conversion) -> dict[str, Tensor]:
    """VideoMAE: q and v have biases and k has none, that is one of zeros; of a pretraining the encoder is taken."""
    renamed: dict[str, Tensor] = {}
    encoder = any(name.startswith("encoder.") for name in tensors)
    for name, tensor in tensors.items():
        if encoder and not name.startswith("encoder."):
            conversion.dropped.append(name)
            continue
        own = name.removeprefix("encoder.")
        if own.endswith("attn.q_bias"):
            value = tensors[name.removesuffix("q_bias") + "v_bias"]
            renamed[own.removesuffix("q_bias") + "qkv.bias"] = torch.cat([tensor, torch.zeros_like(tensor), value])
            conversion.reshaped.append(f"{name} and v_bias to qkv.bias")
        elif own.endswith("attn.v_bias"):
            continue
        elif own.startswith(TOKENIZER):
            renamed[f"tokenizer.{own}"] = tensor
        elif own.startswith(("head.", "fc_norm.")):
            conversion.dropped.append(name)
        else:
            renamed[own] = tensor
    return renamed


def rename_point_mae(tensors: Mapping[str, Tensor], conversion: Conversion) -> dict[str, Tensor]:
    """Point-MAE: 1x1 convolutions are linear layers, and blocks lie in one more module."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith("MAE_encoder."):
            conversion.dropped.append(name)
            continue
        own = name.removeprefix("MAE_encoder.").replace("blocks.blocks.", "blocks.", 1)
        for theirs, ours in POINT_NET.items():
            own = re.sub(rf"^encoder\.{re.escape(theirs)}\.", f"tokenizer.point_net.{ours}.", own)
        own = re.sub(r"^pos_embed\.", "tokenizer.position.", own)
        if tensor.ndim == 3 and tensor.shape[2] == 1:
            conversion.reshaped.append(f"{name} {tuple(tensor.shape)} to {tuple(tensor.shape[:2])}")
            tensor = tensor[:, :, 0]
        renamed[own] = tensor
    return renamed


RENAME: dict[str, Callable[[Mapping[str, Tensor], Conversion], dict[str, Tensor]]] = {
    "mae": rename_mae, "timm": rename_mae, "videomae": rename_videomae, "point-mae": rename_point_mae,
    "ours": lambda tensors, conversion: dict(tensors)}


def convert(path: Path, task: Task, shape: ModelShape, *, blocks_only: bool = False, interpolate: bool = False) -> Conversion:
    """Weights of a published file for the encoder of `task` and `shape`.

    `blocks_only` takes the blocks alone, as an auxiliary gives them. `interpolate` fits learned positions of another grid
    (bicubic). Raises `CheckpointError` with every key that is missing, left over or of another shape.
    """
    tensors = read_checkpoint(path)
    conversion = Conversion({}, detect(tensors))
    renamed = RENAME[conversion.format](tensors, conversion)
    if blocks_only:
        conversion.dropped += [name for name in renamed if not name.startswith("blocks.")]
        renamed = {name: tensor for name, tensor in renamed.items() if name.startswith("blocks.")}
    model = Encoder(task.tokenizer(shape), shape)
    own = {name: tensor for name, tensor in model.state_dict().items()
           if not blocks_only or name.startswith("blocks.")}
    _fill(own, renamed, model, conversion)
    if interpolate and "tokenizer.pos_embed" in own and "tokenizer.pos_embed" in renamed:
        _interpolate(own["tokenizer.pos_embed"], renamed, model, shape, conversion)
    added = tuple(f"tokenizer.{name}" for name in model.tokenizer.added_for_target)
    own = {name: tensor for name, tensor in own.items() if not name.startswith(added)} if added else own
    wrong = [f"missing {name}" for name in sorted(own.keys() - renamed.keys())]
    wrong += [f"left over {name}" for name in sorted(renamed.keys() - own.keys())]
    wrong += [f"{name} is {tuple(renamed[name].shape)}, the model's {tuple(own[name].shape)}"
              for name in sorted(own.keys() & renamed.keys()) if own[name].shape != renamed[name].shape]
    wrong += [f"{name} has numbers that are not finite" for name in sorted(own.keys() & renamed.keys())
              if renamed[name].is_floating_point() and not renamed[name].isfinite().all()]
    if wrong:
        raise CheckpointError(f"checkpoint {path} ({conversion.format}) does not fit {task.name}: "
                              f"{'; '.join(summarise(wrong))}")
    conversion.tensors = {name: renamed[name].to(own[name].dtype).contiguous() for name in own}
    return conversion


def _fill(own: Mapping[str, Tensor], renamed: dict[str, Tensor], model: Encoder, conversion: Conversion) -> None:
    """What a format leaves out because it is computed (fixed positions) or absent, which is the same as 0 (biases of qkv)."""
    for name, tensor in own.items():
        if name in renamed:
            continue
        fixed = name == "tokenizer.pos_embed" and not model.get_parameter(name).requires_grad
        if fixed and conversion.format == "videomae":
            renamed[name] = tensor
            conversion.filled.append(f"{name}, from its formula")
        elif name.endswith("attn.qkv.bias") and name.removesuffix("bias") + "weight" in renamed:
            renamed[name] = torch.zeros_like(tensor)
            conversion.filled.append(f"{name}, with 0")


def _interpolate(wanted: Tensor, renamed: dict[str, Tensor], model: Encoder, shape: ModelShape, conversion: Conversion) -> None:
    """Positions of a square grid to ours; prefix tokens keep theirs."""
    have = renamed["tokenizer.pos_embed"]
    prefix = model.tokenizer.num_prefix_tokens
    grid = tuple(size // patch for size, patch in zip(shape.input_size, shape.patch_size, strict=True))
    side = round((have.shape[1] - prefix) ** 0.5)
    if have.shape == wanted.shape or len(grid) != 2 or have.shape[1] != prefix + side**2:
        return
    places = have[:, prefix:].view(1, side, side, -1).permute(0, 3, 1, 2).float()
    resized = nn.functional.interpolate(places, size=grid, mode="bicubic", align_corners=False)
    renamed["tokenizer.pos_embed"] = torch.cat([have[:, :prefix], resized.flatten(2).mT.to(have.dtype)], 1)
    conversion.reshaped.append(f"tokenizer.pos_embed from {side} x {side} to {grid[0]} x {grid[1]} (bicubic)")


def write(conversion: Conversion, path: Path) -> str:
    """Write the weights as safetensors; returns their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_tensors(conversion.tensors, path)
