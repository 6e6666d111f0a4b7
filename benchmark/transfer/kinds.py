"""Weights of blocks and the configuration beside them in; what kind of blocks they are, and in what they differ from ours, out.

Ours are pre-norm: x + attention(norm1(x)), then x + MLP(norm2(x)), with GELU, and every token attends to all. What names do
not say, such as the number of heads, is in config.json beside the file: Hugging Face writes it there, and timm by naming an
architecture, which timm itself then builds here, without numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark.model.weights import CheckpointError
from benchmark.spec.plural import counted
from benchmark.transfer.namings import JAX_GELU, JAX_HEADS, REASONS, Naming, index_of

EXACT = ("gelu", "gelu_python")  # names of the activation that is ours,
OF_TANH = ("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "GELUTanh", JAX_GELU)  # and of a formula close to it
CLOSE = ", from which it is less than 0.0005 away"  # how it is told
PARTS = {"vision_model": "vision_config", "text_model": "text_config",  # of a file with two models: their configurations
         "open-clip-vision": "vision_config", "open-clip-text": "text_config"}
OPEN_CLIP = "open_clip_config.json"
WIDTHS = ("d_model", "hidden_size", "n_embd")
HEADS = ("encoder_attention_heads", "num_attention_heads", "n_head")
DEPTHS = ("l_layers", "encoder_layers", "num_hidden_layers", "n_layer")  # the first is LXMERT's, of its words
RELATIVE = "attention weighs relative positions there, and not here"
ROTARY = "queries and keys are turned by their positions there (rotary embedding), and not here"
ROPE = re.compile(r"(^|\.)(rope|rope_embed|rotary_emb|rotary_embeddings)\.")  # in names of what turns them
FACTORS = "attention has other factors before its softmax there than 1 / sqrt(the width of a head), and here that"
APPROXIMATE = "attention is approximated there, and exact here"
COMPARED = {  # types of transformers whose blocks compute what is told of them (tests/peers/types_of_transformers.py)
    "altclip", "audio-spectrogram-transformer", "bert", "bert-generation", "camembert", "chinese_clip", "clap", "clip",
    "clipseg", "data2vec-text", "decision_transformer", "deit", "dinov2", "dinov2_with_registers", "dpt", "ernie", "gpt2",
    "groupvit", "hubert", "idefics", "ijepa", "layoutlm", "lxmert", "markuplm", "metaclip_2", "owlv2", "owlvit", "pixio",
    "roberta", "roc_bert", "siglip", "splinter", "tapas", "unispeech", "unispeech-sat", "videomae", "vilt",
    "vision-text-dual-encoder", "visual_bert", "vit", "vit_mae", "vit_msn", "vivit", "wav2vec2", "whisper", "xlm-roberta",
    "yolos"}
OTHERWISE = {  # other types under the same names
    "big_bird": "of a long text a token attends to some others alone there, and here to all",
    "bros": "attention weighs how boxes lie to each other there, and not here",
    "git": "a token of text attends to earlier ones alone there, and here to all",
    "mlcd": ROTARY, "mra": APPROXIMATE, "yoso": APPROXIMATE}
TIMM_PLAIN = {"vision_transformer.Block", "eva.EvaBlock", "beit.Block", "vision_transformer_relpos.RelPosBlock"}


@dataclass(frozen=True)
class Kind:
    """Of blocks in a file."""

    num_heads: int | None  # None: nothing says it
    post_norm: bool
    causal: bool
    activation: str | None  # None: nothing says it
    others: tuple[str, ...] = ()  # what else they do otherwise, one sentence each
    width: int | None = None  # that the configuration says; None: it says none
    depth: int | None = None  # likewise

    def differences(self) -> list[str]:
        """What these blocks compute otherwise than ours with the same weights, one sentence each"""
        found = [*self.others]
        if self.post_norm:
            found.append("norms come after the sums there, and here before attention and MLP: each gets the norm that came "
                         "before it, and computes the same from the same sum; sums themselves are not normalised")
        if self.causal:
            found.append("a token attends to earlier ones alone there, and here to all")
        if self.activation is None:
            found.append("the activation is not known, as no config.json beside the file says it (CLIP's own is QuickGELU); "
                         "here it is GELU")
        elif self.activation not in EXACT:
            found.append(f"the activation is {self.activation} there, and here GELU"
                         + (CLOSE if self.activation in OF_TANH else ""))
        return found


def kind_of(path: Path, chosen: str, naming: Naming, tensors: Mapping[str, Tensor]) -> Kind:
    """Of the set `chosen` of a file; raises `CheckpointError` where it cannot be told whether norms come before or after."""
    said = _configuration(path, chosen, naming) if naming.configured else {}
    if "architecture" in said:
        return _kind_of_timm(said, path.with_name("config.json"))
    heads: Any = next((said[name] for name in HEADS if name in said), None)
    if "encoder.num_heads" in tensors:
        heads = int(tensors["encoder.num_heads"])
    heads = next((tensor.shape[1] for name, tensor in tensors.items() if re.search(JAX_HEADS, name) and tensor.ndim == 3),
                 heads)
    if heads is not None and (type(heads) is not int or heads < 1):
        raise CheckpointError(f"{_place(path, naming)}: {heads!r} is no number of heads")
    post_norm = naming.post_norm
    if post_norm is None:
        if "do_stable_layer_norm" not in said:
            what = ("the config.json beside it is of another model than wav2vec 2.0, HuBERT and UniSpeech, which are read"
                    if said else "put the config.json that was published with it beside it")
            raise CheckpointError(f"checkpoint {path} ({naming.name}) does not say whether norms come before attention or "
                                  f"after; {what}")
        post_norm = not said["do_stable_layer_norm"]
    activation = said.get("hidden_act", said.get("activation_function", naming.activation))
    kind = re.sub(r"_(text|vision)(_model)?$", "", str(said.get("model_type", "")))
    unmasked = kind.startswith("siglip") or said.get("no_causal_mask") is True
    causal = said.get("is_decoder") is True or (naming.causal and not unmasked)
    others = [RELATIVE] if any("rel_pos" in name and not name.startswith("blocks.") for name in tensors) else []
    others += [ROTARY] if any(ROPE.search(name) for name in tensors) else []
    others += [FACTORS] if said.get("scale_attn_by_inverse_layer_idx") or said.get("scale_attn_weights") is False else []
    if kind in OTHERWISE:
        others.append(OTHERWISE[kind])
    elif kind and kind not in COMPARED:
        others.append(f"blocks are those of transformers' {kind} there, which may compute otherwise with the same weights")
    width, depth = (next((said[name] for name in names if isinstance(said.get(name), int)), None) for names in (WIDTHS, DEPTHS))
    return Kind(heads, post_norm, causal, None if activation is None else str(activation), tuple(others), width, depth)


def _kind_of_timm(said: Mapping[str, Any], place: Path) -> Kind:
    """Of the blocks of the model of timm that a config.json names"""
    import timm
    import torch

    name, arguments = said["architecture"], said.get("model_args") or {}
    try:
        if not timm.is_model(name):  # a name may also ask for a download
            raise LookupError("no such model")
        with torch.device("meta"):
            model: Any = timm.create_model(name, pretrained=False, checkpoint_path="", **arguments)
        block = model.blocks[0]
        heads, activation = int(block.attn.num_heads), block.mlp.act
    except (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{place} names timm's {name!r}, whose blocks timm {timm.__version__} does not show "
                              f"({type(error).__name__}: {error}); without it, weights are taken as a plain ViT's") from error
    kind = f"{type(block).__module__.rpartition('.')[2]}.{type(block).__name__}"
    others = []
    if "Post" in kind:
        others.append("norms come after attention and MLP, before the sums, there, and here before attention and MLP")
    elif kind not in TIMM_PLAIN:
        others.append(f"blocks are timm's {kind} there, which may compute otherwise with the same weights")
    if getattr(model, "shared_rel_pos", None) is not None:
        others.append(RELATIVE)
    if getattr(model, "rope", None) is not None:
        others.append(ROTARY)
    exact = isinstance(activation, torch.nn.GELU) and activation.approximate == "none"
    return Kind(heads, False, False, EXACT[0] if exact else type(activation).__name__, tuple(others),
                getattr(model, "embed_dim", None), len(model.blocks))


def _configuration(path: Path, chosen: str, naming: Naming) -> dict[str, Any]:
    """What config.json beside a file, or open_clip's, says of a model in it; {} where there is none"""
    part = PARTS.get(naming.name, PARTS.get(chosen.rpartition(".")[2], ""))
    place = _place(path, naming)
    of_open_clip = place.name == OPEN_CLIP
    if not place.is_file():
        return {}
    try:
        said = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{place}, which says what blocks {path.name} has, cannot be read: {error}") from error
    inner = said.get("model_cfg", said) if of_open_clip and isinstance(said, dict) else said
    tower = inner.get(part.replace("config", "cfg") if of_open_clip else part, inner) if isinstance(inner, dict) else None
    if not isinstance(tower, dict):
        raise CheckpointError(f"{place}, which says what blocks {path.name} has, is no configuration of a model")
    return _as_hugging_face(tower, part, inner.get("quick_gelu") is True) if of_open_clip else tower


def _place(path: Path, naming: Naming) -> Path:
    """Of the configuration beside a file"""
    beside = path.with_name(OPEN_CLIP)
    return beside if naming.name in PARTS and beside.is_file() else path.with_name("config.json")


def _as_hugging_face(tower: Mapping[str, Any], part: str, quick_gelu: bool) -> dict[str, Any]:
    """What open_clip says of a tower, or takes where it says nothing, under Hugging Face's names"""
    of_texts = part == PARTS["text_model"]
    width, head, extra = tower.get("width", 512 if of_texts else 768), tower.get("head_width", 64), tower.get("act_kwargs")
    divides = isinstance(width, int) and isinstance(head, int) and head > 0
    activation = "gelu_pytorch_tanh" if isinstance(extra, dict) and extra.get("approximate") == "tanh" else EXACT[0]
    return {"hidden_size": width, "num_hidden_layers": tower.get("layers", 12),
            "num_attention_heads": tower.get("heads", 8) if of_texts else width // head if divides else head,
            "hidden_act": "quick_gelu" if quick_gelu else activation, "no_causal_mask": tower.get("no_causal_mask") is True}


def check_sizes(path: Path, kind: Kind, tensors: Mapping[str, Tensor]) -> None:
    """Raises `CheckpointError` where config.json is of another model than the weights, and so has other heads than they, or
    of a deeper one, of which these are a part."""
    width = next((len(tensors[name]) for name in tensors if name.endswith(".attn.proj.weight") and tensors[name].ndim), None)
    if None not in (kind.width, width) and kind.width != width:
        raise CheckpointError(f"checkpoint {path} has blocks of width {width}, and the config.json beside it is of a model of "
                              f"width {kind.width}; put its own beside it, or take that one away")
    depth = len({index_of(name) for name in tensors if name.startswith("blocks.")})
    if depth and kind.depth not in (None, depth):
        raise CheckpointError(f"checkpoint {path} has {counted(depth, 'block')}, and the config.json beside it is of a model "
                              f"of {kind.depth}; put its own beside it, or take that one away, or, where the file is a part of "
                              "the weights, get all of them")


def place_norms(tensors: dict[str, Tensor]) -> None:
    """Of blocks whose norms come after the sums, under our names: give attention and MLP the norm that came before them.

    "norm" is that before the first block, and then the one after the last.
    """
    blocks = sorted({index_of(name) for name in tensors if name.startswith("blocks.")})
    norms = ["norm", *(f"blocks.{index}.norm{which}" for index in blocks for which in (1, 2)), "norm"]
    held = {name: tensors.pop(name) for norm in norms for part in ("weight", "bias") if (name := f"{norm}.{part}") in tensors}
    for before, norm in pairwise(norms):
        for part in ("weight", "bias"):
            if f"{before}.{part}" in held:
                tensors[f"{norm}.{part}"] = held[f"{before}.{part}"]


def reasons(names: list[str]) -> list[str]:
    """What parts of blocks are for that ours have no place for, as far as their names tell"""
    return [f"these blocks have {what}, and ours do not" for pattern, what in REASONS.items()
            if any(re.search(pattern, name) for name in names)]
