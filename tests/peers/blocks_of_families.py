"""Blocks that `benchmark convert --blocks-only` takes, beside those of transformers 5.24.0 and CTranslate2. Outside CI:

    T=$(mktemp -d) && .venv/bin/python -m pip install -q --no-deps --target $T -r tests/peers/requirements.txt && \\
        PYTHONPATH=$T .venv/bin/python -m pytest -q -s tests/peers/blocks_of_families.py

Weights are drawn at random, and compared is what leaves the last block, in float64. Where a family computes otherwise than our
blocks do (sums that are normalised, QuickGELU, a causal mask), ours are put together as that family does it: what is left over
then is that the right weights are in the right places. With CTranslate2 (`pip install ctranslate2`) and WHISPER=FOLDER, of a
model of Whisper in its format, that file's encoder is compared with its own computation, too.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from torch import Tensor, nn
from torch.nn import functional

from benchmark.model.encoder import build_blocks
from benchmark.model.weights import CheckpointError
from benchmark.transfer.convert import Conversion, convert_blocks
from benchmark.transfer.published import read_sets

DEPTH, WIDTH, HEADS, TOKENS = 3, 48, 4, 11
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "attn_implementation": "sdpa"}
WIDE = {**SIZES, "intermediate_size": 4 * WIDTH}
WAVES = {**WIDE, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "conv_dim": (16,) * 7}
FAMILIES = {  # the model, and the epsilon of its norms
    "vit": (lambda: hf.ViTModel(hf.ViTConfig(**WIDE)), 1e-12),
    "deit": (lambda: hf.DeiTModel(hf.DeiTConfig(**WIDE)), 1e-12),
    "ast": (lambda: hf.ASTModel(hf.ASTConfig(**WIDE)), 1e-12),
    "dinov2": (lambda: hf.Dinov2Model(hf.Dinov2Config(**SIZES, layerscale_value=0.3)), 1e-6),
    "wav2vec2, norms before": (lambda: hf.Wav2Vec2Model(hf.Wav2Vec2Config(
        **WAVES, do_stable_layer_norm=True, feat_extract_norm="layer")), 1e-5),
    "whisper": (lambda: hf.WhisperModel(hf.WhisperConfig(
        d_model=WIDTH, encoder_layers=DEPTH, decoder_layers=1, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH, decoder_ffn_dim=4 * WIDTH, vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1)), 1e-5),
    "bert": (lambda: hf.BertModel(hf.BertConfig(**WIDE, vocab_size=50)), 1e-12),
    "wav2vec2, norms after": (lambda: hf.Wav2Vec2Model(hf.Wav2Vec2Config(**WAVES)), 1e-5),
    "gpt2": (lambda: hf.GPT2LMHeadModel(hf.GPT2Config(
        n_embd=WIDTH, n_layer=DEPTH, n_head=HEADS, vocab_size=50, attn_implementation="sdpa")), 1e-5),
    "clip, images": (lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**WIDE)), 1e-5),
    "clip, texts": (lambda: hf.CLIPTextModel(hf.CLIPTextConfig(**WIDE, vocab_size=50, eos_token_id=49)), 1e-5)}
KNOWN = ("norms come after", "the activation is", "a token attends")


def randomise(model: nn.Module) -> nn.Module:
    random = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn(parameter.shape, generator=random)
    return model.eval()


def blocks_of(conversion: Conversion, norm_eps: float) -> nn.ModuleList:
    sizes = conversion.blocks
    blocks = build_blocks(sizes.embed_dim, sizes.depth, sizes.num_heads, sizes.mlp_ratio, sizes.qkv_bias, norm_eps=norm_eps)
    blocks.load_state_dict({name.removeprefix("blocks."): tensor for name, tensor in conversion.tensors.items()})
    return blocks.eval().double()


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The blocks of a model of transformers, wherever it has them"""
    return next(module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)
                and name.rpartition(".")[2] in ("layer", "layers", "h") and len(module) == DEPTH)


def theirs(model: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    for layer in layers_of(model):
        out = layer(x, attention_mask=mask) if "attention_mask" in inspect.signature(layer.forward).parameters else layer(x)
        x = out[0] if isinstance(out, tuple) else out
    return x


class Quick(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


@pytest.mark.parametrize("layout", ["file", "model"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_leaves_the_last_block(family, layout, tmp_path):
    make, norm_eps = FAMILIES[family]
    model = randomise(make())
    model.save_pretrained(tmp_path)
    if layout == "model":
        torch.save(model.state_dict(), tmp_path / "state.pth")
    conversion = convert_blocks(tmp_path / ("state.pth" if layout == "model" else "model.safetensors"))
    assert all(difference.startswith(KNOWN) for difference in conversion.differences)
    said = " ".join(conversion.differences)
    blocks = blocks_of(conversion, norm_eps)
    x = torch.randn(2, TOKENS, WIDTH, dtype=torch.float64)
    mask = torch.full((TOKENS, TOKENS), float("-inf"), dtype=torch.float64).triu(1)[None, None] if "attends" in said else None
    for block in blocks:
        block.mlp.act = Quick() if "quick_gelu" in said else nn.GELU("tanh") if "gelu_new" in said else block.mlp.act
    with torch.inference_mode():
        if "norms come after" in said:  # the first norm is theirs as it is; after the last block the next one follows
            first = blocks[0].norm1
            expected, state = theirs(model.double(), first(x), None), x
            for block in blocks:
                normed = block.norm1(state)
                normed = block.norm2(normed + block.attn(normed))
                state = normed + block.mlp(normed)
            last = layers_of(model)[-1]
            ours = (last.output.LayerNorm if family == "bert" else last.final_layer_norm)(state)
        else:
            expected, ours = theirs(model.double(), x, mask), x
            for block in blocks:
                ours = ours + block.attn(block.norm1(ours), attn_mask=mask)
                ours = ours + block.mlp(block.norm2(ours))
    difference = ((ours - expected).abs().max() / expected.abs().max()).item()
    print(f"\n{family}: largest difference {difference:.1e} of the largest value; {said or 'the same kind of blocks'}", end="")
    assert difference <= (1e-7 if family == "dinov2" else 1e-12)  # products with its factors are rounded to single precision


@pytest.mark.parametrize(("make", "said"), [
    (lambda: hf.Dinov2Model(hf.Dinov2Config(**SIZES, use_swiglu_ffn=True)), "gated MLP")])
def test_what_is_of_another_kind_is_refused(make, said, tmp_path):
    make().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=said):
        convert_blocks(tmp_path / "model.safetensors")


@pytest.mark.skipif("WHISPER" not in os.environ, reason="set WHISPER to the folder of a model in CTranslate2's format")
def test_a_published_whisper_computes_what_ctranslate2_computes():
    ctranslate2 = pytest.importorskip("ctranslate2")
    folder = Path(os.environ["WHISPER"])
    model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=1)
    spectrum = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(np.array(model.encode(ctranslate2.StorageView.from_array(spectrum.numpy()))))
    held = {name: tensor.double() for name, tensor in read_sets(folder / "model.bin").by_name[""].items()}
    with torch.inference_mode():
        x = spectrum.double()
        for name, stride in (("conv1", 1), ("conv2", 2)):
            x = functional.gelu(functional.conv1d(x, held[f"encoder.{name}.weight"], held[f"encoder.{name}.bias"], stride, 1))
        x = x.mT + held["encoder.position_encodings.encodings"]
        for block in blocks_of(convert_blocks(folder / "model.bin"), 1e-5):
            x = block(x)
        x = functional.layer_norm(x, x.shape[-1:], held["encoder.layer_norm.gamma"], held["encoder.layer_norm.beta"], 1e-5)
    difference = ((x - expected).norm() / expected.norm()).item()
    print(f"\nWhisper beside CTranslate2 {ctranslate2.__version__}: relative difference {difference:.1e}", end="")
    assert difference <= 1e-5
