"""Blocks of other families, under their names: the right values come out, and what computes otherwise is said or refused."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from benchmark.cli.main import main
from benchmark.model.encoder import build_blocks
from benchmark.model.weights import CheckpointError, load_blocks
from benchmark.records.store import Store
from benchmark.spec.weightfile import read_origin
from benchmark.transfer.align import read_blocks
from benchmark.transfer.convert import convert, convert_blocks, write
from benchmark.transfer.ctranslate2 import read_container
from tasks import TASKS

DEPTH, WIDTH, HEADS = 3, 16, 4
Names = Callable[[str], str]

# Where each family has the parts of a block, with its queries, keys and values apart ("N" is the block's number).
VIT = {"q": "attention.attention.query", "k": "attention.attention.key", "v": "attention.attention.value",
       "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
       "norm1": "layernorm_before", "norm2": "layernorm_after"}
CLIP = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "attn.proj": "self_attn.out_proj",
        "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2", "norm1": "layer_norm1", "norm2": "layer_norm2"}
BERT = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
        "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
        "norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}
WAV2VEC = {"q": "attention.q_proj", "k": "attention.k_proj", "v": "attention.v_proj", "attn.proj": "attention.out_proj",
           "mlp.fc1": "feed_forward.intermediate_dense", "mlp.fc2": "feed_forward.output_dense", "norm1": "layer_norm",
           "norm2": "final_layer_norm"}
WHISPER = {**CLIP, "mlp.fc1": "fc1", "mlp.fc2": "fc2", "norm1": "self_attn_layer_norm", "norm2": "final_layer_norm"}
FAMILIES = {  # where blocks are, their parts, what else is there to be known by
    "deit": ("deit.encoder.layer.N.", VIT, {"deit.embeddings.patch_embeddings.projection.weight": (WIDTH, 3, 4, 4),
                                            "deit.embeddings.distillation_token": (1, 1, WIDTH)}),
    "ast": ("audio_spectrogram_transformer.encoder.layer.N.", VIT, {
        "audio_spectrogram_transformer.embeddings.patch_embeddings.projection.weight": (WIDTH, 1, 4, 4),
        "classifier.dense.weight": (3, WIDTH)}),
    "clip, images": ("vision_model.encoder.layers.N.", CLIP, {"vision_model.embeddings.class_embedding": (WIDTH,),
                                                              "vision_model.pre_layrnorm.weight": (WIDTH,)}),
    "siglip, images": ("encoder.layers.N.", CLIP, {"embeddings.patch_embedding.weight": (WIDTH, 3, 4, 4),
                                                   "head.mlp.fc1.weight": (4 * WIDTH, WIDTH)}),
    "clip, texts": ("encoder.layers.N.", CLIP, {"embeddings.token_embedding.weight": (9, WIDTH)}),
    "bert": ("bert.encoder.layer.N.", BERT, {"bert.embeddings.word_embeddings.weight": (9, WIDTH),
                                             "bert.embeddings.LayerNorm.weight": (WIDTH,),
                                             "bert.embeddings.LayerNorm.bias": (WIDTH,)}),
    "wav2vec2": ("wav2vec2.encoder.layers.N.", WAV2VEC, {"wav2vec2.encoder.layer_norm.weight": (WIDTH,),
                                                         "wav2vec2.encoder.layer_norm.bias": (WIDTH,)}),
    "whisper": ("model.encoder.layers.N.", WHISPER, {"model.encoder.conv1.weight": (WIDTH, 8, 3),
                                                     "model.decoder.layers.0.fc1.weight": (4 * WIDTH, WIDTH)})}


def random_blocks(depth: int = DEPTH) -> nn.ModuleList:
    torch.manual_seed(3)
    blocks = build_blocks(WIDTH, depth, HEADS, 4.0, qkv_bias=True)
    for parameter in blocks.parameters():
        nn.init.normal_(parameter, std=0.3)
    return blocks.eval()


def named_as(family: str, blocks: nn.ModuleList) -> dict[str, Tensor]:
    place, parts, more = FAMILIES[family]
    state = {name: torch.randn(size) for name, size in more.items()}
    for name, tensor in blocks.state_dict().items():
        index, inner = name.split(".", 1)
        module, _, kind = inner.rpartition(".")
        start = place.replace("N", index)
        if module == "attn.qkv":
            state |= {f"{start}{parts[letter]}.{kind}": part.clone()
                      for letter, part in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            state[f"{start}{parts[module]}.{kind}"] = tensor
    return state


def saved(folder: Path, state: dict[str, Tensor], **configuration: object) -> Path:
    save_file(state, folder / "model.safetensors")
    if configuration:
        (folder / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
    return folder / "model.safetensors"


def joined(conversion, depth: int = DEPTH) -> nn.ModuleList:
    blocks = build_blocks(WIDTH, depth, HEADS, 4.0, qkv_bias=True)
    blocks.load_state_dict({name.removeprefix("blocks."): tensor for name, tensor in conversion.tensors.items()})
    return blocks.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_each_part_of_a_block_gets_the_place_of_its_kind(family, tmp_path):
    blocks = random_blocks()
    file = saved(tmp_path, named_as(family, blocks), num_attention_heads=HEADS, do_stable_layer_norm=True, hidden_act="gelu")
    conversion = convert_blocks(file)
    assert conversion.blocks.model_dump() == {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "mlp_ratio": 4.0,
                                              "qkv_bias": True}
    for name, tensor in blocks.state_dict().items():
        if family != "bert" or "norm" not in name:
            assert torch.equal(conversion.tensors[f"blocks.{name}"], tensor), name
    assert bool(conversion.differences) == (family in ("bert", "clip, texts"))
    others = {name for name in FAMILIES[family][2] if not name.endswith(("norm.weight", "norm.bias", "Norm.bias"))}
    assert {name.rpartition(".")[2] for name in others} <= {name.rpartition(".")[2] for name in conversion.dropped}


@pytest.mark.parametrize(("family", "before", "after"), [
    ("bert", "bert.", "electra."), ("wav2vec2", "wav2vec2.", "unispeech_sat."), ("deit", "deit.", "dinov2_with_registers."),
    ("bert", "bert.", "")])
def test_blocks_of_a_model_for_a_task_are_those_of_its_encoder(family, before, after, tmp_path):
    state = named_as(family, random_blocks())
    told = {"num_attention_heads": HEADS, "do_stable_layer_norm": True}
    expected = convert_blocks(saved(tmp_path, state, **told)).tensors
    state = {name.replace(before, after): tensor for name, tensor in state.items()}
    found = convert_blocks(saved(tmp_path, state | {"cls.predictions.bias": torch.zeros(3)}, **told)).tensors
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_openais_names_of_whisper_are_read_as_hugging_faces_are(tmp_path):
    parts = {"q": "attn.query", "k": "attn.key", "v": "attn.value", "attn.proj": "attn.out", "mlp.fc1": "mlp.0",
             "mlp.fc2": "mlp.2", "norm1": "attn_ln", "norm2": "mlp_ln"}
    state = {name: tensor for name, tensor in named_as("whisper", random_blocks()).items() if not name.endswith("k_proj.bias")}
    others = {name: tensor for name, tensor in state.items() if ".layers." not in name}
    for part, theirs in WHISPER.items():
        for index in range(DEPTH):
            others |= {f"encoder.blocks.{index}.{parts[part]}.{kind}": state[name] for kind in ("weight", "bias")
                       if (name := f"model.encoder.layers.{index}.{theirs}.{kind}") in state}
    torch.save({"dims": {"n_audio_head": HEADS}, "model_state_dict": {
        name.removeprefix("model."): tensor for name, tensor in others.items()} | {
            "decoder.blocks.0.attn.query.weight": torch.ones(WIDTH, WIDTH)}}, tmp_path / "tiny.pt")
    expected = convert_blocks(saved(tmp_path, state), num_heads=HEADS).tensors
    found = convert_blocks(tmp_path / "tiny.pt", num_heads=HEADS)
    assert found.format == "openai-whisper"
    assert found.tensors.keys() == expected.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("configuration", [{"hidden_size": 4 * WIDTH, "num_attention_heads": HEADS},
                                           {"architecture": "vit_tiny_patch16_224"}], ids=("Hugging Face", "timm"))
def test_heads_are_not_taken_from_the_configuration_of_another_model(configuration, tmp_path):
    blocks = random_blocks()
    state = named_as("deit", blocks) if "hidden_size" in configuration else {
        f"blocks.{name}": tensor for name, tensor in blocks.state_dict().items()}
    file = saved(tmp_path, state, **configuration)
    with pytest.raises(CheckpointError, match=r"has blocks of width 16, and the config\.json beside it is of a model of width"):
        convert_blocks(file)
    (tmp_path / "config.json").unlink()
    assert convert_blocks(file, num_heads=HEADS).blocks.num_heads == HEADS


def test_what_turns_queries_by_their_positions_is_seen_in_the_names_beside_blocks(tmp_path):
    state = {f"blocks.{name}": tensor for name, tensor in random_blocks().state_dict().items()}
    assert not convert_blocks(saved(tmp_path, state), num_heads=HEADS).differences
    state["rope_embed.periods"] = torch.ones(2)
    assert "turned by their positions" in convert_blocks(saved(tmp_path, state), num_heads=HEADS).describe()


@pytest.mark.parametrize("family", ["bert", "wav2vec2"])
def test_norms_after_the_sums_go_before_what_they_were_followed_by(family, tmp_path):
    """Put together as the family does it, from parts under our names, blocks give what an encoder of theirs gives."""
    place, parts, _ = FAMILIES[family]
    state = named_as(family, random_blocks())
    first = "bert.embeddings.LayerNorm" if family == "bert" else "wav2vec2.encoder.layer_norm"
    state |= {f"{first}.{kind}": torch.randn(WIDTH) for kind in ("weight", "bias")}
    if family == "bert":  # as the oldest files have it
        state = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
                 for name, tensor in state.items()}
    conversion = convert_blocks(saved(tmp_path, state, num_attention_heads=HEADS, do_stable_layer_norm=False))
    assert "norms come after the sums there" in conversion.describe()
    state = {name.replace("gamma", "weight").replace("beta", "bias"): tensor for name, tensor in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    entered = torch.randn(2, 5, WIDTH)
    theirs, ours = norm(entered, first), entered
    for index, block in enumerate(joined(conversion)):
        names = {part: place.replace("N", str(index)) + name for part, name in parts.items()}
        q, k, v = (linear(theirs, names[letter]).unflatten(2, (HEADS, -1)).transpose(1, 2) for letter in "qkv")
        mixed = ((q @ k.mT) / (WIDTH / HEADS) ** 0.5).softmax(-1) @ v
        theirs = norm(theirs + linear(mixed.transpose(1, 2).flatten(2), names["attn.proj"]), names["norm1"])
        before = theirs + linear(functional.gelu(linear(theirs, names["mlp.fc1"])), names["mlp.fc2"])
        theirs = norm(before, names["norm2"])
        normed = block.norm1(ours)
        normed = block.norm2(normed + block.attn(normed))
        ours = normed + block.mlp(normed)
    assert (ours - before).abs().max() <= 1e-5 * before.abs().max()


@pytest.mark.parametrize(("start", "factors"), [("encoder.layer.N.", "layer_scaleM.lambda1"), ("blocks.N.", "lsM.gamma")])
def test_factors_on_the_outputs_of_branches_become_a_part_of_their_last_layers(start, factors, tmp_path):
    torch.manual_seed(0)
    block = Block(WIDTH, HEADS, 4.0, qkv_bias=True, init_values=0.1).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    state: dict[str, Tensor] = {"embeddings.patch_embeddings.projection.weight": torch.zeros(WIDTH, 3, 4, 4)}
    for name, tensor in block.state_dict().items():
        module, _, kind = name.rpartition(".")
        if start == "blocks.N.":
            state[f"blocks.0.{name}"] = tensor
        elif module == "attn.qkv":
            state |= {f"encoder.layer.0.{VIT[letter]}.{kind}": part.clone()
                      for letter, part in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            kept = {**VIT, "norm1": "norm1", "norm2": "norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
            own = factors.replace("M", module[-1]) if module.startswith("ls") else f"{kept[module]}.{kind}"
            state[f"encoder.layer.0.{own}"] = tensor
    conversion = convert_blocks(saved(tmp_path, state, num_attention_heads=HEADS), num_heads=HEADS)
    assert not conversion.differences
    x = torch.randn(2, 5, WIDTH)
    with torch.inference_mode():
        expected = block(x)
        assert (joined(conversion, 1)[0](x) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert "into blocks.N.attn.proj" in conversion.describe()


def test_integer_weights_with_factors_on_branches_or_beside_others_are_refused_as_they_are(tmp_path):
    state = {f"blocks.0.{name}": (100 * tensor).to(torch.int8) if name == "attn.proj.weight" else tensor
             for name, tensor in Block(WIDTH, HEADS, 4.0, qkv_bias=True, init_values=0.1).state_dict().items()}
    with pytest.raises(CheckpointError, match=r"blocks\.N\.attn\.proj\.weight has int8 numbers, whose scale is not known"):
        convert_blocks(saved(tmp_path, state), num_heads=HEADS)
    state = named_as("bert", random_blocks())
    name = "bert.encoder.layer.0.attention.self.query.weight"
    state[name] = (100 * state[name]).to(torch.int8)
    with pytest.raises(CheckpointError, match=r"missing blocks\.N\.attn\.qkv\.weight; .*left over blocks\.N\.attn\.q\.weight"):
        convert_blocks(saved(tmp_path, state, num_attention_heads=HEADS))


@pytest.mark.parametrize(("family", "configuration", "change", "said"), [
    ("bert", {}, {}, "give --heads N, or put the config.json"),
    ("bert", {"num_attention_heads": 5}, {}, "5 heads do not divide its width of 16"),
    ("bert", {"num_attention_heads": "many"}, {}, "is no number of heads"),
    ("bert", {"num_attention_heads": HEADS}, {"num_heads": 2}, "has 4 attention heads; leave out --heads"),
    ("bert", {"num_attention_heads": HEADS}, {"first": 4}, "has 3 blocks; --first-blocks 4 does not fit"),
    ("wav2vec2", {"num_attention_heads": HEADS}, {}, "does not say whether norms come before attention or after"),
    ("wav2vec2", {"num_attention_heads": HEADS, "model_type": "sew"}, {}, "the config.json beside it is of another model"),
    ("deit", {"num_attention_heads": HEADS}, {"add": "deit.encoder.layer.1.mlp.weights_in.weight"}, "a gated MLP"),
    ("deit", {"num_attention_heads": HEADS}, {"add": "deit.encoder.layer.1.lambda_1"}, "multiply the last layers of both"),
    ("bert", {"num_attention_heads": HEADS}, {"add": "bert.encoder.layer.1.attention.self.value.lora_A.default.weight"},
     "merge those into the weights first"),
    ("bert", {"num_attention_heads": HEADS}, {"add": "bert.encoder.layer.1.attention.self.distance_embedding.weight"},
     "relative positions inside of attention"),
    ("bert", {"num_attention_heads": HEADS}, {"add": "bert.encoder.layer.other.weight"}, "is in no numbered block"),
    ("bert", {"num_attention_heads": HEADS}, {"drop": "bert.encoder.layer.1.output.dense.weight"},
     "missing blocks.N.mlp.fc2.weight")])
def test_what_cannot_be_told_or_computed_is_refused_with_the_reason(family, configuration, change, said, tmp_path):
    state = named_as(family, random_blocks())
    if "add" in change:
        state[change.pop("add")] = torch.ones(WIDTH, WIDTH)
    state.pop(change.pop("drop", ""), None)
    with pytest.raises(CheckpointError) as caught:
        convert_blocks(saved(tmp_path, state, **configuration), **change)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def gpt2(start: str) -> dict[str, Tensor]:
    """As OpenAI's file has it: linear layers with a row for each input, masks beside the weights; `start` goes before all"""
    random = torch.Generator().manual_seed(0)
    sizes = {"attn.c_attn": (WIDTH, 3 * WIDTH), "attn.c_proj": (WIDTH, WIDTH), "mlp.c_fc": (WIDTH, 4 * WIDTH),
             "mlp.c_proj": (4 * WIDTH, WIDTH)}
    state = {"wte.weight": torch.randn(50, WIDTH), "wpe.weight": torch.randn(32, WIDTH), "ln_f.weight": torch.randn(WIDTH),
             "ln_f.bias": torch.randn(WIDTH)}
    for index in range(DEPTH):
        state[f"h.{index}.attn.bias"] = torch.ones(1, 1, 32, 32).tril()
        state[f"h.{index}.attn.masked_bias"] = torch.tensor(-1e4)
        for name, size in {**sizes, "ln_1": (WIDTH,), "ln_2": (WIDTH,)}.items():
            state[f"h.{index}.{name}.weight"] = torch.randn(size, generator=random)
            state[f"h.{index}.{name}.bias"] = torch.randn(size[-1:], generator=random)
    return {f"{start}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("start", ["", "transformer."])
def test_gpt2_computes_what_it_did_but_for_what_is_told(start, tmp_path):
    state = gpt2(start)
    conversion = convert_blocks(saved(tmp_path, {**state, "lm_head.weight": torch.randn(50, WIDTH)}, model_type="gpt2",
                                      n_head=HEADS, n_embd=WIDTH))
    assert conversion.blocks.num_heads == HEADS
    assert [difference[:32] for difference in conversion.differences] == ["a token attends to earlier ones ",
                                                                          "the activation is gelu_new there"]
    assert {f"{start}h.1.attn.bias", f"{start}h.1.attn.masked_bias", "lm_head.weight"} <= set(conversion.dropped)
    held = {name.removeprefix(start): tensor.double() for name, tensor in state.items()}

    def part(name: str, given: Tensor) -> Tensor:
        return given @ held[f"{name}.weight"] + held[f"{name}.bias"]

    def norm(name: str, given: Tensor) -> Tensor:
        return functional.layer_norm(given, (WIDTH,), held[f"{name}.weight"], held[f"{name}.bias"], eps=1e-5)

    expected = ours = torch.randn(2, 7, WIDTH, dtype=torch.float64)
    mask = torch.full((7, 7), -torch.inf, dtype=torch.float64).triu(1)
    for index, block in enumerate(joined(conversion).double().eval()):
        here = f"h.{index}."
        q, k, v = (each.unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in
                   part(f"{here}attn.c_attn", norm(f"{here}ln_1", expected)).chunk(3, -1))
        weights = (q @ k.mT / (WIDTH // HEADS) ** 0.5 + mask).softmax(-1)
        expected = expected + part(f"{here}attn.c_proj", (weights @ v).transpose(1, 2).flatten(2))
        hidden = functional.gelu(part(f"{here}mlp.c_fc", norm(f"{here}ln_2", expected)), approximate="tanh")
        expected = expected + part(f"{here}mlp.c_proj", hidden)
        block.norm1.eps = block.norm2.eps = 1e-5
        block.mlp.act = nn.GELU("tanh")
        ours = ours + block.attn(block.norm1(ours), attn_mask=mask)
        ours = ours + block.mlp(block.norm2(ours))
    assert torch.allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_what_has_gpt2s_names_and_computes_otherwise_is_told_or_refused(tmp_path):
    state = gpt2("transformer.")
    for said in ({"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}):
        path = saved(tmp_path, state, model_type="gpt2", n_head=HEADS, n_embd=WIDTH, **said)
        assert any(difference.startswith("attention has other factors") for difference in convert_blocks(path).differences)
    plain = {name: tensor.T.contiguous() if ".c_" in name and tensor.ndim == 2 else tensor for name, tensor in state.items()}
    for read in (convert_blocks, read_blocks):
        with pytest.raises(CheckpointError, match=r"c_attn.weight has a row for each output, as nanoGPT and others write it"):
            read(saved(tmp_path, plain, n_head=HEADS))
    without = {name: tensor for name, tensor in state.items() if ".ln_f." not in name}
    with pytest.raises(CheckpointError, match="weights of an unknown format"):
        convert_blocks(saved(tmp_path, without, model_type="openai-gpt", n_head=HEADS))


@pytest.mark.parametrize(("family", "said"), [("gpt2", "n_layer"), ("bert", "num_hidden_layers"),
                                              ("whisper", "encoder_layers")])
def test_fewer_blocks_than_the_configuration_says_are_a_part_of_the_weights(family, said, tmp_path):
    state = gpt2("") if family == "gpt2" else named_as(family, random_blocks())
    for depth in (DEPTH, DEPTH + 1):
        file = saved(tmp_path, state, num_attention_heads=HEADS, **{said: depth})
        if depth == DEPTH:
            assert convert_blocks(file, first=2).blocks.depth == 2
            continue
        with pytest.raises(CheckpointError, match=rf"has {DEPTH} blocks, and the config.json .* is of a model of {depth};"):
            convert_blocks(file)
    (tmp_path / "config.json").unlink()
    write(convert_blocks(file, num_heads=HEADS, first=2), tmp_path / "ours.safetensors")
    saved(tmp_path, state, num_attention_heads=HEADS, **{said: DEPTH})
    assert convert_blocks(tmp_path / "ours.safetensors").blocks.depth == 2  # of what was taken before, no more is missing


@pytest.mark.parametrize("others", [
    {"encoder.layernorm_embedding.weight": (WIDTH,), "shared.weight": (9, WIDTH)},
    {"feature_extractor.conv_layers.0.0.weight": (4, 1, 10), "encoder.pos_conv.0.bias": (WIDTH,), "mask_emb": (WIDTH,)}],
    ids=("BART", "fairseq's wav2vec 2.0"))
def test_blocks_under_whispers_names_with_norms_after_the_sums_are_not_taken_for_whispers(others, tmp_path):
    state = {name.removeprefix("model."): tensor for name, tensor in named_as("whisper", random_blocks()).items()
             if ".layers." in name and "decoder" not in name}
    state |= {name: torch.randn(size) for name, size in others.items()}
    with pytest.raises(CheckpointError, match=r"weights of an unknown format; .* Known formats: .*Hugging Face's wav2vec 2\.0"):
        convert_blocks(saved(tmp_path, state, encoder_attention_heads=HEADS), num_heads=HEADS)
    state["encoder.conv1.weight"] = torch.randn(WIDTH, 8, 3)
    assert convert_blocks(saved(tmp_path, state, encoder_attention_heads=HEADS)).format == "whisper"


def test_of_two_models_in_a_file_each_has_its_own_configuration(tmp_path):
    blocks = random_blocks()
    state = {**named_as("clip, images", blocks),
             **{f"text_model.{name}": tensor.clone() for name, tensor in named_as("clip, texts", blocks).items()},
             "visual_projection.weight": torch.zeros(4, WIDTH), "logit_scale": torch.zeros(())}
    file = saved(tmp_path, state, vision_config={"num_attention_heads": 2, "hidden_act": "quick_gelu"},
                 text_config={"num_attention_heads": HEADS, "hidden_act": "gelu"})
    images, texts = (convert_blocks(file, weights=name) for name in ("vision_model", "text_model"))
    assert (images.blocks.num_heads, texts.blocks.num_heads) == (2, HEADS)
    assert images.differences == ["the activation is quick_gelu there, and here GELU"]
    assert texts.differences == ["a token attends to earlier ones alone there, and here to all"]
    assert "there are also" in images.describe()
    (tmp_path / "config.json").unlink()
    assert "the activation is not known" in convert_blocks(file, num_heads=HEADS, weights="vision_model").describe()
    (tmp_path / "config.json").write_text("no JSON", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json, which says what blocks model\.safetensors has, cannot be read"):
        convert_blocks(file, num_heads=HEADS)


OPEN_CLIP = {"attn.qkv.": "attn.in_proj_", "attn.proj.": "attn.out_proj.", "mlp.fc1.": "mlp.c_fc.", "mlp.fc2.": "mlp.c_proj.",
             "norm1.": "ln_1.", "norm2.": "ln_2."}


def open_clip(images: nn.ModuleList, texts: nn.ModuleList, start: str) -> dict[str, Tensor]:
    """Both towers as open_clip names them; `start` goes before the names of that of texts, which in OpenAI's files have none"""
    state = {f"{start}positional_embedding": torch.randn(7, WIDTH), f"{start}token_embedding.weight": torch.randn(9, WIDTH),
             "logit_scale": torch.ones(()), "visual.class_embedding": torch.randn(WIDTH), "visual.proj": torch.randn(WIDTH, 4),
             "visual.conv1.weight": torch.randn(WIDTH, 3, 4, 4), f"{start}ln_final.weight": torch.randn(WIDTH)}
    for place, blocks in (("visual.", images), (start, texts)):
        for name, tensor in blocks.state_dict().items():
            for ours, theirs in OPEN_CLIP.items():
                name = name.replace(ours, theirs)
            state[f"{place}transformer.resblocks.{name}"] = tensor.clone()
    return state


@pytest.mark.parametrize(("start", "texts_are"), [("", ""), ("text.", "text")])
def test_of_open_clips_towers_each_is_read_with_its_own_configuration(start, texts_are, tmp_path):
    images, texts = random_blocks(), random_blocks(2)
    nn.init.normal_(texts[0].attn.qkv.weight)
    file = saved(tmp_path, open_clip(images, texts, start))
    place = tmp_path / "open_clip_config.json"
    sizes = {"width": WIDTH, "layers": DEPTH}
    for said, told in (({"quick_gelu": True}, ["the activation is quick_gelu there, and here GELU"]), ({}, [])):
        place.write_text(json.dumps({"model_cfg": {**said, "vision_cfg": {**sizes, "head_width": 8}, "text_cfg": {
            **sizes, "layers": 2, "heads": HEADS}}}))
        one, other = convert_blocks(file, weights="visual"), convert_blocks(file, weights=texts_are)
        assert (one.blocks.num_heads, other.blocks.num_heads, other.blocks.depth) == (WIDTH // 8, HEADS, 2)
        for conversion, blocks in ((one, images), (other, texts)):
            expected = {f"blocks.{name}": tensor for name, tensor in blocks.state_dict().items()}
            assert conversion.tensors.keys() == expected.keys()
            assert all(torch.equal(conversion.tensors[name], tensor) for name, tensor in expected.items())
        assert one.differences == told
        assert other.differences == ["a token attends to earlier ones alone there, and here to all", *told]
        assert "there are also" in one.describe()
        with pytest.raises(CheckpointError, match="is fed with patches that are normalised after their positions are added"):
            convert(file, TASKS["imagenet"], TASKS["imagenet"].profiles["tiny"].shape, weights="visual")
    tower = {**sizes, "layers": 2, "heads": HEADS, "no_causal_mask": True, "act_kwargs": {"approximate": "tanh"}}
    place.write_text(json.dumps({"text_cfg": tower, "vision_cfg": sizes}))
    (difference,) = convert_blocks(file, weights=texts_are).differences
    assert difference.startswith("the activation is gelu_pytorch_tanh there")
    for wrong, said in (({"vision_cfg": {**sizes, "head_width": 0}}, r"open_clip_config\.json: 0 is no number of heads"),
                        ({"vision_cfg": [1]}, r"open_clip_config\.json, which says what .* is no configuration of a model"),
                        ({"vision_cfg": {**sizes, "layers": 4, "head_width": 8}}, r"has 3 blocks, and .* is of a model of 4;")):
        place.write_text(json.dumps({"model_cfg": wrong}))
        with pytest.raises(CheckpointError, match=said):
            convert_blocks(file, weights="visual")
    place.unlink()
    assert convert_blocks(file, num_heads=HEADS, weights="visual").differences[0].startswith("the activation is not known")
    saved(tmp_path, open_clip(images, texts, start), vision_config={"num_attention_heads": 2, "hidden_act": "gelu"},
          text_config={"num_attention_heads": HEADS, "hidden_act": "quick_gelu"})
    one = convert_blocks(file, weights="visual")
    assert (one.blocks.num_heads, one.differences) == (2, [])
    assert convert_blocks(file, weights=texts_are).differences[-1] == "the activation is quick_gelu there, and here GELU"


def test_factors_on_branches_and_a_tower_of_timms_are_read_under_open_clips_names(tmp_path):
    blocks = random_blocks()
    state = open_clip(blocks, blocks, "") | {"visual.transformer.resblocks.1.ls_2.gamma": torch.full((WIDTH,), 0.5)}
    found = convert_blocks(saved(tmp_path, state), num_heads=HEADS, weights="visual")
    assert torch.equal(found.tensors["blocks.1.mlp.fc2.weight"], 0.5 * blocks[1].mlp.fc2.weight)
    state = {f"visual.trunk.blocks.{name}": tensor for name, tensor in blocks.state_dict().items()}
    found = convert_blocks(saved(tmp_path, state | {"visual.head.proj.weight": torch.ones(4, WIDTH), "logit_scale": torch.ones(
        ())}), num_heads=HEADS)
    assert (found.format, found.dropped) == ("timm", ["logit_scale", "head.proj.weight"])
    assert torch.equal(found.tensors["blocks.0.attn.qkv.weight"], blocks[0].attn.qkv.weight)


@pytest.mark.parametrize(("family", "configuration", "told"), [
    ("bert", {"model_type": "roberta"}, []), ("bert", {"is_decoder": True}, ["a token attends to earlier ones alone"]),
    ("bert", {"model_type": "git"}, ["a token of text attends to earlier ones alone"]),
    ("bert", {"model_type": "yoso"}, ["attention is approximated there"]),
    ("bert", {"model_type": "of_tomorrow"}, ["blocks are those of transformers' of_tomorrow there"]),
    ("clip, images", {"model_type": "clip_vision_model"}, []), ("clip, images", {"model_type": "mlcd_vision_model"},
                                                              ["queries and keys are turned by their positions there"]),
    ("clip, texts", {"model_type": "clip_text_model"}, ["a token attends to earlier ones alone"]),
    ("clip, texts", {"model_type": "siglip_text_model"}, []), ("deit", {"model_type": "deit"}, [])])
def test_types_that_share_names_and_compute_otherwise_are_told(family, configuration, told, tmp_path):
    file = saved(tmp_path, named_as(family, random_blocks()), num_attention_heads=HEADS, hidden_act="gelu", **configuration)
    found = [difference for difference in convert_blocks(file).differences if not difference.startswith("norms come after")]
    assert len(found) == len(told)
    assert all(difference.startswith(begin) for difference, begin in zip(found, told, strict=True))


def test_queries_of_another_width_than_values_are_refused(tmp_path):
    """As MobileBERT has them"""
    state = named_as("bert", random_blocks())
    for name in [name for name in state if name.endswith("query.weight")]:
        state[name] = state[name][:, : WIDTH // 2].contiguous()
    with pytest.raises(CheckpointError, match=r"has other blocks than ours: .*left over blocks\.N\.attn\.q\.weight"):
        convert_blocks(saved(tmp_path, state, num_attention_heads=HEADS))


def test_an_encoder_that_would_compute_something_else_is_refused_as_a_whole(tmp_path):
    shape = TASKS["imagenet"].profiles["tiny"].shape.model_copy(update={"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS,
                                                                        "mlp_ratio": 4.0})
    state = named_as("deit", random_blocks())
    for configuration, said in (({"num_attention_heads": 2}, "has 2 attention heads, and the model 4: --set shape.num_heads=2"),
                                ({"hidden_act": "relu"}, "the activation is relu there, and here GELU; with --blocks-only")):
        with pytest.raises(CheckpointError) as caught:
            convert(saved(tmp_path, state, **configuration), TASKS["imagenet"], shape)
        assert said in str(caught.value)
    with pytest.raises(CheckpointError, match="is fed with words, as no task here is; with --blocks-only"):
        convert(saved(tmp_path, named_as("bert", random_blocks()), num_attention_heads=HEADS), TASKS["imagenet"], shape)


# --- Whisper in CTranslate2's container format

KINDS = {np.dtype(np.float32): 0, np.dtype(np.int8): 1, np.dtype(np.int16): 2, np.dtype(np.float16): 4}


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def array(name: str, values: np.ndarray, kind: int | None = None, length: int | None = None) -> bytes:
    values = np.asarray(values)
    return (text(name) + struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
            + struct.pack("<BI", KINDS[values.dtype] if kind is None else kind, values.nbytes if length is None else length)
            + values.tobytes())


def container(*arrays: bytes, others: bytes = struct.pack("<I", 0), version: int = 6, kind: str = "WhisperSpec",
              number: int | None = None) -> bytes:
    return (struct.pack("<I", version) + text(kind) + struct.pack("<II", 3, len(arrays) if number is None else number)
            + b"".join(arrays) + others)


def whisper(blocks: nn.ModuleList) -> bytes:
    """As its converter writes it: half precision, queries, keys and values in one, no order in particular"""
    parts = {"attn.qkv": "self_attention/linear_0", "attn.proj": "self_attention/linear_1",
             "norm1": "self_attention/layer_norm", "norm2": "ffn/layer_norm",
             "mlp.fc1": "ffn/linear_0", "mlp.fc2": "ffn/linear_1"}
    arrays = [array("decoder/embeddings/weight", np.ones((5, WIDTH), np.float16)), array("decoder/pre_norm", np.int8(1)),
              array("encoder/num_heads", np.int16(HEADS)), array("encoder/conv1/weight", np.ones((WIDTH, 8, 3), np.float16)),
              array("decoder/nothing", np.ones((0, 3), np.float32)),
              *(array(f"encoder/layer_norm/{part}", np.ones(WIDTH, np.float16)) for part in ("gamma", "beta"))]
    for name, tensor in blocks.state_dict().items():
        index, inner = name.split(".", 1)
        module, _, kind = inner.rpartition(".")
        last = {"weight": "gamma", "bias": "beta"}[kind] if "norm" in module else kind
        arrays.append(array(f"encoder/layer_{index}/{parts[module]}/{last}", tensor.half().numpy()))
    other = struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")
    return container(*arrays, others=other)


def test_whisper_is_read_from_ctranslate2s_format_to_the_last_bit(tmp_path, capsys):
    blocks = random_blocks()
    (tmp_path / "model.bin").write_bytes(whisper(blocks))
    command = ["convert", str(tmp_path / "model.bin"), "speech", "--blocks-only", "--out"]
    assert main([*command, str(tmp_path / "speech.safetensors")]) == 0
    told = capsys.readouterr().out
    assert "3 blocks of width 16 with 4 heads" in told
    assert "-x speech --start speech=" in told
    assert "--set shape.num_heads=4 --set shape.mlp_ratio=4" in told
    origin = read_origin(tmp_path / "speech.safetensors")
    shape = origin.blocks.applied(TASKS["imagenet"].profiles["tiny"].shape)
    for name, tensor in load_blocks(tmp_path / "speech.safetensors", shape).state_dict().items():
        assert torch.equal(tensor, blocks.state_dict()[name].half().float()), name
    assert origin.format == "ctranslate2-whisper"
    assert list(origin.sources) == ["model.bin"]
    assert len(origin.sources["model.bin"]) == 64
    assert main([*command, str(tmp_path / "again.safetensors")]) == 0
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "speech.safetensors").read_bytes()
    few = convert_blocks(tmp_path / "speech.safetensors", first=2)  # what was converted says itself what it is
    assert (few.blocks.depth, few.blocks.num_heads, few.sources) == (2, HEADS, origin.sources)
    assert {name: tensor.shape for name, tensor in few.tensors.items()} == {
        name: tensor.shape for name, tensor in load_file(tmp_path / "speech.safetensors").items() if "blocks.2." not in name}
    write(few, tmp_path / "few.safetensors")
    assert "the first 2 of 3 blocks" in read_origin(tmp_path / "few.safetensors").notes[0]


def test_a_run_joins_an_auxiliary_of_no_task_and_names_it_by_its_digests(tmp_path, capsys):
    (tmp_path / "model.bin").write_bytes(whisper(random_blocks()))
    file, results = tmp_path / "speech.safetensors", tmp_path / "results"
    write(convert_blocks(tmp_path / "model.bin"), file)
    sizes = [part for option in read_origin(file).blocks.options() for part in ("--set", option)]
    command = ["run", "--matrix", "smoke", "-t", "imagenet", "--arm", "scratch,m2pt", "--setting", "scratch", "--seeds", "0",
               "--limit", "16", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0", "--results", str(results),
               *sizes]
    assert main([*command, "-x", "speech", "--start", f"speech={file}", "--debug"]) == 0, capsys.readouterr()
    joined = next(record for record in Store(results).records()[0] if record.spec.arm == "m2pt")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert joined.spec.auxiliary == "speech"
    assert joined.weights["auxiliary"] == digest
    assert joined.spec.starts == {"auxiliary": digest[:12]}
    assert joined.spec.published == {"auxiliary": {
        "model.bin": hashlib.sha256((tmp_path / "model.bin").read_bytes()).hexdigest()}}
    assert {layer.auxiliary_cosine for layer in joined.layers} != {None}
    for more, said in ((["-x", "speech"], "unknown auxiliary modality 'speech'"),
                       (["--start", f"speech={file}"], "must be named as an auxiliary, too: -x speech"),
                       (["-x", "a-b", "--start", f"a-b={file}"], "'a-b' is no name for a modality"),
                       (["-x", "speech", "--start", f"speech={file}", "--set", "shape.depth=2"],
                        "has blocks of depth 2, and its auxiliary of depth 3")):
        assert main([*command, *more]) == 2
        assert said in capsys.readouterr().err
    assert main(["reproduce", joined.spec.name, "--results", str(results)]) == 2
    assert "starts from weights that were given by file" in capsys.readouterr().err


def test_a_container_that_is_cut_anywhere_is_refused_in_one_line(tmp_path, capsys):
    whole = container(array("a/b", np.ones((2, 3), np.float16)), array("c", np.int8(1)),
                      others=struct.pack("<I", 1) + text("d") + text("a/b"))
    file = tmp_path / "model.bin"
    file.write_bytes(whole)
    assert {name: tuple(tensor.shape) for name, tensor in read_container(file).items()} == {"a.b": (2, 3), "c": (), "d": (2, 3)}
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is cut short or damaged: it ends after"):
            read_container(file)
    file.write_bytes(whisper(random_blocks())[:-9])
    assert main(["convert", str(file), "speech", "--blocks-only", "--out", str(tmp_path / "x.safetensors")]) == 2
    error = capsys.readouterr().err
    assert "is cut short or damaged" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x.safetensors").exists()


ONES = np.ones((2, 3), np.float16)


@pytest.mark.parametrize(("content", "said"), [
    (container(kind="TransformerSpec"), "is a Transformer model in version 6 of CTranslate2's format; Whisper models"),
    (container(version=5), "in version 5 of"),
    (container(array("a", ONES), array("a", ONES)), "two arrays are called a"),
    (container(array("a", ONES, kind=6)), "numbers of the unknown type 6"),
    (container(array("a", ONES, length=14)), "has 14 bytes"),
    (container(array("a", ONES), others=b"", number=2**32 - 1), "is cut short or damaged"),
    (container(text("a") + struct.pack("<BI", 200, 1)), "a has 200 dimensions"),
    (container(text("a") + struct.pack("<B8I", 8, *[2**32 - 1] * 8) + struct.pack("<BI", 0, 2**32 - 1)), "bytes; download"),
    (container(struct.pack("<H", 2) + b"\xff\0"), "a name is b'"),
    (container(struct.pack("<H", 0)), "a name is b''"),
    (container(others=struct.pack("<I", 1) + text("b") + text("a")), "b is to be another name of a"),
    (container() + b"more", "4 bytes follow the last array")])
def test_a_container_of_another_kind_or_damaged_says_what_is_wrong(content, said, tmp_path):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        convert_blocks(tmp_path / "model.bin")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_goes_with_a_task_and_what_without_is_told(tmp_path, capsys):
    (tmp_path / "model.bin").write_bytes(whisper(random_blocks()))
    command = ["convert", str(tmp_path / "model.bin"), "--out", str(tmp_path / "x.safetensors")]
    for more, said in ((("speech",), "unknown task 'speech'; "),
                       (("audioste", "--blocks-only"), "unknown task 'audioste'; did you mean 'audioset'?"),
                       (("audio", "--blocks-only"), "audio is the modality of audioset: name that task"),
                       (("a/b", "--blocks-only"), "'a/b' is no name for a modality"),
                       (("speech", "--blocks-only", "--set", "shape.depth=2"), "--set fits the model of a task"),
                       (("audioset", "--heads", "4"), "with a TASK its shape says it"),
                       (("audioset",), "is fed with spectra of speech through convolutions, as no task here is")):
        assert main([*command, *more]) == 2
        assert said in capsys.readouterr().err
