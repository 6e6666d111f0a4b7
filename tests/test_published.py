"""Files of weights as people have them: read for what they hold, never by their name; refused with the reason."""

from __future__ import annotations

import argparse
import datetime
import enum
import io
import json
import pickle
import struct
import tarfile
import time
import types
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from benchmark.cli.main import main
from benchmark.model.weights import CheckpointError
from benchmark.transfer.convert import convert_blocks
from benchmark.transfer.published import read_sets

NAMES = ("cls_token", "blocks.0.attn.proj.weight", "blocks.0.attn.proj.bias", "norm.weight")


def weights(value: float = 1.0) -> dict[str, Tensor]:
    return {name: torch.full((2, 2), value) for name in NAMES}


def holds(path: Path, name: str | None = None, value: float = 1.0) -> bool:
    """Whether the set that is taken is `weights(value)`."""
    sets = read_sets(path)
    found = sets.by_name[sets.choose(name)]
    return found.keys() == set(NAMES) and all(torch.equal(tensor, weights(value)[key]) for key, tensor in found.items())


class Mode(enum.Enum):
    FAST = 1


class Settings(dict):
    """As packages of configurations have it, with attributes beside its items."""


BESIDE = {
    "numpy scalar": np.float64(83.3), "numpy integer": np.int64(3), "numpy array": np.arange(6.0).reshape(2, 3),
    "numpy array of texts": np.array(["a", "bc"]), "state of numpy's random numbers": np.random.default_rng(0),
    "arguments": argparse.Namespace(output_dir=Path("out"), data=Path("/data"), norm=torch.nn.LayerNorm),
    "date": datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), "time": datetime.timedelta(seconds=3),
    "defaultdict": defaultdict(list, a=[1]), "enumeration": Mode.FAST, "subclass of dict": Settings(a=1),
    "namespace": types.SimpleNamespace(a=1), "set": {1, 2}, "bytes": b"abc", "module": torch.nn.Linear(2, 2),
    "parameter": torch.nn.Parameter(torch.ones(2)), "type": np.float32, "function": time.sleep, "device": torch.device("cpu"),
    "size": torch.Size((2, 3)), "Python's own random numbers": (3, (1, 2, 3), None), "path": Path("a")}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("beside", BESIDE)
def test_harmless_values_beside_weights_refuse_no_file(beside, zipped, protocol, tmp_path):
    torch.save({"args": BESIDE[beside], "model": weights(), "epoch": 3}, tmp_path / "file.pth",
               _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    assert holds(tmp_path / "file.pth")


@pytest.mark.parametrize("value", [np.float64(83.3), np.arange(3)], ids=["scalar", "array"])
def test_numpys_names_of_version_1_are_known(value, tmp_path):
    torch.save({"best": value, "model": weights()}, tmp_path / "new.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "new.pth").read_bytes()
    assert b"numpy._core.multiarray" in content
    (tmp_path / "old.pth").write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert holds(tmp_path / "old.pth")


class Call:
    """Unpickled in the usual way, it calls a function."""

    def __init__(self, function, *values):
        self.function, self.values = function, values

    def __reduce__(self):
        return self.function, self.values


def foreign(text: str) -> None:
    """A function of a module that is no part of Python; it must not be called either."""
    raise AssertionError(text)


@pytest.mark.parametrize(("call", "named"), [
    (Call(print, "hello"), "print"), (Call(time.time), "time.time"), (Call(Path.cwd), "getattr"),
    (Call(foreign, "called"), "test_published.foreign"), (Call(io.StringIO, "a"), "StringIO"),
    (Call(torch.nn.functional.relu, torch.ones(1)), "functional.relu")], ids=lambda value: value if type(value) is str else "")
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "among the weights"])
def test_a_call_is_refused_by_name_and_never_made(call, named, beside, tmp_path, capsys):
    model = weights()
    torch.save({"extra": call, "model": model} if beside else {"model": model | {"extra": call}}, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=rf"only tensors and plain values are read: it would call \S*{named}"):
        read_sets(tmp_path / "file.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("content", "taken"), [
    (weights(), ""), ({"model": weights()}, "model"), ({"state_dict": {"model": weights()}}, "state_dict.model"),
    ({f"module.{name}": tensor for name, tensor in weights().items()}, ""),
    ({f"_orig_mod.{name}": tensor for name, tensor in weights().items()}, ""),
    ({"model": {f"module._orig_mod.{name}": tensor for name, tensor in weights().items()}}, "model"),
    ({"model": {f"_orig_mod.module.{name}": tensor for name, tensor in weights().items()}}, "model"),
    ({name.replace("blocks.0.", "blocks.0._orig_mod."): tensor for name, tensor in weights().items()}, ""),
    ({"state_dict": {f"model.{name}": tensor for name, tensor in weights().items()} | {"loss.weight": torch.ones(1)}},
     "state_dict.model"),
    ({"teacher": {f"module.backbone.{name}": tensor for name, tensor in weights().items()} | {
        "module.head.mlp.weight": torch.ones(1)}}, "teacher.backbone"),
    (OrderedDict(weights() | {"epoch": 3}), "")],
    ids=["flat", "model", "two nests", "module", "compiled", "compiled, parallel", "parallel, compiled", "compiled blocks",
         "with a loss", "backbone with a head", "with a number"])
def test_what_wraps_names_is_taken_off(content, taken, tmp_path):
    torch.save(content, tmp_path / "file.pth")
    assert holds(tmp_path / "file.pth")
    assert list(read_sets(tmp_path / "file.pth").by_name) == [taken]


@pytest.mark.parametrize(("names", "taken", "other"), [
    (("model_ema", "model"), "model", "model_ema"), (("state_dict_ema", "state_dict"), "state_dict", "state_dict_ema"),
    (("student", "teacher"), "teacher", "student"), (("module", "model_ema"), "module", "model_ema")])
def test_of_several_sets_one_is_taken_and_any_can_be_chosen(names, taken, other, tmp_path):
    torch.save({name: weights(float(name == taken)) for name in names} | {
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, tmp_path / "file.pth")
    assert holds(tmp_path / "file.pth")
    assert list(read_sets(tmp_path / "file.pth").by_name) == [taken, other]
    assert holds(tmp_path / "file.pth", other, 0.0)
    with pytest.raises(CheckpointError, match=rf"no single set of weights 'x' .* has {taken}, {other}"):
        read_sets(tmp_path / "file.pth").choose("x")


def test_pupil_and_teacher_in_one_mapping_are_two_sets(tmp_path):
    torch.save({"state_dict": {f"{name}.{key}": tensor for name, value in (("student", 0.0), ("teacher", 1.0))
                               for key, tensor in weights(value).items()}}, tmp_path / "file.pth")
    assert holds(tmp_path / "file.pth")
    assert holds(tmp_path / "file.pth", "student", 0.0)


def test_a_file_is_known_by_its_bytes(tmp_path):
    save_file(weights(), tmp_path / "safetensors.pth")
    torch.save({"model": weights()}, tmp_path / "zip.safetensors")
    torch.save(weights(), tmp_path / "pickle.safetensors", _use_new_zipfile_serialization=False)
    torch.save(weights(), tmp_path / "checkpoint.pth.tar")
    for path in tmp_path.iterdir():
        assert holds(path), path.name


def test_archives_of_the_first_releases_of_torch_are_read(tmp_path):
    """A tar of storages, of the tensors that lie in them, and of a pickle that names these."""
    storages, tensors, names = io.BytesIO(), io.BytesIO(), io.BytesIO()
    for number in (len(NAMES),):
        pickle.dump(number, storages, 2)
        pickle.dump(number, tensors, 2)
    for index, tensor in enumerate(weights().values()):
        pickle.dump((index, "cpu", torch.FloatStorage), storages, 2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
        pickle.dump((100 + index, index, torch.FloatTensor), tensors, 2)
        tensors.write(struct.pack("<ii2q2qq", 2, 0, 2, 2, 2, 1, 0))
    pickle.dump([], storages, 2)

    class Naming(pickle.Pickler):
        def persistent_id(self, value):
            return value[1] if isinstance(value, tuple) and value[0] == "tensor" else None

    Naming(names, 2).dump({"model": {name: ("tensor", 100 + index) for index, name in enumerate(NAMES)}})
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        for name, content in (("sys_info", b""), ("storages", storages.getvalue()), ("tensors", tensors.getvalue()),
                              ("pickle", names.getvalue())):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    assert holds(tmp_path / "old.pth")


def saved_as(state: object, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


def saved(**options) -> bytes:
    return saved_as({"model": weights()}, **options)


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(("content", "said"), [
    (b"", "is empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 343249461\n",
     "is a Git LFS pointer to 343,249,461 bytes and not the file itself; fetch that with: git lfs pull"),
    (b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title>", "is an HTML page"),
    (b'{"error": "Entry not found"}', "is a text file, which begins with '{\"error\": \"Entry not found\"}'"),
    ("\ufeffAccess denied: größe\r\n".encode(), "is a text file, which begins with 'Access denied: größe'"),
    (saved()[:-100], "is cut short or damaged"), (saved()[:300], "is cut short or damaged"),
    (saved(_use_new_zipfile_serialization=False)[:60], "is cut short"),
    (save(weights())[:-3], "is cut short: "), (save(weights())[:40], "is cut short: it ends after 40 bytes"),
    (zipped("archive/constants.pkl"), "is TorchScript without its module"),
    (zipped("model/weights.bin"), "is a zip archive that torch.save did not write (with model/weights.bin)"),
    (zipped("Transformer/encoderblock_0/kernel.npy"), "is damaged: "),
    (b"\x82\xa6params\x81\xa3foo\xc7\x10\x01" + b"\0" * 16, "it is of no known format. Known are files of torch.save"),
    (saved_as({name: tensor.numpy() for name, tensor in weights().items()}), "arrays of NumPy"),
    (b"\x1f\x8b\x08\x00" + b"\0" * 20, "is compressed by gzip"), (b"\x89HDF\r\n\x1a\n" + b"\0" * 20, "is HDF5"),
    (pickle.dumps({"model": 1}), "it is a pickle that torch.save did not write")],
    ids=["empty", "LFS pointer", "HTML", "JSON", "text", "cut zip", "cut at once", "cut pickle", "cut safetensors",
         "cut header", "TorchScript", "other zip", "npz", "msgpack", "NumPy", "gzip", "HDF5", "plain pickle"])
def test_what_is_no_whole_checkpoint_is_named_in_one_line(content, said, tmp_path, capsys):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    assert main(["convert", str(file), "imagenet", "--out", str(tmp_path / "ours.safetensors")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "\x1b" not in line
    assert "weights_only" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class ClipBlock(nn.Module):
    """As OpenAI's CLIP names its parts"""

    def __init__(self, width: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, 2)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(OrderedDict(c_fc=nn.Linear(width, 2 * width), gelu=QuickGelu(),
                                             c_proj=nn.Linear(2 * width, width)))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed)[0]
        return x + self.mlp(self.ln_2(x))


class ClipTower(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 2, 2, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(ClipBlock(width), ClipBlock(width))

    def forward(self, image: Tensor) -> Tensor:
        patches = self.conv1(image).flatten(2).permute(2, 0, 1)
        return self.transformer.resblocks(torch.cat([self.class_embedding.expand(1, len(image), -1), patches]))


class Clip(nn.Module):
    """Two towers as OpenAI's archives have them, with a buffer that is no weight beside"""

    def __init__(self) -> None:
        super().__init__()
        self.visual = ClipTower(8)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(ClipBlock(4))
        self.token_embedding = nn.Embedding(5, 4)
        self.register_buffer("input_resolution", torch.tensor(4))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        return self.visual(image).sum() + self.transformer.resblocks(self.token_embedding(text)).sum() + self.input_resolution


def archived(path: Path, code: bool = True) -> Clip:
    """Writes a traced model in half precision, as OpenAI publishes CLIP; `code`: as it is, or else unreadable."""
    torch.manual_seed(0)
    model = Clip()
    with warnings.catch_warnings(action="ignore"):  # of torch, that TorchScript will go
        traced = torch.jit.trace(model, (torch.randn(1, 3, 4, 4), torch.tensor([[0], [1]])))
        torch.jit.save(traced.half(), path)
    if not code:
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, b"raise SystemExit(" if "/code/" in name else data)
    return model.half()


@pytest.mark.parametrize("code", [True, False], ids=["as it was saved", "with code that nothing could read"])
def test_torchscript_gives_what_its_state_dict_does(code, tmp_path):
    model = archived(tmp_path / "clip.pt", code)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    assert {name: weights.keys() for name, weights in read_sets(tmp_path / "clip.pt").by_name.items()} == {
        name: weights.keys() for name, weights in read_sets(tmp_path / "state.pt").by_name.items()}
    for name, width, depth in (("visual", 8, 2), ("", 4, 1)):
        ours, theirs = (convert_blocks(tmp_path / file, num_heads=2, weights=name) for file in ("clip.pt", "state.pt"))
        assert (ours.blocks.embed_dim, ours.blocks.depth) == (width, depth)
        assert ours.tensors.keys() == theirs.tensors.keys()
        assert all(torch.equal(tensor, theirs.tensors[key]) for key, tensor in ours.tensors.items())
    assert torch.equal(ours.tensors["blocks.0.attn.proj.weight"],
                       model.transformer.resblocks[0].attn.out_proj.weight.float())


def test_torchscript_that_is_frozen_has_no_weights_by_name(tmp_path):
    with warnings.catch_warnings(action="ignore"):
        torch.jit.freeze(torch.jit.script(nn.Linear(2, 2).eval())).save(tmp_path / "frozen.pt")
    with pytest.raises(CheckpointError, match="before it was frozen"):
        read_sets(tmp_path / "frozen.pt")


def test_a_call_in_a_module_of_torchscript_is_refused_by_name(tmp_path):
    archived(tmp_path / "clip.pt")
    with zipfile.ZipFile(tmp_path / "clip.pt") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, b"cposix\nsystem\n(S'touch gone'\ntR." if name.endswith("/data.pkl") else data)
    with pytest.raises(CheckpointError, match=r"it would call posix\.system"):
        read_sets(tmp_path / "evil.pt")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_weights_in_parts_are_read_by_their_index(suffix, tmp_path):
    names = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
    places = {name: f"{names}-{1 + index % 2:05}-of-00002.{suffix}" for index, name in enumerate(NAMES)}
    for part in set(places.values()):
        held = {name: weights()[name] for name in NAMES if places[name] == part}
        save_file(held, tmp_path / part) if suffix == "safetensors" else torch.save(held, tmp_path / part)
    index = tmp_path / f"{names}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 64}, "weight_map": places}))
    assert holds(index)
    with pytest.raises(CheckpointError, match=r"is a folder; name the file of weights in it, or .* the index"):
        read_sets(tmp_path)
    torch.save({"other": torch.ones(1)}, tmp_path / places[NAMES[0]])
    with pytest.raises(CheckpointError, match=f"does not hold {NAMES[0]}"):
        read_sets(index)
    (tmp_path / places[NAMES[1]]).unlink()
    with pytest.raises(CheckpointError, match=r"1 of 2 parts that .* names are not beside it"):
        read_sets(index)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="has no weight_map"):
        read_sets(index)


LORA = {f"base_model.model.vit.layers.0.attention.q_proj.lora_{part}.weight": torch.ones(2, 2) for part in "AB"}


@pytest.mark.parametrize("state", [
    LORA, {f"{name.removeprefix('base_model.model.')}": tensor for name, tensor in LORA.items()},
    LORA | {"base_model.model.classifier.weight": torch.ones(2, 2)},
    {"base_model.model.vit.layers.0.mlp.fc1.ia3_l": torch.ones(2, 1)}, {"lora_unet_mid_block.lora_down.weight": torch.ones(2)}],
    ids=["PEFT's", "of other names", "with a layer that is trained whole", "IA3", "of a picture model"])
@pytest.mark.parametrize("base", ["google/vit-base-patch16-224", None])
def test_an_adapter_is_refused_with_how_to_merge_it(state, base, tmp_path, capsys):
    save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 2}))
    command = ["convert", str(tmp_path / "adapter_model.safetensors"), "imagenet", "--out", str(tmp_path / "x.safetensors")]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is an adapter, as PEFT writes them, which changes the weights of a model and is none. " in line
    assert f"Merge it into its base model{f', {base},' if base else ''} and convert what that saves: PeftModel.from_p" in line
    (tmp_path / "adapter_config.json").write_text("no JSON")
    assert main(command) == 2
    assert "Merge it into its base model and convert" in capsys.readouterr().err


def test_a_pickled_model_is_told_from_weights(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"holds no weights by name, but a whole pickled object.*state_dict\(\)"):
        read_sets(tmp_path / "model.pth")
