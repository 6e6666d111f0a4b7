"""Weights of JAX in archives of NumPy arrays: a timm ViT, written as they are, is read as what it was; all else is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from benchmark.cli.main import main
from benchmark.model.encoder import Encoder
from benchmark.model.weights import CheckpointError
from benchmark.spec.recipes import ModelShape
from benchmark.transfer.convert import convert, convert_blocks, write
from benchmark.transfer.published import read_sets
from tasks import TASKS

DEPTH, WIDTH, HEADS = 2, 48, 3
SHAPE: ModelShape = TASKS["imagenet"].profiles["paper"].shape.model_copy(update={
    "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "mlp_ratio": 4.0, "input_size": (32, 32), "patch_size": (8, 8)})
Arrays = dict[str, np.ndarray]


def random_vit(bare_class: bool = False) -> VisionTransformer:
    torch.manual_seed(0)
    model = VisionTransformer(img_size=32, patch_size=8, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=5,
                              no_embed_class=bare_class)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


def by_head(tensor: Tensor) -> Tensor:
    """(3 D, ...) -> (3, heads, D / heads, ...)"""
    return tensor.unflatten(0, (3, HEADS, -1))


def as_jax(model: VisionTransformer, first_release: bool) -> Arrays:
    """Kernels have a row for each input, and attention's a size for each head."""
    state, found = model.state_dict(), {}
    norm2, attention, mlp = (2, 1, 3) if first_release else (1, 0, 0)
    found["cls"], found["embedding/bias"] = state["cls_token"], state["patch_embed.proj.bias"]
    found["embedding/kernel"] = state["patch_embed.proj.weight"].permute(2, 3, 1, 0)
    found["Transformer/posembed_input/pos_embedding" if first_release else "pos_embedding"] = state["pos_embed"]
    found["head/kernel"], found["head/bias"] = state["head.weight"].T, state["head.bias"]
    norms = {"Transformer/encoder_norm": "norm"}
    for index in range(DEPTH):
        start, own = f"Transformer/encoderblock_{index}", f"blocks.{index}"
        norms |= {f"{start}/LayerNorm_0": f"{own}.norm1", f"{start}/LayerNorm_{norm2}": f"{own}.norm2"}
        place = f"{start}/MultiHeadDotProductAttention_{attention}"
        kernels, biases = (by_head(state[f"{own}.attn.qkv.{part}"]) for part in ("weight", "bias"))
        for letter, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
            found |= {f"{place}/{letter}/kernel": kernel.permute(2, 0, 1), f"{place}/{letter}/bias": bias}
        found[f"{place}/out/kernel"] = state[f"{own}.attn.proj.weight"].T.unflatten(0, (HEADS, -1))
        found[f"{place}/out/bias"] = state[f"{own}.attn.proj.bias"]
        for theirs, ours in ((0, "fc1"), (1, "fc2")):
            found[f"{start}/MlpBlock_{mlp}/Dense_{theirs}/kernel"] = state[f"{own}.mlp.{ours}.weight"].T
            found[f"{start}/MlpBlock_{mlp}/Dense_{theirs}/bias"] = state[f"{own}.mlp.{ours}.bias"]
    for theirs, ours in norms.items():
        found |= {f"{theirs}/scale": state[f"{ours}.weight"], f"{theirs}/bias": state[f"{ours}.bias"]}
    return {name: tensor.numpy() for name, tensor in found.items()}


def stacked(arrays: Arrays) -> Arrays:
    """All blocks in one array of each kind"""
    found = {name: values for name, values in arrays.items() if "encoderblock_" not in name}
    for name in [name for name in arrays if "encoderblock_0/" in name]:
        found[name.replace("encoderblock_0/", "encoderblock/")] = np.stack(
            [arrays[name.replace("encoderblock_0/", f"encoderblock_{index}/")] for index in range(DEPTH)])
    return found


def under(start: str, arrays: Arrays) -> Arrays:
    return {f"{start}/{name}": values for name, values in arrays.items()}


def saved(folder: Path, arrays: Arrays) -> Path:
    np.savez(folder / "vit.npz", **arrays)  # type: ignore[arg-type]
    return folder / "vit.npz"


LAYOUTS: dict[str, tuple[bool, Callable[[Arrays], Arrays]]] = {
    "first release": (True, dict),
    "first release, trained on": (True, lambda arrays: under("opt/target", arrays) | {
        f"opt/state/param_states/{name}/grad_ema": values for name, values in arrays.items()}),
    "big_vision": (False, lambda arrays: under("params", arrays) | under("opt/0/mu", arrays) | {"opt/1/count": np.array(3)}),
    "big_vision, stacked": (False, lambda arrays: under("params/img", stacked(arrays)) | {"params/t": np.ones(1)}),
    "by column": (True, lambda arrays: {name: np.asfortranarray(values) for name, values in arrays.items()}),
    "big endian": (True, lambda arrays: {name: values.astype(">f4") for name, values in arrays.items()})}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_converted_encoder_computes_what_timms_does(layout, tmp_path):
    first_release, lay_out = LAYOUTS[layout]
    theirs = random_vit(bare_class=not first_release)
    conversion = convert(saved(tmp_path, lay_out(as_jax(theirs, first_release))), TASKS["imagenet"], SHAPE)
    assert conversion.format == "jax"
    assert {"head.kernel", "head.bias"} <= set(conversion.dropped)
    assert {name.partition(".")[0] for name in conversion.dropped} <= {"head", "opt", "params"}
    ours = Encoder(TASKS["imagenet"].tokenizer(SHAPE), SHAPE).eval()
    ours.load_state_dict(conversion.tensors)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.inference_mode():
        expected = theirs.double().forward_features(x)
        features = ours.double().encode(ours.tokenizer({"input": x})).sequence
    assert (features - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_what_jax_computes_otherwise_is_told_and_refuses_no_encoder(tmp_path):
    """Its GELU is the formula of tanh; that of timm, which reads the same files, is ours."""
    file, ours = saved(tmp_path, as_jax(random_vit(), True)), tmp_path / "ours.safetensors"
    write(convert(file, TASKS["imagenet"], SHAPE), ours)
    for conversion in (convert(file, TASKS["imagenet"], SHAPE), convert_blocks(file), convert(ours, TASKS["imagenet"], SHAPE)):
        assert conversion.differences == ["the activation is GELU by a formula of tanh there, and here GELU, from which it is "
                                          "less than 0.0005 away"]
    x = torch.linspace(-10, 10, 100_001, dtype=torch.float64)
    assert (nn.GELU()(x) - nn.GELU("tanh")(x)).abs().max() < 0.0005


def test_heads_are_read_from_the_sizes_of_the_arrays(tmp_path):
    arrays = as_jax(random_vit(), True)
    for file in (saved(tmp_path, arrays), saved(tmp_path, stacked(arrays))):
        assert convert_blocks(file).blocks.num_heads == HEADS
        with pytest.raises(CheckpointError, match=r"has 3 attention heads, and the model 4: --set shape\.num_heads=3"):
            convert(file, TASKS["imagenet"], SHAPE.model_copy(update={"num_heads": 4}))


def test_bfloat16_is_read_under_the_type_that_numpy_gives_it(tmp_path):
    arrays = as_jax(random_vit(), False)
    halves = {name: torch.from_numpy(np.ascontiguousarray(values)).bfloat16() for name, values in arrays.items()}
    expected = convert_blocks(saved(tmp_path, {name: half.float().numpy() for name, half in halves.items()})).tensors
    found = convert_blocks(saved(tmp_path, {name: half.view(torch.int16).numpy().view("V2") for name, half in halves.items()}))
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.items())


def test_of_two_encoders_in_an_archive_any_can_be_chosen(tmp_path):
    images = as_jax(random_vit(), False)
    texts = {name.replace("Transformer/", "Encoder_0/"): 2 * values for name, values in images.items()
             if "Transformer/" in name} | {"Embed_0/embedding": np.ones((9, WIDTH), np.float32)}
    file = saved(tmp_path, under("params/img", images) | under("params/txt", texts) | {"params/t": np.ones(1)})
    one, other = (convert_blocks(file, weights=name) for name in ("img", "txt"))
    assert (one.format, other.format) == ("jax", "jax-text")
    assert all(torch.equal(2 * tensor, other.tensors[name]) for name, tensor in one.tensors.items())
    assert "taken: the weights under 'params.img'; there are also params.txt (--weights params.txt)" in one.describe()
    with pytest.raises(CheckpointError, match="is fed with words, as no task here is; with --blocks-only"):
        convert(file, TASKS["imagenet"], SHAPE, weights="txt")


def without(part: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {name: values for name, values in arrays.items() if part not in name}


@pytest.mark.parametrize(("change", "said"), [
    (without("encoderblock_1/"), r"does not fit imagenet, as it has 1 block of width 48, and the model 2"),
    (without("encoderblock_0/"), r"does not fit imagenet, as its blocks are numbered 1 and not from 0 on"),
    (without("encoderblock_1/MlpBlock_3/Dense_1/kernel"), r"missing blocks\.N\.mlp\.fc2\.weight"),
    (without("cls"), r"missing tokenizer\.cls_token; its blocks fit: with --blocks-only"),
    (lambda arrays: {**arrays, "Transformer/encoderblock_0/surprise/kernel": np.ones(2)}, r"left over blocks\.N\.surprise"),
    (lambda arrays: {**arrays, "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query_ln/scale": np.ones(16)},
     "these blocks have norms of queries and keys"),
    (lambda arrays: under("opt/0/mu", arrays), "has the states of an optimizer, such as opt/0/mu/.*, and no weights; name the"),
    (lambda arrays: {"x_train": np.ones((3, 4)), "y_train": np.ones(3)}, "holds no weights by name; it has 'x_train', 'y_tr"),
    (lambda arrays: {"MixerBlock_0/token_mixing/Dense_0/kernel": np.ones((3, 4))}, "weights of an unknown format; they begin"),
    (lambda arrays: {"a/b": np.array(["text"]), "c/d": np.array([], np.float32)}, "holds no weights by name")])
def test_what_is_no_whole_encoder_is_refused_with_the_reason(change, said, tmp_path):
    with pytest.raises(CheckpointError, match=said) as caught:
        convert(saved(tmp_path, change(as_jax(random_vit(), True))), TASKS["imagenet"], SHAPE)
    assert "\n" not in str(caught.value)


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_objects_in_an_archive_are_never_unpickled(tmp_path, capsys):
    mark = tmp_path / "executed"
    file = saved(tmp_path, as_jax(random_vit(), True) | {"extra/config": np.array([Payload(mark)], dtype=object)})
    assert main(["convert", str(file), "x", "--blocks-only", "--out", str(tmp_path / "x.safetensors")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is refused, as only numbers are read, and extra/config in it is of Python objects" in line
    assert not mark.exists()


def archive_of(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def array_bytes(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


WHOLE = array_bytes(np.ones((64, 64), np.float32))


@pytest.mark.parametrize(("content", "said"), [
    (archive_of(a=WHOLE)[:-60], "is cut short or damaged: .* bytes, without the list of contents"),
    (archive_of(a=WHOLE[:-8]), r"is damaged: a of sizes \(64, 64\) has 16,376 bytes of float32; download it again"),
    (archive_of(a=WHOLE.replace(b"(64, 64)", b"(9**9,) ")), "is damaged: "),
    (archive_of(a=WHOLE.replace(b"(64, 64), }", b"(9999999999,)}")), "is damaged: "),
    (archive_of(a=WHOLE.replace(b"(64, 64), }", b"((64, 64), ")), "is damaged: "),
    (archive_of(a=b"no array"), "is damaged: "), (archive_of(a=b"\x93NUMPY\x09\x00" + WHOLE[8:]), "is damaged: "),
    (archive_of(a=WHOLE).replace(b"\0\0\x80?", b"\0\0\x90?", 1), "is damaged: Bad CRC-32 for file 'a.npy'")],
    ids=["cut archive", "cut array", "sizes", "more than fits", "open bracket", "text", "version", "flipped bit"])
def test_a_damaged_archive_is_refused_in_one_line(content, said, tmp_path):
    (tmp_path / "vit.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_sets(tmp_path / "vit.npz")
    assert "\n" not in str(caught.value)
