"""Names of other people's weights in, ours out: one small table for each way of naming. Another one is another table here.

A naming says by which names it is known, which names are no part of an encoder, how the others read under ours, and what its
blocks do otherwise than ours (`kinds` says it in words). What all share is written once: queries, keys and values become one
matrix, 1x1 convolutions linear layers, and factors on the outputs of a branch (LayerScale) a part of its last layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor

from benchmark.model.weights import CheckpointError

QKV = ("q", "k", "v")
LONGEST_INDEX = 9  # digits
LAYER_SCALE = re.compile(r"^blocks\.\d+\.ls[12]\.gamma$")  # as timm and DINOv2's own files have it
HEAD_NORM = re.compile(r"(^|\.)fc_norm\.")  # of a head that normalises the mean of the tokens, so that the encoder has no norm


@dataclass(frozen=True)
class Naming:
    """One way of naming. Patterns are regular expressions, found anywhere unless they are anchored."""

    name: str
    title: str  # for people
    marks: str  # a name of such a file, and with `beside` of none of those after it in `NAMINGS`
    no_encoder: str = r"(?!)"  # names of decoders, heads and mask tokens
    ours: tuple[tuple[str, str], ...] = ()  # replacements, one after another
    fixed_positions: bool = False  # whether positions are computed and so not in the file
    other_input: str = ""  # what its blocks are fed with, where no task here has it: its blocks alone can be taken
    configured: bool = False  # whether a config.json beside the file says more
    post_norm: bool | None = False  # whether norms come after the sums; None: the configuration says
    causal: bool = False  # whether a token attends to earlier ones alone
    activation: str | None = "gelu"  # None: the configuration says
    beside: str = ""  # another name of such a file, where others that compute something else share the first
    by_input: str = r"(?!)"  # our names of weights that have a row for each input there, and a column here
    by_head: str = r"(?!)"  # our names of biases that have a row for each head there
    after_positions: str = r"(?!)"  # names of positions after which a token of the class may be put, which then has none


TOKENIZER = (r"^(cls_token$|pos_embed$|patch_embed\.)", r"tokenizer.\1")
BIASES = ((r"attn\.q_bias$", "attn.q.bias"), (r"attn\.v_bias$", "attn.v.bias"))
POINT_NET = (
    *((rf"^encoder\.{theirs}\.", f"tokenizer.point_net.{ours}.") for theirs, ours in (
        (r"first_conv\.0", "conv1"), (r"first_conv\.1", "norm1"), (r"first_conv\.3", "conv2"),
        (r"second_conv\.0", "conv3"), (r"second_conv\.1", "norm2"), (r"second_conv\.3", "conv4"))),
    (r"^pos_embed\.", "tokenizer.position."), (r"^blocks\.blocks\.", "blocks."))
OF_A_TASK = r"^(?!encoder\.|decoder\.)\w+\.(?=({})\.)"  # what a model for a task puts before the names of its encoder
HUGGING_FACE = (
    (OF_A_TASK.format("embeddings|encoder|layers|layernorm"), ""), (r"^embeddings\.cls_token$", "tokenizer.cls_token"),
    (r"^embeddings\.position_embeddings$", "tokenizer.pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "tokenizer.patch_embed.proj."),
    (r"^(encoder\.layer|layers)\.", "blocks."), (r"^layernorm\.", "norm."),
    (r"\.attention\.attention\.([qv])_bias$", r".attn.\1.bias"),
    (r"\.attention\.attention\.([qkv])(uery|ey|alue)\.", r".attn.\1."), (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."), (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."), (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."), (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"))
BERT = (
    (OF_A_TASK.format("embeddings|encoder"), ""), (r"\.gamma$", ".weight"), (r"\.beta$", ".bias"),
    (r"^embeddings\.LayerNorm\.", "norm."),
    (r"^encoder\.layer\.", "blocks."), (r"\.attention\.self\.([qkv])(uery|ey|alue)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."), (r"\.attention\.output\.LayerNorm\.", ".norm1."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."), (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^(blocks\.\d+)\.output\.LayerNorm\.", r"\1.norm2."))
SELF_ATTENTION = (
    (r"^encoder\.layers\.", "blocks."), (r"\.(self_attn|attention)\.([qkv])_proj\.", r".attn.\2."),
    (r"\.(self_attn|attention)\.out_proj\.", ".attn.proj."))
CLIP = (*SELF_ATTENTION, (r"\.layer_norm([12])\.", r".norm\1."))
WAV2VEC = (
    (OF_A_TASK.format("encoder"), ""), *SELF_ATTENTION, (r"^encoder\.layer_norm\.", "norm."),
    (r"^(blocks\.\d+)\.layer_norm\.", r"\1.norm1."), (r"^(blocks\.\d+)\.final_layer_norm\.", r"\1.norm2."),
    (r"\.feed_forward\.intermediate_dense\.", ".mlp.fc1."), (r"\.feed_forward\.output_dense\.", ".mlp.fc2."))
WHISPER = (
    *SELF_ATTENTION, (r"^encoder\.layer_norm\.", "norm."), (r"^(blocks\.\d+)\.self_attn_layer_norm\.", r"\1.norm1."),
    (r"^(blocks\.\d+)\.final_layer_norm\.", r"\1.norm2."), (r"^(blocks\.\d+)\.(fc[12])\.", r"\1.mlp.\2."))
OPENAI_WHISPER = (
    (r"^encoder\.blocks\.", "blocks."), (r"\.attn\.([qkv])(uery|ey|alue)\.", r".attn.\1."), (r"\.attn\.out\.", ".attn.proj."),
    (r"\.attn_ln\.", ".norm1."), (r"\.mlp_ln\.", ".norm2."), (r"\.mlp\.0\.", ".mlp.fc1."), (r"\.mlp\.2\.", ".mlp.fc2."),
    (r"^encoder\.ln_post\.", "norm."))
CTRANSLATE2 = (
    (r"\.gamma$", ".weight"), (r"\.beta$", ".bias"), (r"^encoder\.layer_norm\.", "norm."),
    (r"^encoder\.layer_(\d+)\.", r"blocks.\1."), (r"\.self_attention\.layer_norm\.", ".norm1."),
    (r"\.self_attention\.linear_0\.", ".attn.qkv."), (r"\.self_attention\.linear_1\.", ".attn.proj."),
    (r"\.ffn\.layer_norm\.", ".norm2."), (r"\.ffn\.linear_0\.", ".mlp.fc1."), (r"\.ffn\.linear_1\.", ".mlp.fc2."))
TORCHVISION = (  # a published file has linear_1 and linear_2, a model that torchvision builds 0 and 3
    (r"^class_token$", "tokenizer.cls_token"), (r"^encoder\.pos_embedding$", "tokenizer.pos_embed"),
    (r"^conv_proj\.(weight|bias)$", r"tokenizer.patch_embed.proj.\1"), (r"^encoder\.ln\.", "norm."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."), (r"^(blocks\.\d+)\.ln_([12])\.", r"\1.norm\2."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."), (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(0|linear_1)\.", ".mlp.fc1."), (r"\.mlp\.(3|linear_2)\.", ".mlp.fc2."))
GPT2 = (
    (r"^(\w+\.)?(?=(h|wte|wpe|ln_f)\.)", ""), (r"^h\.", "blocks."), (r"^ln_f\.", "norm."), (r"\.ln_([12])\.", r".norm\1."),
    (r"\.attn\.c_attn\.", ".attn.qkv."), (r"\.attn\.c_proj\.", ".attn.proj."), (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."))
OPEN_CLIP = (
    (r"^transformer\.resblocks\.", "blocks."), (r"^ln_(post|final)\.", "norm."), (r"\.ln_([12])\.", r".norm\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."), (r"\.attn\.out_proj\.", ".attn.proj."), (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."), (r"\.ls_([12])\.", r".ls\1."))
JAX = (  # the first release numbers the parts of a block together, and later ones those of a kind
    (r"^(Transformer|Encoder_0)\.(?=encoder)", ""), (r"\.(scale|kernel)$", ".weight"), (r"^encoder_norm\.", "norm."),
    (r"^cls$", "tokenizer.cls_token"), (r"^(Transformer\.(posembed_input\.)?)?pos_embedding$", "tokenizer.pos_embed"),
    (r"^embedding\.", "tokenizer.patch_embed.proj."), (r"^encoderblock_(\d+)\.", r"blocks.\1."),
    (r"\.LayerNorm_0\.", ".norm1."), (r"\.LayerNorm_[12]\.", ".norm2."),
    (r"\.MultiHeadDotProductAttention_[01]\.([qkv])(uery|ey|alue)\.", r".attn.\1."),
    (r"\.MultiHeadDotProductAttention_[01]\.out\.", ".attn.proj."), (r"\.MlpBlock_[013]\.Dense_0\.", ".mlp.fc1."),
    (r"\.MlpBlock_[013]\.Dense_1\.", ".mlp.fc2."))
JAX_BY_INPUT = r"\.(attn|mlp)\..+\.weight$|\.patch_embed\.proj\.weight$"
JAX_BY_HEAD = r"\.attn\.[qkv]\.bias$"
JAX_GELU = "GELU by a formula of tanh"
JAX_HEADS = r"encoderblock_\d+\.\w+\.query\.kernel$"  # of a size for each head
SPECTRA = "spectra of speech through convolutions"
REASONS = {  # of names that ours have no place for: what they are
    r"distance_embedding|relative_attention|rel_pos": "relative positions inside of attention",
    r"mlp\.(weights_in|gate_proj|up_proj|w12)\.": "a gated MLP (SwiGLU)",
    r"\.(gamma|lambda)_[12]$": "factors on the outputs of attention and MLP (multiply the last layers of both by them first)",
    r"lora_|adapter": "low-rank parts or adapters (merge those into the weights first)",
    r"(q|k)_norm\.|\.(query|key)_ln\.": "norms of queries and keys",
    r"crossattention|encoder_attn": "attention to another model"}

NAMINGS = (
    Naming("ours", "what benchmark convert or pretraining here wrote", r"^tokenizer\."),
    Naming("hugging-face-videomae", "Hugging Face's VideoMAE", r"^videomae\.",
           r"^(?!videomae\.)|position_embeddings$", HUGGING_FACE, fixed_positions=True, configured=True),
    Naming("hugging-face", "Hugging Face's ViT, ViTMAE, DeiT, DINOv2 and AST",
           r"^(\w+\.)?embeddings\.patch_embeddings\.",
           r"^(decoder|((cls|distillation)_)?classifier|(\w+\.)?pooler)\.|mask_token$", HUGGING_FACE, configured=True),
    Naming("bert", "Hugging Face's BERT", r"(^|\.)encoder\.layer\.\d+\.attention\.self\.query\.", ours=BERT,
           other_input="words", configured=True, post_norm=True),
    Naming("gpt2", "Hugging Face's GPT-2", r"(^|\.)h\.\d+\.attn\.c_attn\.", r"\.attn\.(masked_)?bias$", GPT2,
           beside=r"(^|\.)ln_f\.",  # OpenAI's first GPT has norms after the sums, and none after the last block
           other_input="words", configured=True, causal=True, activation="gelu_new", by_input=r"(attn|mlp)\.\w+\.weight$"),
    Naming("clip-vision", "Hugging Face's CLIP, images", r"^embeddings\.class_embedding$", ours=CLIP,
           other_input="patches that are normalised after their positions are added", configured=True, activation=None),
    Naming("siglip-vision", "Hugging Face's SigLIP, images", r"^embeddings\.patch_embedding\.", ours=CLIP,
           other_input="patches without a token of a class", configured=True, activation="gelu_pytorch_tanh"),
    Naming("clip-text", "Hugging Face's CLIP, texts", r"^embeddings\.token_embedding\.", ours=CLIP, other_input="words",
           configured=True, causal=True, activation=None),
    Naming("wav2vec2", "Hugging Face's wav2vec 2.0", r"(^|\.)encoder\.layers\.\d+\.feed_forward\.intermediate_dense\.",
           ours=WAV2VEC, other_input="waves through convolutions", configured=True, post_norm=None),
    Naming("whisper", "Hugging Face's Whisper", r"^encoder\.layers\.\d+\.self_attn_layer_norm\.", r"^decoder\.", WHISPER,
           beside=r"^encoder\.conv1\.", other_input=SPECTRA, configured=True),  # BART and fairseq's wav2vec 2.0 have no conv1
    Naming("openai-whisper", "OpenAI's Whisper", r"^encoder\.blocks\.\d+\.attn\.query\.", r"^decoder\.", OPENAI_WHISPER,
           other_input=SPECTRA),
    Naming("ctranslate2-whisper", "Whisper in CTranslate2's format", r"^encoder\.layer_\d+\.self_attention\.",
           r"^decoder\.", CTRANSLATE2, other_input=SPECTRA),
    Naming("jax-text", "texts of SigLIP and LiT in JAX", r"^Embed_0\.embedding$", ours=JAX, other_input="words",
           activation=JAX_GELU, beside=r"^Encoder_0\.encoderblock_\d+\.", by_input=JAX_BY_INPUT, by_head=JAX_BY_HEAD),
    Naming("jax", "ViT in JAX (vision_transformer and big_vision)", r"(^|\.)encoderblock_\d+\.MultiHeadDotProductAttention_",
           r"^(head|pre_logits|MAPHead_0)\.|^probe$", JAX, activation=JAX_GELU, by_input=JAX_BY_INPUT, by_head=JAX_BY_HEAD,
           after_positions=r"^pos_embedding$"),
    Naming("open-clip-vision", "CLIP under OpenAI's and open_clip's names, images", r"^transformer\.resblocks\.\d+\.attn\.",
           ours=OPEN_CLIP, beside=r"^conv1\.", other_input="patches that are normalised after their positions are added",
           configured=True, activation=None),
    Naming("open-clip-text", "CLIP under OpenAI's and open_clip's names, texts", r"^transformer\.resblocks\.\d+\.attn\.",
           ours=OPEN_CLIP, beside=r"^token_embedding\.", other_input="words", configured=True, causal=True, activation=None),
    Naming("torchvision", "torchvision's ViT", r"^encoder\.layers\.encoder_layer_\d+\.self_attention\.", r"^heads\.",
           TORCHVISION),
    Naming("point-mae", "Point-MAE, pretrained", r"^MAE_encoder\.encoder\.first_conv\.", r"^(?!MAE_encoder\.)",
           ((r"^MAE_encoder\.", ""), *POINT_NET)),
    Naming("point-mae", "Point-MAE, fine-tuned", r"^encoder\.first_conv\.", r"^(cls_token|cls_pos$|cls_head)", POINT_NET),
    Naming("videomae", "VideoMAE, pretrained", r"^encoder\.blocks\.", r"^(?!encoder\.)",
           ((r"^encoder\.", ""), *BIASES, TOKENIZER), fixed_positions=True),
    Naming("videomae", "VideoMAE, fine-tuned", r"attn\.q_bias$", r"^(head|fc_norm)\.", (*BIASES, TOKENIZER),
           fixed_positions=True, configured=True),
    Naming("mae", "MAE and AudioMAE", r"^(mask_token$|decoder_)", r"^(decoder|mask_token|head|fc_norm)", (TOKENIZER,)),
    Naming("timm", "timm's ViT, and what benchmark export wrote", r"^blocks\.\d+\.",
           r"^(head|fc_norm|pre_logits)(_drop)?(\.|$)", (TOKENIZER,), configured=True))


def fault_of(tensor: Tensor, dtype: torch.dtype = torch.float32) -> str:
    """Why numbers of a file are not, in `dtype`, those that were trained; "" where nothing shows."""
    if dtype.is_floating_point and not tensor.is_floating_point():
        return f"has {str(tensor.dtype).removeprefix('torch.')} numbers, whose scale is not known"
    return "" if tensor.to(dtype).isfinite().all() else "has numbers that are not finite"


def index_of(name: str) -> int:
    """Of the block that a tensor of blocks is in; raises `CheckpointError` where its name has none."""
    index = name.split(".")[1]
    if not name.startswith("blocks.") or not index.isdecimal() or len(index) > LONGEST_INDEX:
        raise CheckpointError(f"weights of an unknown format: {name} is in no numbered block")
    return int(index)


def detect(names: Mapping[str, object]) -> Naming:
    """How weights by name are named; raises `CheckpointError` where that is not known, with what is."""
    found = next((naming for naming in NAMINGS if all(
        any(re.search(mark, name) for name in names) for mark in (naming.marks, naming.beside))), None)
    if found is None:
        before = next((match[1] for name in names if (match := re.match(r"(.+?\.)blocks\.\d+\.", name))), "")
        hint = f"; blocks are under {before!r} there: take that off the names, and save them anew" if before else ""
        known = "; ".join(dict.fromkeys(naming.title for naming in NAMINGS))
        raise CheckpointError(f"weights of an unknown format; they begin with {', '.join(list(names)[:3])}{hint}. "
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
        elif re.search(naming.by_head, own) and tensor.ndim == 2:
            tensor = tensor.flatten()
        elif re.search(naming.by_input, own) and 2 <= tensor.ndim <= 4:
            if own.endswith(".attn.qkv.weight") and len(tensor) == 3 * tensor.shape[1]:
                raise CheckpointError(f"{name} has a row for each output, as nanoGPT and others write it, and files of "
                                      f"{naming.title} one for each input; transpose the weights of these layers, and save "
                                      "them anew")
            turned = _by_output(own, tensor)
            reshaped.append(f"{name} {tuple(tensor.shape)} to {tuple(turned.shape)}")
            tensor = turned
        if own in renamed:
            raise CheckpointError(f"two tensors are {own} under our names; {name} is the second")
        renamed[own] = tensor
    if any(re.search(naming.after_positions, name) for name in tensors):
        _place_class(renamed, reshaped)
    return _scaled(_joined(renamed, reshaped), reshaped), left_out, reshaped


def _by_output(name: str, tensor: Tensor) -> Tensor:
    """(in, out), (in, heads, out of a head), (heads, in of a head, out) or (height, width, in, out) -> (out, in) or (out, in,
    height, width)"""
    if tensor.ndim == 4:
        return tensor.permute(3, 2, 0, 1)
    if tensor.ndim == 3:
        tensor = tensor.flatten(0, 1) if ".attn.proj." in name else tensor.flatten(1)
    return tensor.T


def _place_class(tensors: dict[str, Tensor], reshaped: list[str]) -> None:
    """Where positions are those of a square of patches alone, 0 for the token of the class, to which none is added"""
    positions = tensors.get("tokenizer.pos_embed", torch.empty(0))
    if "tokenizer.cls_token" in tensors and positions.ndim == 3 and isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        tensors["tokenizer.pos_embed"] = torch.cat([torch.zeros_like(positions[:, :1]), positions], 1)
        reshaped.append("tokenizer.pos_embed, with 0 for the token of the class, which has none there")


def _joined(tensors: dict[str, Tensor], reshaped: list[str]) -> dict[str, Tensor]:
    """Queries, keys and values as one; where some of them have a bias, that of the others is 0"""
    for start in dict.fromkeys(name.rpartition("attn.q.")[0] for name in tensors if ".attn.q." in name):
        for part in ("weight", "bias"):
            names = [f"{start}attn.{letter}.{part}" for letter in QKV]
            there = [name for name in names if name in tensors]
            of_one_kind = len({(tensors[name].is_floating_point(), tensors[name].shape[1:]) for name in there}) == 1
            if of_one_kind and (part == "bias" or len(there) == len(names)):
                if len({tensors[name].dtype for name in there}) > 1:  # numbers of 8 bits join with no others
                    tensors |= {name: tensors[name].float() for name in there}
                like = tensors[there[0]]
                tensors[f"{start}attn.qkv.{part}"] = torch.cat(
                    [tensors.pop(name, torch.zeros_like(like)) for name in names])
                reshaped.append(f"{start}attn.{'/'.join(QKV)}.{part} to qkv.{part}"
                                + ("" if len(there) == len(names) else ", 0 where there was none"))
    return tensors


def _scaled(tensors: dict[str, Tensor], reshaped: list[str]) -> dict[str, Tensor]:
    """Factors on the outputs of attention and MLP, in the weights and biases of the layers that they come from, and in those of
    their pathways, whose outputs are added before the factors are applied."""
    for name in [name for name in tensors if LAYER_SCALE.search(name)]:
        start, _, which = name.removesuffix(".gamma").rpartition(".")
        layer = f"{start}.{'attn.proj' if which == 'ls1' else 'mlp.fc2'}"
        parts = {part: f"{layer}.{part}" for part in ("weight", "bias", "aux_weight", "aux_bias")
                 if f"{layer}.{part}" in tensors}
        sizes = {tuple(tensors[own].shape[:1]) for own in parts.values()}
        if not {"weight", "bias"} <= parts.keys() or sizes != {tuple(tensors[name].shape)} or not all(
                tensors[own].is_floating_point() for own in parts.values()):  # which is for those who ask to see
            continue
        factor = tensors.pop(name).float()
        for own in parts.values():
            tensors[own] = tensors[own].float() * factor.reshape(-1, *[1] * (tensors[own].ndim - 1))
        reshaped.append(f"{name} into {layer}")
    return tensors
