"""Names of other people's weights in, ours out: one small table for each way of naming. Another one is another table here.

A naming says by which names it is known, which names are no part of an encoder, and how the others read under ours. What
all share is written once: queries, keys and values become one matrix, 1x1 convolutions linear layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.model.weights import CheckpointError

QKV = ("q", "k", "v")
HEAD_NORM = re.compile(r"(^|\.)fc_norm\.")  # of a head that normalises the mean of the tokens, so that the encoder has no norm


@dataclass(frozen=True)
class Naming:
    """One way of naming. Patterns are regular expressions, found anywhere unless they are anchored."""

    name: str
    title: str  # for people
    marks: str  # a name of such a file, and of none of those after it in `NAMINGS`
    no_encoder: str = r"(?!)"  # names of decoders, heads and mask tokens
    ours: tuple[tuple[str, str], ...] = ()  # replacements, one after another
    fixed_positions: bool = False  # whether positions are computed and so not in the file


TOKENIZER = (r"^(cls_token$|pos_embed$|patch_embed\.)", r"tokenizer.\1")
BIASES = ((r"attn\.q_bias$", "attn.q.bias"), (r"attn\.v_bias$", "attn.v.bias"))
POINT_NET = (
    *((rf"^encoder\.{theirs}\.", f"tokenizer.point_net.{ours}.") for theirs, ours in (
        (r"first_conv\.0", "conv1"), (r"first_conv\.1", "norm1"), (r"first_conv\.3", "conv2"),
        (r"second_conv\.0", "conv3"), (r"second_conv\.1", "norm2"), (r"second_conv\.3", "conv4"))),
    (r"^pos_embed\.", "tokenizer.position."), (r"^blocks\.blocks\.", "blocks."))
HUGGING_FACE = (
    (r"^(vit|deit|videomae)\.", ""), (r"^embeddings\.cls_token$", "tokenizer.cls_token"),
    (r"^embeddings\.position_embeddings$", "tokenizer.pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "tokenizer.patch_embed.proj."),
    (r"^(encoder\.layer|layers)\.", "blocks."), (r"^layernorm\.", "norm."),
    (r"\.attention\.attention\.([qv])_bias$", r".attn.\1.bias"),
    (r"\.attention\.attention\.([qkv])(uery|ey|alue)\.", r".attn.\1."), (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."), (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."), (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."))

NAMINGS = (
    Naming("ours", "what benchmark convert or pretraining here wrote", r"^tokenizer\."),
    Naming("hugging-face-videomae", "Hugging Face's VideoMAE", r"^videomae\.",
           r"^(?!videomae\.)|position_embeddings$", HUGGING_FACE, fixed_positions=True),
    Naming("hugging-face", "Hugging Face's ViT and ViTMAE", r"^((vit|deit)\.)?embeddings\.patch_embeddings\.",
           r"^(decoder|classifier|pooler|(vit|deit)\.pooler)\.|mask_token$", HUGGING_FACE),
    Naming("point-mae", "Point-MAE, pretrained", r"^MAE_encoder\.encoder\.first_conv\.", r"^(?!MAE_encoder\.)",
           ((r"^MAE_encoder\.", ""), *POINT_NET)),
    Naming("point-mae", "Point-MAE, fine-tuned", r"^encoder\.first_conv\.", r"^(cls_token|cls_pos$|cls_head)", POINT_NET),
    Naming("videomae", "VideoMAE, pretrained", r"^encoder\.blocks\.", r"^(?!encoder\.)",
           ((r"^encoder\.", ""), *BIASES, TOKENIZER), fixed_positions=True),
    Naming("videomae", "VideoMAE, fine-tuned", r"attn\.q_bias$", r"^(head|fc_norm)\.", (*BIASES, TOKENIZER),
           fixed_positions=True),
    Naming("mae", "MAE and AudioMAE", r"^(mask_token$|decoder_)", r"^(decoder|mask_token|head|fc_norm)", (TOKENIZER,)),
    Naming("timm", "timm's ViT, and what benchmark export wrote", r"^blocks\.\d+\.",
           r"^(head|fc_norm|pre_logits)(_drop)?(\.|$)", (TOKENIZER,)))


def detect(names: Mapping[str, object]) -> Naming:
    """How weights by name are named; raises `CheckpointError` where that is not known, with what is."""
    found = next((naming for naming in NAMINGS if any(re.search(naming.marks, name) for name in names)), None)
    if found is None:
        known = "; ".join(dict.fromkeys(naming.title for naming in NAMINGS))
        raise CheckpointError(f"weights of an unknown format; they begin with {', '.join(list(names)[:3])}. "
                              f"Known formats: {known}")
    return found


def rename(naming: Naming, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """(weights under our names, what was left out, what was joined or reshaped). A name that the table does not know stays
    as it is, so that the comparison with the model shows it."""
    renamed: dict[str, Tensor] = {}
    left_out, reshaped = [], []
    for name, tensor in tensors.items():
        if re.search(naming.no_encoder, name):
            left_out.append(name)
            continue
        own = name
        for theirs, ours in naming.ours:
            own = re.sub(theirs, ours, own)
        if own.startswith("tokenizer.point_net.") and tensor.ndim == 3 and tensor.shape[2] == 1:
            reshaped.append(f"{name} {tuple(tensor.shape)} to {tuple(tensor.shape[:2])}")
            tensor = tensor[:, :, 0]
        if own in renamed:
            raise CheckpointError(f"two tensors are {own} under our names; {name} is the second")
        renamed[own] = tensor
    return _joined(renamed, reshaped), left_out, reshaped


def _joined(tensors: dict[str, Tensor], reshaped: list[str]) -> dict[str, Tensor]:
    """Queries, keys and values as one; where some of them have a bias, that of the others is 0"""
    for start in dict.fromkeys(name.rpartition("attn.q.")[0] for name in tensors if ".attn.q." in name):
        for part in ("weight", "bias"):
            names = [f"{start}attn.{letter}.{part}" for letter in QKV]
            there = [name for name in names if name in tensors]
            if there and (part == "bias" or len(there) == len(names)):
                like = tensors[there[0]]
                tensors[f"{start}attn.qkv.{part}"] = torch.cat(
                    [tensors.pop(name, torch.zeros_like(like)) for name in names])
                reshaped.append(f"{start}attn.{'/'.join(QKV)}.{part} to qkv.{part}"
                                + ("" if len(there) == len(names) else ", 0 where there was none"))
    return tensors
