"""Whatever a file or an argument holds: a clean error or a sound value, nothing executed, no hang.

`FUZZ=100000 pytest tests/test_hostile_input.py` tries that many inputs in all; by default it is a tenth.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pickle
import random
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save
from synthetic import make_record, make_spec

from baselines import STUDY
from benchmark.cli.main import main
from benchmark.data import catalogue, embedded
from benchmark.data.embedded import DataError
from benchmark.model.weights import CheckpointError, read_weights
from benchmark.plan.names import parse_seeds
from benchmark.plan.overrides import parse_override
from benchmark.plan.study import find_matrix
from benchmark.records.pictures import read_pictures, write_pictures
from benchmark.records.record import RecordError, read_record, record_text
from benchmark.records.store import read_failure
from benchmark.train.checkpoint import load_checkpoint, save_checkpoint
from benchmark.transfer.published import read_sets
from tasks import TASKS

INPUTS = int(os.environ.get("FUZZ", "10000"))
SECONDS_EACH = 30.0  # of processor time; a thousandth of that is usual
INTERESTING = [b"", b"\x00", b"\xff", b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b'"', b"\\u0000", b"9" * 400,
               b"../../etc/passwd", b"!!python/object/apply:os.system", b"<script>",
               b"\n", b":", b",", b"=", b"true", b"0x", "\u202e".encode()]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A few edits: bytes flipped, parts cut, doubled, swapped or replaced by something interesting."""
    value = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4, 8])):
        here = chance.randrange(len(value) + 1)
        there = min(len(value), here + chance.choice([1, 1, 4, 16, 64]))
        match chance.randrange(6):
            case 0 if value:
                value[min(here, len(value) - 1)] = chance.randrange(256)
            case 1:
                del value[here:there]
            case 2:
                value[here:here] = value[here:there]
            case 3:
                value[here:there] = chance.choice(INTERESTING)
            case 4:
                value[here:here] = chance.choice(INTERESTING)
            case _:
                del value[chance.randrange(len(value) + 1):]
    return bytes(value)


def signed(payload: bytes) -> bytes:
    """A checkpoint with a digest that fits: what someone who means harm would write."""
    return payload + hashlib.sha256(payload).digest()


def checkpoint_bytes(folder: Path) -> bytes:
    save_checkpoint({"identity": "x", "epoch": 1, "model": {"w": torch.ones(4)}, "measurements": [{"a": 1.0}]}, folder / "c.pt")
    return (folder / "c.pt").read_bytes()


def picture_bytes(folder: Path) -> bytes:
    import numpy as np

    write_pictures(folder / "p.npz", {"input": np.zeros((1, 2, 2, 3), np.uint8)})
    return (folder / "p.npz").read_bytes()


RECORD = record_text(make_record(make_spec("imagenet", "m2pt", "audio", epochs=1))).encode()
FAILURE = json.dumps({"spec": make_spec().model_dump(mode="json"), "error": "x", "traceback": "y"}).encode()
MATRIX = yaml.safe_dump({"seeds": "0-2", "groups": [{"arms": ["finetune", "m2pt"], "settings": ["fix"], "targets": ["imagenet"],
                                                     "options": [{"scale_init": 0.1}], "set": ["recipe.lr=1e-3"]}]}).encode()


def read_matrix(path: Path) -> None:
    find_matrix(str(path), STUDY)


def read_override(path: Path) -> None:
    parse_override(path.read_bytes().decode("utf-8", "replace"), TASKS)


def read_seeds(path: Path) -> None:
    parse_seeds(path.read_bytes().decode("utf-8", "replace"))


def published_bytes(folder: Path) -> bytes:
    weights = {"blocks.0.attn.qkv.weight": torch.ones(2, 2), "cls_token": torch.zeros(1)}
    torch.save({"model": weights, "epoch": 3}, folder / "p.pth")
    return (folder / "p.pth").read_bytes()


def array_bytes(folder: Path) -> bytes:
    import numpy as np

    np.savez(folder / "a.npz", **{"params/Transformer/encoderblock/LayerNorm_0/scale": np.ones((2, 3), np.float32),
                                  "params/Transformer/encoderblock/Dense_0/kernel": np.zeros((2, 3, 4)).view("V2")})
    return (folder / "a.npz").read_bytes()


CATALOGUE = json.dumps({"name": "input", "root": "/data", "digest": "ab", "classes": ["a", "b"], "counts": {"train": 2},
                        "missing": {"train": ["c.jpg"]}, "unreadable": {}, "facts": {"mean": 1.5}}).encode()


MOMENTS = itertools.count(1)  # when each catalogue was written, as one that did not change is not read again


def read_catalogue(path: Path) -> object:
    os.utime(path, ns=(0, next(MOMENTS)))
    os.environ["M2PT_DATA"] = str(path.parent)
    try:
        return catalogue.read(path.stem)
    finally:
        del os.environ["M2PT_DATA"]


def read_list(path: Path) -> object:
    os.environ["M2PT_DATA"] = str(path.parent)
    try:
        found = catalogue.items(catalogue.Prepared("input", Path("/data"), "", [], {"train": 2}, {}, {}, {}), "train")
    finally:
        del os.environ["M2PT_DATA"]
    assert not any(item.path.startswith("/") or ".." in Path(item.path).parts for item in found)
    return found


WITHOUT_VALUE = ("matrix", "override", "seeds")
READERS: dict[str, tuple[Callable, Callable, type | tuple, str]] = {  # sample, reader, clean errors, suffix
    "record": (lambda folder: RECORD, read_record, RecordError, ".json"),
    "failure": (lambda folder: FAILURE, read_failure, (), ".json"),
    "matrix": (lambda folder: MATRIX, read_matrix, ValueError, ".yaml"),
    "override": (lambda folder: b"imagenet.recipe.augment.flip=0.5", read_override, ValueError, ".txt"),
    "seeds": (lambda folder: b"0-2,5,7-9", read_seeds, ValueError, ".txt"),
    "checkpoint": (checkpoint_bytes, load_checkpoint, (), ".pt"),
    "signed checkpoint": (lambda folder: checkpoint_bytes(folder)[:-32], load_checkpoint, (), ".pt"),
    "weights": (lambda folder: save({"a": torch.ones(3), "b": torch.zeros(2)}), read_weights, CheckpointError, ".safetensors"),
    "pictures": (picture_bytes, read_pictures, ValueError, ".npz"),
    "published checkpoint": (published_bytes, read_sets, CheckpointError, ".pth"),
    "published arrays": (array_bytes, read_sets, CheckpointError, ".npz"),
    "catalogue": (lambda folder: CATALOGUE, read_catalogue, DataError, ".json"),
    "list of files": (lambda folder: b"n1/a.jpg\t0\t120\tabcd\t7\nn1/b.jpg\t0,3\t120\tabcd\t7\n", read_list, DataError,
                      ".train.tsv"),
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_any_bytes_with_a_clean_error_or_none(name, tmp_path, capsys):
    sample, read, clean, suffix = READERS[name]
    original, chance = sample(tmp_path), random.Random(name)
    path = tmp_path / f"input{suffix}"
    refused, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(INPUTS // len(READERS) + 1):
        data = mutate(original, chance) if number else original
        path.write_bytes(signed(data) if name == "signed checkpoint" else data)
        began = time.process_time()
        try:
            value = read(path)
        except clean:
            refused += 1
        else:
            refused += value is None and name not in WITHOUT_VALUE
            assert number or value is not None or name in WITHOUT_VALUE
        assert time.process_time() - began < SECONDS_EACH, data[:200]
    capsys.readouterr()
    assert refused > INPUTS // len(READERS) // 10, "the inputs were hardly hostile"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1024 * 1024, f"{grown} kB"  # 1 GiB


# --- what is meant to do harm ----------------------------------------------------------------------------------------


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["pickle", "torch", "zip"])
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, capsys, how):
    mark = tmp_path / "executed"
    buffer = io.BytesIO()
    if how == "pickle":
        pickle.dump({"identity": "x", "model": Payload(mark)}, buffer)
    elif how == "torch":
        torch.save({"identity": "x", "model": Payload(mark)}, buffer)
    else:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Payload(mark)))
            archive.writestr("archive/version", "3\n")
            archive.writestr("../../outside", "x")
    (tmp_path / "checkpoint.pt").write_bytes(signed(buffer.getvalue()))
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None
    assert "cannot be read" in capsys.readouterr().out
    assert not mark.exists()
    assert not (tmp_path.parent.parent / "outside").exists()


def test_weights_that_would_run_code_are_refused(tmp_path):
    mark = tmp_path / "executed"
    torch.save({"a": Payload(mark)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_weights(tmp_path / "weights.safetensors")
    assert not mark.exists()


def test_a_data_set_that_would_run_code_is_refused(tmp_path, monkeypatch):
    import numpy as np

    mark = tmp_path / "executed"
    path = tmp_path / "image_emoji.npz"
    np.savez(path, x_train=np.array([Payload(mark)], dtype=object))
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    monkeypatch.setitem(embedded.DIGESTS, "image_emoji", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(embedded.DataError, match="cannot be read"):
        embedded.arrays_of("image_emoji")
    assert not mark.exists()


def test_a_data_set_with_any_damage_is_refused(tmp_path, monkeypatch):
    original = min(embedded.FOLDER.glob("*.npz"), key=lambda path: path.stat().st_size)
    content, chance = original.read_bytes(), random.Random(0)
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    for _ in range(20):
        (tmp_path / original.name).write_bytes(damaged := mutate(content, chance))
        if damaged != content:
            with pytest.raises(embedded.DataError, match="damaged"):
                embedded.arrays_of(original.stem)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['touch executed']", "groups: !!python/name:os.system",
                                  "groups: &a [*a]", "groups: [&a [x], " + ", ".join("*a" for _ in range(9)) + "]"])
def test_a_matrix_file_that_means_harm_is_refused(tmp_path, monkeypatch, capsys, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text(text)
    assert main(["run", "--matrix", "m.yaml", "--dry-run"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_names_from_a_record_reach_no_path_outside_the_report(tmp_path):
    spec = make_spec().model_copy(update={"task": "../../../outside", "variant": "../x", "profile": "/etc"})
    record = make_record(make_spec())
    folder = tmp_path / "results" / "runs" / "x"
    folder.mkdir(parents=True)
    text = record_text(record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    (folder / "record.json").write_text(text)
    assert main(["report", "--results", str(tmp_path / "results"), "--only", "matrix,selection,provenance"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"runs", "report"}


def test_every_preset_survives_its_own_file(tmp_path):
    for name, matrix in STUDY.matrices.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(matrix.model_dump(mode="json", exclude={"name"})))
        assert find_matrix(str(path), STUDY) == matrix
