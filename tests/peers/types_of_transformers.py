"""Every type of model of transformers 5.24.0 whose blocks `benchmark convert` takes, beside what they compute. Outside CI:

    T=$(mktemp -d) && .venv/bin/python -m pip install -q --no-deps --target $T -r tests/peers/requirements.txt && \\
        PYTHONPATH=$T .venv/bin/python tests/peers/types_of_transformers.py

Each type is built small, with random weights, and written by `save_pretrained`. Of what is taken, attention and MLP of the
first block are given what they are given there. Prints a line for each, and exits with 1 where one computes otherwise and
nothing said so, or where it could not be fed and is none of `UNFED`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModel

from benchmark.model.encoder import build_blocks
from benchmark.model.weights import CheckpointError
from benchmark.transfer.convert import Conversion, convert_blocks

SIZES = {name: value for names, value in (
    ("hidden_size embed_dim d_model dim", 48), ("num_hidden_layers encoder_layers decoder_layers n_layers", 2),
    ("num_attention_heads num_key_value_heads encoder_attention_heads decoder_attention_heads n_heads", 3),
    ("intermediate_size encoder_ffn_dim decoder_ffn_dim hidden_dim", 96), ("vocab_size", 300), ("image_size", 64))
    for name in names.split()}
PARTS = ("text_config", "vision_config", "encoder_config", "audio_config")
LARGEST = 30_000_000  # parameters, of a type that does not take these sizes
SETS = (None, "vision_model", "text_model")
IDS = torch.arange(5, 15)[None]
PICTURE = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
FEEDS: tuple[dict[str, Tensor], ...] = (
    {"input_ids": IDS}, {"pixel_values": PICTURE}, {"input_ids": IDS, "pixel_values": PICTURE},
    {"input_ids": IDS, "pixel_values": PICTURE[None]}, {"input_ids": IDS, "bbox": torch.rand(1, 10, 8)},
    {"pixel_values": PICTURE.expand(16, 3, 64, 64)[None]},
    {"pixel_values": PICTURE.expand(32, 3, 64, 64)[None]}, {"input_values": torch.linspace(-1, 1, 8000).sin()[None]},
    {"input_values": torch.linspace(-1, 1, 1024 * 128).view(1, 1024, 128)},
    {"input_ids": IDS, "visual_feats": torch.ones(1, 4, 2048), "visual_pos": torch.ones(1, 4, 4)},
    {"input_ids": IDS, "input_features": torch.ones(1, 1, 1001, 64)},
    {"input_ids": IDS, "token_type_ids": torch.zeros(1, 10, 7, dtype=torch.long)},
    {"states": torch.ones(1, 10, 17), "actions": torch.ones(1, 10, 4), "rewards": torch.ones(1, 10, 1),
     "returns_to_go": torch.ones(1, 10, 1), "timesteps": torch.arange(10)[None]})
UNFED = {"bros", "cosmos3_edge_vision", "dinov2", "dinov2_with_registers", "minicpm_ocr_vision", "minicpmv4_7_vision",
         "paddleocr_vl", "siglip2", "siglip2_vision_model", "step3p7", "video_llama_3", "video_llama_3_vision",
         "xclip"}  # DINOv2's factors


def small(kind: str) -> nn.Module | None:
    """A model of a type with random weights; None where it cannot be made small."""
    configuration = CONFIG_MAPPING[kind]()
    for part in (configuration, *(getattr(configuration, name) for name in PARTS if hasattr(configuration, name))):
        for name, value in SIZES.items():
            if name in {**(getattr(part, "attribute_map", None) or {}), **getattr(part, "__dict__", {})}:
                setattr(part, name, value)
    with torch.device("meta"):
        if sum(parameter.numel() for parameter in AutoModel.from_config(configuration).parameters()) > LARGEST:
            return None
    torch.manual_seed(0)
    model: nn.Module = AutoModel.from_config(configuration).eval().float()
    for parameter in model.parameters():
        noise = torch.randn_like(parameter)
        parameter.data = 0.3 * noise if parameter.ndim > 1 else parameter.data + 0.1 * noise
    return model


def is_of(theirs: object, weight: Tensor) -> bool:
    """Whether a layer's weight is ours; as it is, or with a row for each input and other outputs after ours, as GPT-2 has it"""
    if not isinstance(theirs, Tensor) or theirs.ndim != 2:
        return False
    return any(each.shape == weight.shape and torch.allclose(each, weight) for each in (theirs, theirs.T[:len(weight)]))


def apart(model: nn.Module, conversion: Conversion) -> dict[str, float]:
    """The largest difference of attention and of MLP over the largest value; what could not be fed is not there."""
    sizes = conversion.blocks
    assert sizes is not None
    block: Any = build_blocks(sizes.embed_dim, sizes.depth, sizes.num_heads, sizes.mlp_ratio, sizes.qkv_bias).eval()[0]
    block.load_state_dict({name.removeprefix("blocks.0."): tensor for name, tensor in conversion.tensors.items()
                           if name.startswith("blocks.0.")})
    ours = {"q": block.attn.qkv.weight[: sizes.embed_dim], "proj": block.attn.proj.weight, "fc1": block.mlp.fc1.weight,
            "fc2": block.mlp.fc2.weight}
    seen: dict[str, Tensor] = {}

    def note(name: str, values: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        given = values[0] if values else next(iter(named.values()))
        seen.setdefault(name, (given if name in ("q", "fc1") else result).detach().clone())

    hooks = []
    for name, weight in ours.items():
        for module in model.modules():
            if is_of(getattr(module, "weight", None), weight):
                hooks.append(module.register_forward_hook(
                    lambda module, values, named, result, name=name: note(name, values, named, result), with_kwargs=True))
                break
    for feed in FEEDS:
        try:
            model(**feed)
        except Exception:  # of any kind: it takes something else
            continue
        if len(seen) == len(ours):
            break
    for hook in hooks:
        hook.remove()
    found = {}
    for name, first, last, part in (("attention", "q", "proj", block.attn), ("MLP", "fc1", "fc2", block.mlp)):
        if {first, last} <= seen.keys():
            expected = part(seen[first] if seen[first].ndim == 3 else seen[first][None])
            found[name] = float((expected - seen[last].reshape(expected.shape)).abs().max() / expected.abs().max())
    return found


def taken(kind: str, folder: Path) -> Iterator[tuple[str | None, nn.Module, Conversion]]:
    """What conversion takes of a type, by set of weights"""
    try:
        model = small(kind)
        if model is None:
            return
        model.save_pretrained(folder)
    except Exception:  # of any kind: types that have no model, need other packages, or no small sizes
        return
    for chosen in SETS if (folder / "model.safetensors").is_file() else ():
        try:
            yield chosen, model, convert_blocks(folder / "model.safetensors", weights=chosen)
        except CheckpointError:
            continue


@torch.no_grad()
def main() -> int:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    count = wrong = 0
    for kind in sys.argv[1:] or list(CONFIG_MAPPING.keys()):
        with tempfile.TemporaryDirectory() as folder:
            for chosen, model, conversion in taken(kind, Path(folder)):
                found, said = apart(model, conversion), " ".join(conversion.differences)
                told = {"attention": any(word in said for word in ("attend", "attention is", "turned", "weighs", "those of")),
                        "MLP": "activation" in said}
                silent = [name for name, value in found.items() if value > 1e-5 and not told[name]]
                needless = [name for name, value in found.items() if value <= 1e-5 and told[name]]
                unfed = len(found) < 2 and kind not in UNFED
                count, wrong = count + 1, wrong + bool(silent or unfed)
                print(f"{'WRONG ' if silent or unfed else ''}{kind} {chosen or ''}: {found}; told: {conversion.differences}"
                      + (f"; needless: {needless}" if needless else ""), flush=True)
    print(f"{count} taken, {wrong} of them wrong")
    return int(bool(wrong or not count))


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.exit(main())
