"""Published checkpoints, synthesised with names and shapes of the real files (at fewer blocks): every key is used or named."""

from __future__ import annotations

import argparse
import json
import re
import resource
import signal
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from benchmark.cli.main import main
from benchmark.model.encoder import Encoder, build_blocks
from benchmark.model.weights import CheckpointError, load_blocks, load_encoder
from benchmark.plan.given import given_weights
from benchmark.records.store import Store
from benchmark.spec.recipes import ModelShape
from benchmark.spec.weightfile import BlockShape, Origin, exact, ratio_of, read_origin
from benchmark.transfer.align import read_blocks
from benchmark.transfer.convert import convert, convert_blocks, write
from benchmark.transfer.namings import detect
from benchmark.transfer.published import read_sets
from tasks import TASKS

DEPTH, WIDTH = 2, 768


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The set of weights that is taken where nobody chooses."""
    sets = read_sets(path)
    return sets.by_name[sets.choose(None)]


def shape_of(task: str, **changes) -> ModelShape:
    return TASKS[task].profiles["paper"].shape.model_copy(update={"depth": DEPTH, **changes})


def named(names: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(size, generator=random) * 0.02 for name, size in names.items()}


def block(prefix: str, width: int = WIDTH, bias: str = "qkv") -> dict[str, tuple[int, ...]]:
    """timm's block, VideoMAE's ("q and v") or Point-MAE's (none)."""
    names = {f"{prefix}.{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in ("weight", "bias")}
    names |= {f"{prefix}.attn.qkv.weight": (3 * width, width), f"{prefix}.attn.proj.weight": (width, width),
              f"{prefix}.attn.proj.bias": (width,), f"{prefix}.mlp.fc1.weight": (4 * width, width),
              f"{prefix}.mlp.fc1.bias": (4 * width,), f"{prefix}.mlp.fc2.weight": (width, 4 * width),
              f"{prefix}.mlp.fc2.bias": (width,)}
    if bias == "qkv":
        names[f"{prefix}.attn.qkv.bias"] = (3 * width,)
    elif bias == "q and v":
        names |= {f"{prefix}.attn.q_bias": (width,), f"{prefix}.attn.v_bias": (width,)}
    return names


def vit(channels: int = 3, tokens: int = 197) -> dict[str, tuple[int, ...]]:
    names: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, WIDTH), "pos_embed": (1, tokens, WIDTH),
             "patch_embed.proj.weight": (WIDTH, channels, 16, 16), "patch_embed.proj.bias": (WIDTH,)}
    for index in range(DEPTH):
        names |= block(f"blocks.{index}")
    return names | {"norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}


def mae() -> dict:
    decoder = {"mask_token": (1, 1, 512), "decoder_pos_embed": (1, 197, 512), "decoder_embed.weight": (512, WIDTH),
               "decoder_embed.bias": (512,), **block("decoder_blocks.0", 512), "decoder_norm.weight": (512,),
               "decoder_norm.bias": (512,), "decoder_pred.weight": (768, 512), "decoder_pred.bias": (768,)}
    return {"model": named(vit() | decoder), "args": argparse.Namespace(lr=1e-4), "epoch": 799}


def audio_mae() -> dict:
    swin = {"decoder_blocks.0.attn.relative_position_bias_table": (49, 16), "decoder_blocks.0.attn.qkv.weight": (1536, 512)}
    return {"model": named(vit(1, 513) | {"mask_token": (1, 1, 512), "decoder_pos_embed": (1, 513, 512)} | swin)}


def video_mae(finetuned: bool) -> dict:
    prefix = "" if finetuned else "encoder."
    names: dict[str, tuple[int, ...]] = {f"{prefix}patch_embed.proj.weight": (WIDTH, 3, 2, 16, 16),
                                         f"{prefix}patch_embed.proj.bias": (WIDTH,)}
    for index in range(DEPTH):
        names |= block(f"{prefix}blocks.{index}", bias="q and v")
    if finetuned:
        return {"module": named(names | {"fc_norm.weight": (WIDTH,), "fc_norm.bias": (WIDTH,), "head.weight": (400, WIDTH),
                                         "head.bias": (400,)})}
    names |= {"encoder.norm.weight": (WIDTH,), "encoder.norm.bias": (WIDTH,), "mask_token": (1, 1, 384),
              "encoder_to_decoder.weight": (384, WIDTH), "decoder.head.weight": (1536, 384), "decoder.head.bias": (1536,)}
    return {"model": named(names), "epoch": 799}


def point_mae(width: int = 384) -> dict:
    point = {f"MAE_encoder.encoder.{name}": size for name, size in {
        "first_conv.0.weight": (128, 3, 1), "first_conv.0.bias": (128,), "first_conv.3.weight": (256, 128, 1),
        "first_conv.3.bias": (256,), "second_conv.0.weight": (512, 512, 1), "second_conv.0.bias": (512,),
        "second_conv.3.weight": (width, 512, 1), "second_conv.3.bias": (width,)}.items()}
    for norm, size in (("first_conv.1", 128), ("second_conv.1", 512)):
        point |= {f"MAE_encoder.encoder.{norm}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}
        point[f"MAE_encoder.encoder.{norm}.num_batches_tracked"] = ()
    point |= {"MAE_encoder.pos_embed.0.weight": (128, 3), "MAE_encoder.pos_embed.0.bias": (128,),
              "MAE_encoder.pos_embed.2.weight": (width, 128), "MAE_encoder.pos_embed.2.bias": (width,),
              "MAE_encoder.norm.weight": (width,), "MAE_encoder.norm.bias": (width,)}
    for index in range(DEPTH):
        point |= block(f"MAE_encoder.blocks.blocks.{index}", width, bias="")
    decoder = {"mask_token": (1, 1, width), "decoder_pos_embed.0.weight": (128, 3), "increase_dim.0.weight": (96, width, 1),
               **block("MAE_decoder.blocks.0", width, bias="")}
    return {"base_model": {f"module.{name}": tensor for name, tensor in named(point | decoder).items()}, "epoch": 300,
            "metrics": {}, "best_metrics": {}}


FORMATS = {
    "mae": (mae, "imagenet", {}), "audio mae": (audio_mae, "audioset", {}),
    "video mae, pretrained": (lambda: video_mae(False), "kinetics", {}),
    "point mae": (point_mae, "shapenet", {"embed_dim": 384, "num_heads": 6, "qkv_bias": False})}


@pytest.mark.parametrize("name", FORMATS)
def test_every_key_of_a_published_file_is_used_or_named(name, tmp_path):
    make, task, changes = FORMATS[name]
    checkpoint, shape = make(), shape_of(task, **changes)
    torch.save(checkpoint, tmp_path / "published.pth")
    conversion = convert(tmp_path / "published.pth", TASKS[task], shape)
    published = read_checkpoint(tmp_path / "published.pth")
    assert len(conversion.dropped) == len({key for key in published if "decoder" in key.lower() or "mask_token" in key
                                           or "increase_dim" in key})
    digest = write(conversion, tmp_path / "ours.safetensors")
    assert len(digest) == 64
    model = Encoder(TASKS[task].tokenizer(shape), shape)
    assert load_encoder(model, tmp_path / "ours.safetensors", shape) == {"missing": [], "unused": []}
    assert len(load_blocks(tmp_path / "ours.safetensors", shape)) == DEPTH
    again = convert(tmp_path / "ours.safetensors", TASKS[task], shape)
    assert again.format == "ours"
    assert all(torch.equal(tensor, conversion.tensors[key]) for key, tensor in again.tensors.items())


def test_the_converted_image_encoder_computes_what_timms_does(tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("vit_base_patch16_224", depth=DEPTH, num_classes=10).eval()
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    shape = shape_of("imagenet")
    conversion = convert(tmp_path / "timm.pth", TASKS["imagenet"], shape)
    assert conversion.format == "timm"
    assert conversion.dropped == ["head.weight", "head.bias"]
    ours = Encoder(TASKS["imagenet"].tokenizer(shape), shape).eval()
    ours.load_state_dict(conversion.tensors)
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        expected = theirs.forward_features(x)
        features = ours.encode(ours.tokenizer({"input": x})).sequence
    assert (features - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("published", [True, False])
def test_the_converted_image_encoder_computes_what_torchvisions_does(published, tmp_path):
    """Published files have the names of an earlier version, which torchvision reads, too."""
    torch.manual_seed(0)
    theirs = VisionTransformer(224, 16, DEPTH, 12, WIDTH, 4 * WIDTH, num_classes=10).eval()
    for parameter in theirs.parameters():  # else tokens of a class and biases are 0, and norms do nothing
        nn.init.normal_(parameter, std=0.05)
    state = theirs.state_dict()
    if published:
        state = {name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): tensor
                 for name, tensor in state.items()}
        assert theirs.load_state_dict(dict(state)).missing_keys == []
    torch.save(dict(state), tmp_path / "torchvision.pth")
    shape = shape_of("imagenet")
    conversion = convert(tmp_path / "torchvision.pth", TASKS["imagenet"], shape)
    assert (conversion.format, conversion.dropped) == ("torchvision", ["heads.head.weight", "heads.head.bias"])
    ours = Encoder(TASKS["imagenet"].tokenizer(shape), shape).eval()
    ours.load_state_dict(conversion.tensors)
    x, left = torch.randn(2, 3, 224, 224), []
    theirs.encoder.register_forward_hook(lambda _module, _given, out: left.append(out))
    with torch.inference_mode():
        theirs(x)
        (expected,) = left
        features = ours.encode(ours.tokenizer({"input": x})).sequence
    assert (features - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_biases_of_q_and_v_become_one_of_qkv_with_none_for_k(tmp_path):
    torch.save(video_mae(True), tmp_path / "finetuned.pth")
    conversion = convert(tmp_path / "finetuned.pth", TASKS["kinetics"], shape_of("kinetics"), blocks_only=True)
    published = read_checkpoint(tmp_path / "finetuned.pth")
    q, k, v = conversion.tensors["blocks.1.attn.qkv.bias"].chunk(3)
    assert torch.equal(q, published["blocks.1.attn.q_bias"])
    assert torch.equal(v, published["blocks.1.attn.v_bias"])
    assert not k.any()
    assert all(name.startswith("blocks.") for name in conversion.tensors)


def test_point_maes_convolutions_are_our_linear_layers(tmp_path):
    """Its tokenizer, rebuilt of convolutions, gives the tokens that ours gives."""
    torch.save(point_mae(), tmp_path / "point.pth")
    shape = shape_of("shapenet", embed_dim=384, num_heads=6, qkv_bias=False)
    conversion = convert(tmp_path / "point.pth", TASKS["shapenet"], shape)
    ours = Encoder(TASKS["shapenet"].tokenizer(shape), shape).eval()
    state = {name: tensor.abs() if "running_var" in name else tensor for name, tensor in conversion.tensors.items()}
    ours.load_state_dict(state)
    first = nn.Sequential(nn.Conv1d(3, 128, 1), nn.BatchNorm1d(128), nn.ReLU(), nn.Conv1d(128, 256, 1))
    second = nn.Sequential(nn.Conv1d(512, 512, 1), nn.BatchNorm1d(512), nn.ReLU(), nn.Conv1d(512, 384, 1))
    published = read_checkpoint(tmp_path / "point.pth")
    for net, prefix in ((first, "first_conv."), (second, "second_conv.")):
        prefix = f"MAE_encoder.encoder.{prefix}"
        net.load_state_dict({name.removeprefix(prefix): tensor.abs() if "running_var" in name else tensor
                             for name, tensor in published.items() if name.startswith(prefix)})
        net.eval()
    groups = torch.randn(2, 5, 32, 3)
    with torch.inference_mode():
        local = first(groups.view(10, 32, 3).mT)
        joined = torch.cat([local.amax(2, keepdim=True).expand(-1, -1, 32), local], 1)
        expected = second(joined).amax(2).view(2, 5, 384)
        tokens = ours.tokenizer.point_net(groups)
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)


def test_biases_that_no_linear_layer_has_are_0(tmp_path):
    """As in models without biases; one that some blocks have is missing in the others."""
    state = mae()["model"]
    bare = {name: tensor for name, tensor in state.items()
            if not (name.startswith("blocks.") and name.endswith(("proj.bias", "fc1.bias")))}
    torch.save({"model": bare}, tmp_path / "bare.pth")
    conversion = convert(tmp_path / "bare.pth", TASKS["imagenet"], shape_of("imagenet"))
    for part in ("attn.proj", "mlp.fc1"):
        assert not conversion.tensors[f"blocks.1.{part}.bias"].any()
    assert torch.equal(conversion.tensors["blocks.1.mlp.fc2.bias"], state["blocks.1.mlp.fc2.bias"])
    assert "blocks.N.attn.proj.bias, with 0" in conversion.describe()


def test_norms_without_biases_are_refused_as_they_may_leave_the_mean(tmp_path):
    """As RMSNorm does, whose weights have the same names"""
    state = {name: tensor for name, tensor in mae()["model"].items()
             if not (name.startswith("blocks.") and re.search(r"norm[12]\.bias$", name))}
    torch.save({"model": state}, tmp_path / "rms.pth")
    with pytest.raises(CheckpointError, match=r"missing blocks\.N\.norm1\.bias"):
        convert(tmp_path / "rms.pth", TASKS["imagenet"], shape_of("imagenet"))
    with pytest.raises(CheckpointError, match=r"missing blocks\.N\.norm1\.bias"):
        convert_blocks(tmp_path / "rms.pth", num_heads=4)


def test_a_file_of_an_unknown_format_is_named(tmp_path):
    torch.save({"h.0.attn.c_attn.weight": torch.ones(2, 6)}, tmp_path / "other.pth")
    for read in (read_blocks, partial(convert_blocks, num_heads=1)):
        with pytest.raises(CheckpointError, match=rf"checkpoint {re.escape(str(tmp_path))}/other\.pth: weights of an unknown"):
            read(tmp_path / "other.pth")


def test_what_does_not_fit_is_refused_with_every_key(tmp_path):
    state = mae()["model"]
    del state["blocks.1.mlp.fc2.bias"]
    state["blocks.0.attn.proj.weight"] = torch.zeros(4, 4)
    state["surprise.weight"] = torch.zeros(1)
    state["norm.bias"][3] = float("nan")
    torch.save({"model": state}, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError) as caught:
        convert(tmp_path / "wrong.pth", TASKS["imagenet"], shape_of("imagenet"))
    for part in ("missing blocks.N.mlp.fc2.bias", "left over surprise.weight", "blocks.N.attn.proj.weight is (4, 4)",
                 "norm.bias has numbers that are not finite"):
        assert part in str(caught.value)
    with pytest.raises(CheckpointError, match="missing"):
        convert(tmp_path / "wrong.pth", TASKS["imagenet"], shape_of("imagenet", depth=3))


@pytest.mark.parametrize(("alter", "said"), [
    (lambda tensor: (1000 * tensor).to(torch.int8), "has int8 numbers, whose scale is not known"),
    (lambda tensor: tensor > 0, "has bool numbers"), (lambda tensor: tensor.to(torch.complex64), "has complex64 numbers"),
    (lambda tensor: tensor.double() * 1e300, "has numbers that are not finite"),
    (torch.zeros_like, "is nothing but zeros, as a copy that stopped leaves it")])
def test_numbers_that_are_no_weights_are_refused(alter, said, tmp_path):
    state = mae()["model"]
    state["blocks.1.mlp.fc1.weight"] = alter(state["blocks.1.mlp.fc1.weight"])
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match=f"blocks.N.mlp.fc1.weight {said}"):
        convert(tmp_path / "wrong.pth", TASKS["imagenet"], shape_of("imagenet"))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_floats_of_any_size_are_read(kind, suffix, tmp_path):
    state = {name: tensor.to(kind) for name, tensor in mae()["model"].items()}
    save_file(state, tmp_path / "a.safetensors") if suffix == "safetensors" else torch.save(state, tmp_path / "a.pth")
    made = convert(tmp_path / f"a.{suffix}", TASKS["imagenet"], shape_of("imagenet")).tensors
    for name in ("blocks.1.mlp.fc1.weight", "norm.bias"):
        assert torch.equal(made[name], state[name].float())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn])
def test_queries_keys_and_values_of_other_floats_than_each_other_become_one(kind, tmp_path):
    """As where some layers of a model were made small, and others left"""
    state = hugging_face("vit", "file")
    start = "vit.encoder.layer.1.attention.attention."
    state |= {f"{start}{name}.weight": state[f"{start}{name}.weight"].to(dtype)
              for name, dtype in (("query", torch.float16), ("key", kind))}
    save_file(state, tmp_path / "model.safetensors")
    made = convert(tmp_path / "model.safetensors", TASKS["imagenet"], shape_of("imagenet")).tensors
    expected = torch.cat([state[f"{start}{name}.weight"].float() for name in ("query", "key", "value")])
    assert torch.equal(made["blocks.1.attn.qkv.weight"], expected)


@pytest.mark.parametrize("held", [r"fc1|decoder", r"blocks\.0\."], ids=("odds and ends", "the first block, whole"))
def test_one_part_of_several_is_told_so(held, tmp_path):
    """Also one that ends after a whole block, which would be taken for a model of fewer"""
    state = {name: tensor for name, tensor in mae()["model"].items() if re.search(held, name)}
    part = tmp_path / "model-00001-of-00002.safetensors"
    save_file(state, part)
    for read in (lambda: convert(part, TASKS["imagenet"], shape_of("imagenet")), lambda: convert_blocks(part, num_heads=12),
                 lambda: read_blocks(part)):
        with pytest.raises(CheckpointError, match=r"is one part of 2, and blocks may go on in the others: name the index"):
            read()


def test_a_file_in_one_part_is_whole_whatever_its_name(tmp_path):
    save_file({name: tensor.clone() for name, tensor in mae()["model"].items()}, tmp_path / "model-00001-of-00001.safetensors")
    conversion = convert(tmp_path / "model-00001-of-00001.safetensors", TASKS["imagenet"], shape_of("imagenet"))
    assert conversion.blocks.depth == DEPTH


def test_what_is_converted_is_not_written_over(tmp_path, capsys):
    file = tmp_path / "mae.safetensors"
    save_file({name: tensor.clone() for name, tensor in mae()["model"].items()}, file)
    before = file.read_bytes()
    (tmp_path / "link.safetensors").symlink_to(file)
    for given, out in ((file, file), (tmp_path / "link.safetensors", file), (file, tmp_path / "link.safetensors")):
        assert main(["convert", str(given), "speech", "--blocks-only", "--heads", "12", "--out", str(out)]) == 2
        assert "is the file that is converted, and would be gone; choose another" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_weights_that_find_no_room_leave_nothing_behind(tmp_path, capsys):
    torch.save(mae(), tmp_path / "mae.pth")
    out = tmp_path / "out" / "ours.safetensors"
    size = (tmp_path / "mae.pth").stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 4, limit[1]))
    try:
        assert main(["convert", str(tmp_path / "mae.pth"), "speech", "--blocks-only", "--heads", "12", "--out", str(out)]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "cannot be written (File too large)" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_positions_of_another_grid_are_fitted_only_when_asked(tmp_path):
    torch.save(mae(), tmp_path / "mae.pth")
    shape = shape_of("imagenet", input_size=(160, 160))
    with pytest.raises(CheckpointError, match="pos_embed is"):
        convert(tmp_path / "mae.pth", TASKS["imagenet"], shape)
    conversion = convert(tmp_path / "mae.pth", TASKS["imagenet"], shape, interpolate=True)
    positions = conversion.tensors["tokenizer.pos_embed"]
    assert positions.shape == (1, 101, WIDTH)
    assert torch.equal(positions[:, 0], mae()["model"]["pos_embed"][:, 0])
    assert "from 14 x 14 to 10 x 10" in conversion.describe()


def mae_finetuned() -> dict:
    """The mean of its patches is normalised by the head, and the encoder has no norm."""
    return {"model": named({name: size for name, size in vit().items() if not name.startswith("norm.")} | {
        "fc_norm.weight": (WIDTH,), "fc_norm.bias": (WIDTH,), "head.weight": (1000, WIDTH), "head.bias": (1000,)})}


def audio_mae_finetuned() -> dict:
    names = vit(1, 513) | {"fc_norm.weight": (WIDTH,), "fc_norm.bias": (WIDTH,), "head.weight": (527, WIDTH)}
    return {"model": named({name: size for name, size in names.items() if not name.startswith("norm.")})}


@pytest.mark.parametrize(("make", "task"), [(mae_finetuned, "imagenet"), (audio_mae_finetuned, "audioset"),
                                            (lambda: video_mae(True), "kinetics")], ids=["mae", "audio mae", "video mae"])
def test_a_file_whose_norm_is_its_heads_is_a_start_where_the_head_normalises(make, task, tmp_path):
    torch.save(make(), tmp_path / "finetuned.pth")
    shape = shape_of(task)
    conversion = convert(tmp_path / "finetuned.pth", TASKS[task], shape)
    assert "no final norm: that of the file is its head's (fc_norm)" in conversion.describe()
    assert not any(name.startswith("norm.") for name in conversion.tensors)
    write(conversion, tmp_path / "ours.safetensors")
    headed = Encoder(TASKS[task].tokenizer(shape), shape, final_norm=False)
    assert load_encoder(headed, tmp_path / "ours.safetensors", shape) == {"missing": [], "unused": []}
    with pytest.raises(CheckpointError, match="have no final norm, as theirs was their head's"):
        load_encoder(Encoder(TASKS[task].tokenizer(shape), shape), tmp_path / "ours.safetensors", shape)
    again = convert(tmp_path / "ours.safetensors", TASKS[task], shape)
    assert again.tensors.keys() == conversion.tensors.keys()
    assert "no final norm: the file has none" in again.describe()


def test_half_a_norm_is_still_refused(tmp_path):
    state = mae_finetuned()["model"]
    torch.save({"model": state | {"norm.weight": torch.ones(WIDTH)}}, tmp_path / "half.pth")
    with pytest.raises(CheckpointError, match=r"missing norm\.bias"):
        convert(tmp_path / "half.pth", TASKS["imagenet"], shape_of("imagenet"))


def test_a_head_of_average_pooling_computes_what_timms_does(tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("vit_base_patch16_224", depth=DEPTH, num_classes=10, global_pool="avg").eval()
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    shape = shape_of("imagenet")
    conversion = convert(tmp_path / "timm.pth", TASKS["imagenet"], shape)
    ours = Encoder(TASKS["imagenet"].tokenizer(shape), shape, final_norm=False).eval()
    ours.load_state_dict(conversion.tensors)
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        expected = theirs(x)
        logits = theirs.head(theirs.fc_norm(ours.encode(ours.tokenizer({"input": x})).patches.mean(1)))
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()


PLAIN = "vit_base_patch16_224"
SMALL = {"embed_dim": 96, "depth": 2, "num_heads": 3}


def of_timm(folder: Path, architecture: str, said: dict[str, object] | None = None) -> nn.Module:
    """A small model of timm in a folder, as its hub has them: weights, and a config.json that names the architecture."""
    torch.manual_seed(0)
    model = timm.create_model(architecture, **SMALL).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.1)
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(said or {"architecture": architecture, "model_args": SMALL}))
    return model


@pytest.mark.parametrize(("architecture", "told"), [
    (PLAIN, []), ("vit_base_patch14_dinov2", []), ("eva_giant_patch14_224", []), ("vit_base_patch16_siglip_256", []),
    ("vit_base_patch16_rpn_224", ["norms come after attention and MLP, before the sums"]),
    ("eva02_enormous_patch14_clip_224", ["norms come after attention and MLP, before the sums"]),
    ("vit_base_patch32_clip_quickgelu_224", ["the activation is QuickGELU there, and here GELU"]),
    ("vit_so400m_patch16_siglip_256", ["the activation is GELUTanh there"]),
    ("vit_pe_core_base_patch16_224", ["queries and keys are turned by their positions there"]),
    ("vit_srelpos_small_patch16_224", ["attention weighs relative positions there"])])
def test_blocks_of_timm_compute_what_they_did_or_it_is_told(architecture, told, tmp_path):
    """Names alone tell none of it: all of these have the names of a plain ViT"""
    theirs = of_timm(tmp_path, architecture)
    conversion = convert_blocks(tmp_path / "model.safetensors")
    assert (conversion.blocks.num_heads, conversion.blocks.depth) == (3, 2)
    assert len(conversion.differences) == len(told)
    assert all(difference.startswith(begin) for difference, begin in zip(conversion.differences, told, strict=True))
    inner: dict[str, Tensor] = {}
    theirs.blocks[0].register_forward_pre_hook(lambda block, values: inner.update(before=values[0]))
    theirs.blocks[1].register_forward_hook(lambda block, values, result: inner.update(after=result))
    ours = build_blocks(96, 2, 3, conversion.blocks.mlp_ratio, qkv_bias=True).eval()
    ours.load_state_dict({name.removeprefix("blocks."): tensor for name, tensor in conversion.tensors.items()})
    with torch.inference_mode():
        theirs(torch.randn(1, *theirs.default_cfg["input_size"]))
        apart = (ours[1](ours[0](inner["before"])) - inner["after"]).abs().max() / inner["after"].abs().max()
    assert (apart < 1e-5) == (not told)


def test_what_a_file_of_timm_does_not_say_is_told(tmp_path):
    path = tmp_path / "model.safetensors"
    of_timm(tmp_path, PLAIN, {"architecture": "vit_of_tomorrow"})
    with pytest.raises(CheckpointError, match=r"names timm's 'vit_of_tomorrow', whose blocks timm .* does not show"):
        convert_blocks(path)
    of_timm(tmp_path, PLAIN, {"architecture": "hf-hub:timm/vit_base_patch16_224"})
    with pytest.raises(CheckpointError, match=r"whose blocks timm .* does not show \(LookupError: no such model\)"):
        convert_blocks(path)
    of_timm(tmp_path, PLAIN, {"architecture": PLAIN, "model_args": {"checkpoint_path": "elsewhere.pth"}})
    with pytest.raises(CheckpointError, match=r"does not show \(TypeError"):
        convert_blocks(path)
    of_timm(tmp_path, PLAIN, {"architecture": "resnet18"})
    with pytest.raises(CheckpointError, match=r"names timm's 'resnet18', whose blocks"):
        convert_blocks(path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"give --heads N, or put the config\.json"):
        convert_blocks(path)
    assert "as no config.json beside it names timm's architecture" in convert_blocks(path, num_heads=3).describe()
    of_timm(tmp_path, "vit_srelpos_small_patch16_224")
    (tmp_path / "config.json").unlink()
    assert convert_blocks(path, num_heads=3).differences == ["attention weighs relative positions there, and not here"]


@pytest.mark.parametrize("blocks_only", [False, True])
def test_how_many_heads_are_taken_is_told_where_no_file_says_it(blocks_only, tmp_path):
    """Four heads fit the names and shapes of three, and another encoder comes out"""
    torch.manual_seed(0)
    sizes = {"embed_dim": 48, "depth": 2, "num_heads": 3, "mlp_ratio": 4, "input_size": (32, 32), "patch_size": (8, 8)}
    shape, x = shape_of("imagenet", **sizes), torch.randn(2, 3, 32, 32)
    for heads in (3, 4):
        theirs = timm.create_model(PLAIN, embed_dim=48, depth=2, num_heads=heads, img_size=32, patch_size=8).eval()
        for parameter in theirs.parameters():
            nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
        torch.save(theirs.state_dict(), tmp_path / "timm.pth")
        conversion = convert(tmp_path / "timm.pth", TASKS["imagenet"], shape, blocks_only=blocks_only)
        assert "taken with 3 attention heads, as the model has: neither the file nor a config.json" in conversion.describe()
        assert "as no config.json beside it names timm's architecture" in conversion.describe()
        if not blocks_only:
            ours = Encoder(TASKS["imagenet"].tokenizer(shape), shape).eval()
            ours.load_state_dict(conversion.tensors)
            with torch.inference_mode():
                expected = theirs.forward_features(x)
                apart = (ours.encode(ours.tokenizer({"input": x})).sequence - expected).abs().max() / expected.abs().max()
            assert (apart < 1e-5) == (heads == 3)
    write(conversion, tmp_path / "ours.safetensors")
    again = convert(tmp_path / "ours.safetensors", TASKS["imagenet"], shape, blocks_only=True)
    assert "taken" not in again.describe(), "what was converted says it"
    of_timm(tmp_path, PLAIN)
    again = convert(tmp_path / "model.safetensors", TASKS["imagenet"], shape_of("imagenet", **SMALL))
    assert "taken" not in again.describe(), "config.json beside it says it"


def hugging_face(model: str, layout: str) -> dict[str, Tensor]:
    """Names as the files have them ("file"), or as the model of transformers 5 has them ("model")."""
    video = model == "videomae"
    layer, attention = ("layers", "attention") if layout == "model" else ("encoder.layer", "attention.attention")
    parts = {"layernorm_before": WIDTH, "layernorm_after": WIDTH}
    linear = {f"{attention}.{'q_proj' if layout == 'model' else 'query'}": (WIDTH, WIDTH),
              f"{attention}.{'k_proj' if layout == 'model' else 'key'}": (WIDTH, WIDTH),
              f"{attention}.{'v_proj' if layout == 'model' else 'value'}": (WIDTH, WIDTH),
              "attention.o_proj" if layout == "model" else "attention.output.dense": (WIDTH, WIDTH),
              "mlp.fc1" if layout == "model" else "intermediate.dense": (4 * WIDTH, WIDTH),
              "mlp.fc2" if layout == "model" else "output.dense": (WIDTH, 4 * WIDTH)}
    names: dict[str, tuple[int, ...]] = {
        f"{model}.embeddings.patch_embeddings.projection.weight": (WIDTH, 3, 2, 16, 16) if video else (WIDTH, 3, 16, 16),
        f"{model}.embeddings.patch_embeddings.projection.bias": (WIDTH,)}
    if not video:
        names |= {"vit.embeddings.cls_token": (1, 1, WIDTH), "vit.embeddings.position_embeddings": (1, 197, WIDTH)}
    for index in range(DEPTH):
        start = f"{model}.{layer}.{index}"
        names |= {f"{start}.{norm}.{part}": (size,) for norm, size in parts.items() for part in ("weight", "bias")}
        names |= {f"{start}.{name}.weight": size for name, size in linear.items()}
        names |= {f"{start}.{name}.bias": size[:1] for name, size in linear.items() if not video or name[-3:] != "key"}
    names |= {f"{model}.layernorm.{part}": (WIDTH,) for part in ("weight", "bias")}
    head = {"mask_token": (1, 1, 384), "encoder_to_decoder.weight": (384, WIDTH), "decoder.norm.weight": (384,)} if video else {
        "decoder.mask_token": (1, 1, 512), "decoder.decoder_embed.weight": (512, WIDTH), "classifier.weight": (10, WIDTH)}
    return named(names | head)


@pytest.mark.parametrize(("model", "layout", "task"), [("vit", "file", "imagenet"), ("vit", "model", "imagenet"),
                                                       ("videomae", "file", "kinetics")])
def test_hugging_faces_names_are_known(model, layout, task, tmp_path):
    state = hugging_face(model, layout)
    save_file(state, tmp_path / "model.safetensors")
    shape = shape_of(task)
    conversion = convert(tmp_path / "model.safetensors", TASKS[task], shape)
    assert len(conversion.dropped) == 3
    start = f"{model}.{'layers' if layout == 'model' else 'encoder.layer'}.1."
    names = ("attention.q_proj", "attention.k_proj", "attention.v_proj") if layout == "model" else (
        "attention.attention.query", "attention.attention.key", "attention.attention.value")
    for part in ("weight", "bias"):
        expected = torch.cat([state.get(f"{start}{name}.{part}", torch.zeros(WIDTH)) for name in names])
        assert torch.equal(conversion.tensors[f"blocks.1.attn.qkv.{part}"], expected)
    write(conversion, tmp_path / "ours.safetensors")
    assert load_encoder(Encoder(TASKS[task].tokenizer(shape), shape), tmp_path / "ours.safetensors", shape) == {
        "missing": [], "unused": []}


def test_a_fine_tuned_point_mae_is_read_as_its_pretraining_is(tmp_path):
    state = point_mae()["base_model"]
    tuned = {name.removeprefix("module.MAE_encoder."): tensor for name, tensor in state.items() if "MAE_encoder" in name}
    tuned |= named({"cls_token": (1, 1, 384), "cls_pos": (1, 1, 384), "cls_head_finetune.0.weight": (256, 768)})
    torch.save(point_mae(), tmp_path / "pretrained.pth")
    torch.save({"base_model": tuned}, tmp_path / "tuned.pth")
    shape = shape_of("modelnet", embed_dim=384, num_heads=6, qkv_bias=False)
    one, other = (convert(tmp_path / f"{name}.pth", TASKS["modelnet"], shape) for name in ("pretrained", "tuned"))
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())
    assert sorted(other.dropped) == ["cls_head_finetune.0.weight", "cls_pos", "cls_token"]


def test_which_set_of_weights_was_taken_is_said(tmp_path, capsys):
    raw, average = mae()["model"], {name: tensor + 1 for name, tensor in mae()["model"].items()}
    torch.save({"model": raw, "model_ema": average}, tmp_path / "both.pth")
    command = ["convert", str(tmp_path / "both.pth"), "imagenet", "--out", str(tmp_path / "ours.safetensors"), "--set",
               f"shape.depth={DEPTH}"]
    for chosen, taken, other in (([], raw, "model_ema"), (["--weights", "model_ema"], average, "model")):
        assert main([*command, *chosen]) == 0
        assert f"there are also {other} (--weights {other})" in capsys.readouterr().out
        assert torch.equal(load_file(tmp_path / "ours.safetensors")["norm.weight"], taken["norm.weight"])
    assert main([*command, "--weights", "modle"]) == 2
    assert "no single set of weights 'modle' in the file; it has model, model_ema" in capsys.readouterr().err


def test_a_set_of_weights_without_a_name_can_be_taken_as_it_is_told(tmp_path, capsys):
    raw = mae()["model"]
    beside = {name: tensor + 1 for name, tensor in raw.items()}
    torch.save({f"backbone.{name}": tensor for name, tensor in raw.items()} | beside, tmp_path / "both.pth")
    command = ["convert", str(tmp_path / "both.pth"), "x", "--blocks-only", "--heads", "3", "--out",
               str(tmp_path / "x.safetensors")]
    assert main(command) == 0
    assert "taken: the weights under 'backbone'; there are also (no name) (--weights '')" in capsys.readouterr().out
    assert main([*command, "--weights", ""]) == 0
    assert "taken: the weights under no name; there are also backbone (--weights backbone)" in capsys.readouterr().out
    taken = load_file(tmp_path / "x.safetensors")["blocks.0.attn.qkv.weight"]
    assert torch.equal(taken, beside["blocks.0.attn.qkv.weight"])


def test_options_are_hinted_at_only_where_they_help(tmp_path):
    def refusal(state: dict[str, Tensor], **changes) -> str:
        torch.save({"model": state}, tmp_path / "file.pth")
        with pytest.raises(CheckpointError) as caught:
            convert(tmp_path / "file.pth", TASKS["imagenet"], shape_of("imagenet", **changes))
        return str(caught.value)

    state = mae()["model"]
    other_grid = refusal(state, input_size=(160, 160))
    assert "with --interpolate" in other_grid
    assert "--blocks-only" not in other_grid
    other_channels = refusal({**state, "patch_embed.proj.weight": torch.zeros(WIDTH, 1, 16, 16)})
    assert "with --blocks-only" in other_channels
    assert "--interpolate" not in other_channels
    assert f"does not fit imagenet, as it has {DEPTH} blocks of width {WIDTH}, and the model 3 of {WIDTH} (--set "\
           f"shape.depth={DEPTH}): missing blocks.N." in refusal(state, depth=3)
    assert (f"{DEPTH} blocks of width {WIDTH}, and the model {DEPTH} of 96 (--set shape.embed_dim={WIDTH} --set "
            "shape.num_heads=N, as many as it has): ") in refusal(state, embed_dim=96, num_heads=3)
    assert "(--set shape.mlp_ratio=4): " in refusal(state, mlp_ratio=2)
    for pair in ("2.", "01."):
        numbered = {name.replace("blocks.1.", f"blocks.{pair}"): tensor for name, tensor in state.items()}
        assert f"imagenet, as its blocks are numbered 0, {pair[:-1]} and not from 0 on: missing" in refusal(numbered)
    broken = {**state, "blocks.1.attn.proj.weight": torch.zeros(4, 4)}
    assert "--" not in refusal(broken)


@pytest.mark.parametrize(("width", "hidden"), [(96, 128), (176, 240), (192, 512)])
def test_any_number_of_hidden_units_is_read_and_told_to_the_last_bit(width, hidden, tmp_path):
    torch.manual_seed(0)
    blocks = nn.Sequential(*[timm.models.vision_transformer.Block(width, 2, (hidden + 0.5) / width) for _ in range(2)])
    file = tmp_path / "vit.safetensors"
    save_file({f"blocks.{name}": tensor for name, tensor in blocks.state_dict().items()}, file)
    conversion = convert_blocks(file, num_heads=2)
    assert conversion.tensors["blocks.1.mlp.fc1.weight"].shape == (hidden, width)
    told = dict(option.removeprefix("shape.").split("=") for option in conversion.blocks.options())
    assert float(told["mlp_ratio"]) == conversion.blocks.mlp_ratio
    assert int(width * conversion.blocks.mlp_ratio) == hidden
    with pytest.raises(CheckpointError) as caught:
        convert(file, TASKS["imagenet"], shape_of("imagenet", embed_dim=width, num_heads=2, depth=2))
    assert f"(--set shape.mlp_ratio={told['mlp_ratio']})" in str(caught.value)


@pytest.mark.parametrize(("width", "hidden"), [(1152, 4304), (1408, 6144), (1664, 8192), (1792, 15360)],
                         ids=["SigLIP so400m", "CLIP ViT-g", "CLIP ViT-bigG", "EVA-02 CLIP E"])
def test_the_ratio_of_published_blocks_is_told_to_the_last_bit(width, hidden):
    ratio = ratio_of(hidden, width)
    assert int(width * ratio) == hidden
    assert float(exact(ratio)) == ratio
    assert exact(4.0) == "4"


def test_what_is_said_after_converting_blocks_alone_can_be_done(tmp_path, capsys):
    torch.save(mae(), tmp_path / "mae.pth")
    command = ["convert", str(tmp_path / "mae.pth"), "imagenet", "--out", str(tmp_path / "ours.safetensors"), "--set",
               f"shape.depth={DEPTH}"]
    assert main([*command, "--blocks-only"]) == 0
    assert "as an auxiliary of other modalities: benchmark run -x image --start image=" in capsys.readouterr().out
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"train from it with: benchmark run --start image={tmp_path / 'ours.safetensors'} --profile paper --set " \
           f"shape.depth={DEPTH}\n" in said


def test_an_unknown_format_lists_those_that_are_known():
    with pytest.raises(CheckpointError) as caught:
        detect({"features.0.weight": torch.zeros(1)})
    for part in ("begin with features.0.weight", "MAE and AudioMAE", "VideoMAE", "Point-MAE", "timm", "Hugging Face"):
        assert part in str(caught.value)
    with pytest.raises(CheckpointError, match=r"blocks are under 'net\.v\.' there: take that off the names, and save"):
        detect({"net.v.cls_token": torch.zeros(1), "net.v.blocks.0.attn.qkv.weight": torch.zeros(1)})


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("content", [{"model": Payload()}, [1, 2], {"model": {"a": 1}}, {}, Payload()],
                         ids=["payload", "list", "no tensors", "empty", "bare payload"])
def test_a_file_that_holds_code_or_no_weights_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=r"refused|holds no weights"):
        convert(tmp_path / "file.pth", TASKS["imagenet"], shape_of("imagenet"))
    assert not (tmp_path / "executed").exists()
    for text in (b"", b"PK\x03\x04", b"\x80\x04K\x01."):
        (tmp_path / "file.pth").write_bytes(text)
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match="unknown format"):
        detect({"layer.weight": torch.zeros(1)})


def test_a_run_starts_from_converted_weights(tmp_path, capsys, monkeypatch):
    """The tiny image model and an auxiliary's blocks, both from files, through the command line."""
    shapes = {name: TASKS[name].profiles["tiny"].shape for name in ("imagenet", "audioset")}
    for name, shape in shapes.items():
        torch.manual_seed(1)
        save_file(Encoder(TASKS[name].tokenizer(shape), shape).state_dict(), tmp_path / f"{name}.safetensors")
        assert main(["convert", str(tmp_path / f"{name}.safetensors"), name, "--profile", "tiny", "--out",
                     str(tmp_path / f"{name}-ours.safetensors"), *(["--blocks-only"] if name == "audioset" else [])]) == 0
    assert "left out" in capsys.readouterr().out
    start = [part for name, modality in (("imagenet", "image"), ("audioset", "audio"))
             for part in ("--start", f"{modality}={tmp_path / f'{name}-ours.safetensors'}")]
    results = tmp_path / "results"
    bare = ["run", "--matrix", "smoke", "-t", "imagenet", "--seeds", "0", "-j", "2", "--limit", "64", "--results", str(results)]
    command = [*bare, *start]
    assert main([*command, "-x", "audio"]) == 0, capsys.readouterr()
    records, problems = Store(results).records()
    assert not problems
    assert {record.spec.kind for record in records} == {"train"}
    pathway = next(record for record in records if record.spec.arm == "m2pt")
    assert pathway.weights["target"].startswith(pathway.spec.starts["target"])
    assert pathway.weights["auxiliary"].startswith(pathway.spec.starts["auxiliary"])
    assert load_file(tmp_path / "audioset-ours.safetensors").keys() <= load_file(tmp_path / "audioset.safetensors").keys()
    for text, said in (("image", "expected MODALITY=FILE"), ("imag=x", "did you mean 'image'"),
                       ("image=nowhere", "cannot be read")):
        assert main([*bare, "--start", text]) == 2
        assert said in capsys.readouterr().err
    assert main([*command, "-x", "audio", "--start", start[1]]) == 2
    assert f"--start {start[1]}: image has a file already, {start[1][len('image='):]}: give one" in capsys.readouterr().err
    assert main([*bare, "--start", f"image={start[3].removeprefix('audio=')}"]) == 2
    assert "the file was converted for audio; give it as --start audio=" in capsys.readouterr().err
    blocks = tmp_path / "blocks.safetensors"
    assert main(["convert", str(tmp_path / "imagenet.safetensors"), "imagenet", "--profile", "tiny", "--blocks-only",
                 "--out", str(blocks)]) == 0
    assert main([*bare, "--start", f"image={blocks}"]) == 2
    assert "has no tokenizer: write it with benchmark convert FILE imagenet, without --blocks-only" in capsys.readouterr().err
    assert main([*command, "-x", "point"]) == 2
    assert f"--start {start[3]}: no run of this matrix starts from weights of audio; leave it out" in capsys.readouterr().err
    assert main([*command, "--arm", "same-modality"]) == 2
    assert "wants another pretraining" in capsys.readouterr().err


def test_weights_of_another_modality_are_refused_and_those_that_name_none_are_told(tmp_path, capsys):
    """What the tokenizers of both share in shape alone, blocks, would be joined without a word."""
    shape = TASKS["audioset"].profiles["tiny"].shape
    plain, command = tmp_path / "plain.safetensors", ["--matrix", "smoke", "-t", "modelnet"]
    save_file(Encoder(TASKS["audioset"].tokenizer(shape), shape).state_dict(), plain)
    for more in ([], ["--blocks-only"]):
        ours = tmp_path / f"ours{len(more)}.safetensors"
        assert main(["convert", str(plain), "audioset", "--profile", "tiny", "--out", str(ours), *more]) == 0
        assert read_origin(ours).modality == "audio"
        capsys.readouterr()
        with pytest.raises(ValueError, match="the file was converted for audio; give it as --start audio="):
            given_weights(ours, "image", shape, known=True)  # whoever plans
        for wrong in ("image", "speech"):
            for verb in ("run", "status"):
                assert main([verb, *command, "-x", wrong, "--start", f"{wrong}={ours}", "--results", str(tmp_path / "r")]) == 2
                assert capsys.readouterr().err == (
                    f"benchmark: --start {wrong}={ours}: the file was converted for audio; give it as --start audio={ours}, or "
                    f"convert the published file for {wrong}\n")
        assert main(["run", *command, "-x", "audio", "--start", f"audio={ours}", "--dry-run", "--results", str(tmp_path)]) == 0
        assert "does not say for which modality" not in capsys.readouterr().out
    assert main(["run", *command, "-x", "image", "--start", f"image={plain}", "--dry-run", "--results", str(tmp_path)]) == 0
    assert (f"note: --start image={plain}: the file does not say for which modality it was converted, as earlier releases and "
            "other programs leave it, and is taken as image's\n") in capsys.readouterr().out
    save_file(Encoder(TASKS["imagenet"].tokenizer(deeper := shape_of("imagenet", depth=2, embed_dim=48, num_heads=3)),
                      deeper).state_dict(), tmp_path / "other.safetensors")
    save_file({"layer.weight": torch.ones(2)}, tmp_path / "none.safetensors")
    torch.save(Encoder(TASKS["audioset"].tokenizer(shape), shape).state_dict(), tmp_path / "audio.pth")
    (tmp_path / "empty.safetensors").touch()
    whole = ours.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-100])
    for name, said in (("audio.pth", "is not in the format that runs start from; write it with: benchmark convert /"),
                       ("empty.safetensors", "is not in the format that runs start from"),
                       ("cut.safetensors", f"is cut short: {len(whole) - 100:,} of {len(whole):,} bytes; download it again"),
                       ("none.safetensors", "has no blocks by the names that are read; write it with: benchmark convert /"),
                       ("other.safetensors", "has 2 blocks of width 48, and the model 3 of 96; set shape.depth and")):
        start = ["-x", "audio", "--start", f"audio={tmp_path / name}", "--dry-run", "--results", str(tmp_path / "r")]
        assert main(["run", *command, *start]) == 2
        assert said in capsys.readouterr().err
    foreign = Origin(blocks=BlockShape(embed_dim=96, depth=3, num_heads=3, mlp_ratio=2), format="x", sources={})
    assert "modality" not in foreign.text(), "so that a file of no task keeps its bytes, and a run its id"


def test_tensors_that_share_memory_are_written_each_for_itself(tmp_path, capsys):
    """As tied layers and slices of one array are, which safetensors refuses."""
    task = TASKS["imagenet"]
    shape = task.profiles["tiny"].shape
    weights = Encoder(task.tokenizer(shape), shape).state_dict()
    weights["blocks.1.mlp.fc1.weight"] = weights["blocks.0.mlp.fc1.weight"]
    both = torch.randn(2, shape.embed_dim)
    weights |= {f"blocks.{depth}.norm1.bias": both[depth] for depth in (0, 1)}
    torch.save({"model": weights}, tmp_path / "tied.pth")
    out = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "tied.pth"), "imagenet", "--profile", "tiny", "--out", str(out)]) == 0
    assert "4 tensors share memory with others in the file, such as blocks.0.norm1.bias" in capsys.readouterr().out
    written = load_file(out)
    assert all(torch.equal(written[name], weights[name]) for name in weights)
