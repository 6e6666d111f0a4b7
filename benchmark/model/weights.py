"""Weights to files and back, as safetensors, with every key accounted for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from benchmark.model.encoder import Encoder, TransformerModel, build_blocks
from benchmark.model.pathway import CHILD
from benchmark.spec.recipes import ModelShape

FOLDED_PREFIXES = ("tokenizer.", "head.")  # so that the image model's names are timm's


class CheckpointError(ValueError):
    """A weight file is missing, damaged, or does not fit the model."""


def save_weights(module: nn.Module, path: Path) -> str:
    """Write the state of `module` whole or not at all; returns its SHA-256."""
    return save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}, path)


def export_weights(model: TransformerModel, path: Path) -> str:
    """Write a merged model under timm's names (`cls_token`, `patch_embed.proj.weight`, `blocks.0.attn.qkv.weight`,
    `fc_norm.weight`, `head.weight`); returns the SHA-256.
    """
    exported: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if f".{CHILD}." in name:
            raise ValueError(f"{name}: merge the pathways before exporting")
        prefix = next((prefix for prefix in FOLDED_PREFIXES if name.startswith(prefix)), "")
        folded = name.removeprefix(prefix)
        if folded in exported:
            raise ValueError(f"two tensors would be exported as {folded}; rename one in the tokenizer or the head")
        exported[folded] = tensor.detach().cpu().contiguous()
    return save_tensors(exported, path)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> str:
    """Write contiguous tensors whole or not at all; returns the SHA-256."""
    data = save(tensors)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(data)
    temporary.replace(path)
    return hashlib.sha256(data).hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file; raises `CheckpointError` naming the file."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"weights {path} cannot be read: {error}; a checkpoint of elsewhere goes through benchmark "
                              "convert first") from error
    return tensors


def load_encoder(model: Encoder, path: Path, shape: ModelShape) -> dict[str, list[str]]:
    """Load a pretrained encoder of `shape` into `model`; returns the keys that were {"missing", "unused"}.

    Missing may be the head and prefix tokens that the tokenizer adds for the target; unused may be the final norm where
    the head normalises itself. Anything else, and any other shape, raises `CheckpointError`.
    """
    tensors = read_weights(path)
    heads = {module.num_heads for module in model.blocks.modules() if isinstance(module, Attention)}
    if heads != {shape.num_heads}:  # weights of equal shape, cut into other heads
        raise CheckpointError(f"weights {path} have {shape.num_heads} attention heads, the model has {sorted(heads)}")
    own = model.state_dict()
    missing, unused = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    added = tuple(f"tokenizer.{name}" for name in model.tokenizer.added_for_target)
    if "norm.weight" in missing:
        raise CheckpointError(f"weights {path} have no final norm, as theirs was their head's, and the head of this setting "
                              "needs one; train in a setting whose head normalises by itself")
    wrong = [key for key in missing if not key.startswith(("head.", *added))]
    wrong += [key for key in unused if not (key.startswith("norm.") and isinstance(model.norm, nn.Identity))]
    wrong += [f"{key} {tuple(tensors[key].shape)} for {tuple(own[key].shape)}"
              for key in sorted(own.keys() & tensors.keys()) if own[key].shape != tensors[key].shape]
    if wrong:
        raise CheckpointError(f"weights {path} do not fit the model: {', '.join(wrong)}")
    model.load_state_dict({key: tensor for key, tensor in tensors.items() if key in own}, strict=False)
    return {"missing": missing, "unused": unused}


def load_blocks(path: Path, shape: ModelShape) -> nn.ModuleList:
    """The blocks of a pretrained encoder of `shape`, nothing else of it."""
    blocks = build_blocks(shape.embed_dim, shape.depth, shape.num_heads, shape.mlp_ratio, shape.qkv_bias,
                          norm_eps=shape.norm_eps)
    tensors = {key.removeprefix("blocks."): tensor for key, tensor in read_weights(path).items() if key.startswith("blocks.")}
    try:
        blocks.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"blocks of {path} do not fit depth {shape.depth}, width {shape.embed_dim}: "
                              f"{' '.join(str(error).split())}") from error
    return blocks
