"""Our encoders beside those of transformers 5.24.0, with the same weights through `benchmark convert`. Outside CI; run it with

    T=$(mktemp -d) && .venv/bin/python -m pip install -q --no-deps --target $T -r tests/peers/requirements.txt && \\
        PYTHONPATH=$T .venv/bin/python -m pytest -q -s tests/peers/beside_transformers.py

Weights are drawn at random and small shapes are used; in float64, so that what differs is the computation and not its rounding.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from benchmark.model.encoder import Encoder
from benchmark.model.mae import MaskedAutoencoder, random_masking
from benchmark.spec.recipes import ModelShape
from benchmark.transfer.convert import convert
from tasks import TASKS

DEPTH, WIDTH, HEADS, NARROW = 3, 96, 4, 64
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "intermediate_size": 4 * WIDTH,
         "layer_norm_eps": 1e-6, "decoder_hidden_size": NARROW, "decoder_num_hidden_layers": 2,
         "decoder_num_attention_heads": HEADS, "decoder_intermediate_size": 4 * NARROW, "norm_pix_loss": True,
         "attn_implementation": "sdpa"}  # its eager attention takes the softmax in float32


def shape_of(task: str) -> ModelShape:
    return TASKS[task].profiles["paper"].shape.model_copy(update={
        "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "decoder_embed_dim": NARROW, "decoder_depth": 2,
        "decoder_num_heads": HEADS})


def randomise(model: torch.nn.Module) -> None:
    """Weights of unit scale also where they start at 0 or 1, so that no term is hidden."""
    random = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "position" not in name and "pos_embed" not in name:
            parameter.data = parameter.data + 0.1 * torch.randn(parameter.shape, generator=random)


def compare(what: str, ours: Tensor, theirs: Tensor) -> None:
    difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print(f"\n{what}: largest difference {difference:.1e} of the largest value", end="")
    assert difference <= 1e-12


def files(model: transformers.PreTrainedModel, folder: Path) -> list[Path]:
    """Its names in memory, which torch.save writes, and those that save_pretrained writes: they are not the same."""
    torch.save(model.state_dict(), folder / "state.pth")
    model.save_pretrained(folder / "saved")
    return [folder / "state.pth", folder / "saved" / "model.safetensors"]


def converted(path: Path, task: str, final_norm: bool) -> Encoder:
    shape = shape_of(task)
    model = Encoder(TASKS[task].tokenizer(shape), shape, final_norm).eval()
    model.load_state_dict(convert(path, TASKS[task], shape).tensors)
    return model.double()


@pytest.fixture(scope="module")
def vit_mae() -> transformers.ViTMAEForPreTraining:
    model = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**SIZES, image_size=224, patch_size=16)).eval()
    randomise(model)
    model.vit.embeddings.position_embeddings.data.normal_()  # 0 in a model that is made from its configuration
    return model


@pytest.mark.parametrize("file", [0, 1], ids=["state_dict", "save_pretrained"])
def test_features_of_vit_mae(vit_mae, file, tmp_path):
    ours = converted(files(vit_mae.float(), tmp_path)[file], "imagenet", final_norm=True)
    images = torch.randn(2, 3, 224, 224, dtype=torch.float64)
    vit_mae.double().config.mask_ratio = 0.0
    with torch.inference_mode():
        theirs = vit_mae.vit(images, noise=torch.arange(196.0).expand(2, -1)).last_hidden_state
        compare("ViTMAE, features of all tokens", ours.encode(ours.tokenizer({"input": images})).sequence, theirs)
    vit_mae.config.mask_ratio = 0.75


def decoder_of(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The decoder's weights under our names; a patch has its channels last there, and first here"""
    found = {"mask_token": theirs["decoder.mask_token"]}
    for part in ("decoder_embed", "decoder_norm", "decoder_pred"):
        found |= {f"{part}.{kind}": theirs[f"decoder.{part}.{kind}"] for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        rows = found[f"decoder_pred.{kind}"]
        found[f"decoder_pred.{kind}"] = rows.view(256, 3, -1).transpose(0, 1).reshape(rows.shape)
    for index in range(2):
        start = f"decoder.decoder_layers.{index}"
        for kind in ("weight", "bias"):
            found[f"decoder_blocks.{index}.attn.qkv.{kind}"] = torch.cat(
                [theirs[f"{start}.attention.{letter}_proj.{kind}"] for letter in "qkv"])
            for own, other in (("attn.proj", "attention.o_proj"), ("norm1", "layernorm_before"), ("norm2", "layernorm_after"),
                               ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
                found[f"decoder_blocks.{index}.{own}.{kind}"] = theirs[f"{start}.{other}.{kind}"]
    return found


def test_loss_of_vit_mae(vit_mae, tmp_path):
    encoder = converted(files(vit_mae.float(), tmp_path)[0], "imagenet", final_norm=True)
    shape, task = shape_of("imagenet"), TASKS["imagenet"]
    ours = MaskedAutoencoder(task.tokenizer(shape), task.masked_target(shape), shape).eval().double()
    state = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    state |= decoder_of(vit_mae.double().state_dict())
    vit_mae.decoder.decoder_pos_embed.data[:, 1:] = ours.target.position  # one table for both
    missing = ours.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(re.search(r"pos|target", name) for name in missing.missing_keys), missing.missing_keys
    images, noise = torch.randn(2, 3, 224, 224, dtype=torch.float64), torch.rand(2, 196)
    vit_mae.config.mask_ratio = 0.75
    ids_keep, ids_masked = random_masking(noise, 0.75)
    with torch.inference_mode():
        tokens = ours.encoder.tokenizer({"input": images})
        loss = ours.target.loss(ours.reconstruct(tokens, ids_keep, ids_masked), ours.target.target(tokens, ids_masked))
        compare("ViTMAE, loss of masked patches", loss, vit_mae(images, noise=noise).loss)


@pytest.mark.parametrize("file", [0, 1], ids=["state_dict", "save_pretrained"])
def test_logits_of_video_mae(file, tmp_path):
    """The head's norm is the head's: ours is fed the mean of what the encoder gives."""
    configuration = transformers.VideoMAEConfig(**SIZES, image_size=224, patch_size=16, num_frames=16, tubelet_size=2,
                                                num_labels=7, use_mean_pooling=True)
    model = transformers.VideoMAEForVideoClassification(configuration).eval()
    randomise(model)
    ours = converted(files(model, tmp_path)[file], "kinetics", final_norm=False)
    clips = torch.randn(1, 16, 3, 224, 224, dtype=torch.float64)
    model = model.double()
    with torch.inference_mode():
        batch = {"input": clips.transpose(1, 2)}
        features = ours.encode(ours.tokenizer(batch)).patches
        compare("VideoMAE, logits", model.classifier(model.fc_norm(features.mean(1))), model(clips).logits)
