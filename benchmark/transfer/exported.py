"""A recorded run's merged weights in, a file out that says what model it is of, and the call of timm that builds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from benchmark.records.record import Record, write_whole
from benchmark.spec.weightfile import exact

OF_A_VIT = {"patch_embed.proj.weight", "pos_embed", "fc_norm.weight", "head.weight"}  # which pools patches


def export(record: Record, weights: Path, target: Path) -> str:
    """Write the tensors of `weights` to `target` with what they are of as the file's metadata; returns how to load them.

    The metadata are texts: "run", "task", "arm", "num_classes", "shape" (JSON, of the model) and "load" (Python). Raises
    `OSError`, and `safetensors.SafetensorError` for weights that are none.
    """
    tensors = load_file(weights)
    call = how_to_load(record, tensors, target.name)
    about = {"format": "pt", "run": record.spec.name, "task": record.spec.task, "arm": record.spec.arm or "pretraining",
             "shape": record.spec.shape.model_dump_json(), "load": call}
    if "head.weight" in tensors:
        about["num_classes"] = str(len(tensors["head.weight"]))
    write_whole(target, save(tensors, about))
    return call


def how_to_load(record: Record, tensors: Mapping[str, Tensor], file: str) -> str:
    """Python that builds timm's model with these weights: whole and with its head, or, where tokens are made otherwise than
    timm's ViT makes them, or the head is another, its blocks alone."""
    shape = record.spec.shape
    sizes = [f"embed_dim={shape.embed_dim}", f"depth={shape.depth}", f"num_heads={shape.num_heads}",
             f"mlp_ratio={exact(shape.mlp_ratio)}", f"qkv_bias={shape.qkv_bias}"]
    imports = ["from safetensors.torch import load_file", "from timm.models import VisionTransformer"]
    if shape.norm_eps is not None:
        imports = ["from functools import partial", *imports, "from torch.nn import LayerNorm"]
        sizes.append(f"norm_layer=partial(LayerNorm, eps={exact(shape.norm_eps)})")
    patches = tensors.get("patch_embed.proj.weight")
    if tensors.keys() >= OF_A_VIT and patches is not None and patches.ndim == 4:
        whole = [f"img_size={shape.input_size}", f"patch_size={shape.patch_size}", f"in_chans={patches.shape[1]}",
                 f"num_classes={len(tensors['head.weight'])}", f"class_token={'cls_token' in tensors}", 'global_pool="avg"']
        return "\n".join([*imports, f"model = VisionTransformer({', '.join([*whole, *sizes])})",
                          f'model.load_state_dict(load_file("{file}"))'])
    return "\n".join([*imports, f"blocks = VisionTransformer({', '.join(sizes)}).blocks",
                      f'blocks.load_state_dict({{name.removeprefix("blocks."): tensor for name, tensor in '
                      f'load_file("{file}").items() if name.startswith("blocks.")}})'])
