"""Small trees in the layouts of the official data sets, of real files, and what their tests have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from benchmark.bench.imitations import make_clouds, make_hdf5, make_surface, write_video
from benchmark.cli.main import main
from benchmark.data.catalogue import Prepared, find
from benchmark.data.embedded import DataError
from benchmark.data.examples import Batch
from benchmark.data.files import Files
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import build_blocks
from benchmark.model.weights import read_weights, save_tensors
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.runner.machine import count_cores
from benchmark.spec.recipes import SETTINGS
from benchmark.train.setup import build_model
from tasks import TASKS
from tasks.partnet import CATEGORIES
from tasks.shapenet import PART_OFFSETS


def make_imagenet(root: Path, classes: int = 3, train: int = 12, val: int = 4, size: tuple[int, int] = (60, 48)) -> Path:
    """Pictures of one colour and noise for each class; the first is grey, the second a PNG."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(classes):
            folder = root / split / f"n{index:08d}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(random.normal(60 + 60 * index, 30, (*size[::-1], 3)), 0, 255).astype(np.uint8)
                picture = Image.fromarray(pixels)
                if number == 0:
                    picture = picture.convert("L")
                picture.save(folder / f"{split}_{number}.{'png' if number == 1 else 'JPEG'}")
    return root


def make_kinetics(root: Path, train: int = 12, val: int = 3) -> Path:
    """Videos of two classes, one of a folder with a space in its name; the first is short, the second portrait, the third WebM.

    Lists quote what has spaces, as pandas does; one path is absolute, and lines end as on Windows. Each clip has colours of
    its own: the encoder gives equal frames equal bytes now and then.
    """
    for split, count in (("train", train), ("val", val)):
        lines = []
        for number in range(count):
            path = f"{split}/{('abseiling', 'riding a bike')[number % 2]}/{number}.{'webm' if number == 2 else 'mp4'}"
            write_video(root / path, 10 if number == 0 else 70, (72, 96) if number == 1 else (96, 72),
                        "libvpx-vp9" if number == 2 else "libx264",
                        {"deadline": "realtime", "cpu-used": "8", "g": "24"} if number == 2 else None,
                        seed=2 * number + (split == "val"))
            text = f"{root}/{path}" if number == 4 else path
            lines.append(f'"{text}" 1' if " " in text else f"{text} 0")
        (root / f"{split}.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    return root


def make_audioset(root: Path, train: int = 16, evaluation: int = 5, classes: int = 527, seconds: float = 0.5) -> Path:
    """Noisy tones with one or two of three classes; some are stereo, some of 8 kHz, some FLAC, one path is absolute."""
    random = np.random.default_rng(0)
    (root / "audio files").mkdir(parents=True)
    rows = "".join(f'{index},/m/{index:04d},"Sound {index}, or so"\n' for index in range(classes))
    (root / "class_labels_indices.csv").write_text(f"index,mid,display_name\n{rows}")
    for split, count in (("train", train), ("eval", evaluation)):
        data = []
        for number in range(count):
            rate = 8000 if number % 4 == 3 else 16000
            times = np.arange(int(seconds * rate)) / rate
            sound = 0.3 * np.sin(2 * np.pi * 300 * (1 + number % 3) * times) + random.normal(0, 0.01, len(times))
            path = f"audio files/{split}_{number}.{'flac' if number % 3 == 1 else 'wav'}"
            soundfile.write(root / path, np.stack([sound, 0.5 * sound], 1) if number % 5 == 2 else sound, rate)
            labels = [f"/m/{number % 3:04d}"] + ["/m/0002"] * (number % 3 == 1)
            data.append({"wav": f"{root}/{path}" if number == 3 else path, "labels": ",".join(labels)})
        (root / f"{split}.json").write_text(json.dumps({"data": data}))
    return root


def make_modelnet_texts(root: Path, classes: tuple[str, ...] = ("airplane", "night_stand", "tv_stand"), train: int = 12,
                        test: int = 4, points: int = 1210) -> Path:
    """modelnet40_normal_resampled"""
    random = np.random.default_rng(0)
    root.mkdir(parents=True)
    (root / "modelnet40_shape_names.txt").write_text("\n".join(classes) + "\n")
    for split, first, count in (("train", 1, train), ("test", train + 1, test)):
        names = [f"{name}_{number:04d}" for name in classes for number in range(first, first + count)]
        (root / f"modelnet40_{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            folder = root / name.rpartition("_")[0]
            folder.mkdir(exist_ok=True)
            cloud = make_surface(random, classes.index(folder.name), points)
            np.savetxt(folder / f"{name}.txt", np.concatenate([cloud, cloud], 1), "%.6f", ",")
    return root


def make_modelnet_meshes(root: Path, classes: tuple[str, ...] = ("bowl", "cone"), train: int = 3, test: int = 2) -> Path:
    """Tetrahedra and pyramids as OFF files, some with the header and the counts in one word, one with a face of four corners"""
    random = np.random.default_rng(0)
    for label, name in enumerate(classes):
        for split, count in (("train", train), ("test", test)):
            (root / name / split).mkdir(parents=True)
            for number in range(count):
                vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 2 + label]])
                vertices *= random.uniform(10, 90)
                faces = ["4 0 1 2 3" if number == 0 else "3 0 1 2\n3 0 2 3", *(f"3 {i} {(i + 1) % 4} 4" for i in range(4))]
                lines = [" ".join(f"{value:.4f}" for value in vertex) for vertex in vertices]
                header = "OFF5" if number % 2 else "OFF\n5"
                text = "\n".join([f"{header} {5 if number == 0 else 6} 0", *lines, *faces])
                (root / name / split / f"{name}_{number + (train if split == 'test' else 0):04d}.off").write_text(text + "\n")
    return root


def make_scanobjectnn(root: Path, train: int = 10, test: int = 4) -> Path:
    """The three variants"""
    for seed, (folder, ending) in enumerate((("main_split", "objectdataset"), ("main_split_nobg", "objectdataset"),
                                             ("main_split", "objectdataset_augmentedrot_scale75"))):
        for split, count in (("training", train), ("test", test)):
            labels = np.arange(count) % 15
            make_hdf5(root / folder / f"{split}_{ending}.h5", make_clouds(labels, 2048, seed), label=labels)
    return root


def make_shapenetpart_hdf5(root: Path, shapes: int = 4) -> Path:
    """PointNet's files of ShapeNetPart: two of train, one each of val and test; the part is a matter of height"""
    for seed, (split, files) in enumerate((("train", 2), ("val", 1), ("test", 1))):
        for number in range(files):
            categories = (np.arange(shapes) * 5 + number) % 16
            clouds = make_clouds(categories, 2048, seed + 10 * number)
            first, end = np.array(PART_OFFSETS[50])[[categories, categories + 1]][:, :, None]
            parts = first + clouds[:, :, 1].argsort(1).argsort(1) * (end - first) // 2048
            make_hdf5(root / f"ply_data_{split}{number}.h5", clouds, label=categories.astype(np.uint8)[:, None],
                      pid=parts.astype(np.uint8))
        (root / f"{split}_hdf5_file_list.txt").write_text("".join(f"ply_data_{split}{number}.h5\n" for number in range(files)))
    return root


def make_partnet(root: Path, shapes: int = 1) -> Path:
    """Level 3 of PartNet's sem_seg_h5, and a first level; parts 0 to 3 lie one above the other"""
    for name in (*(f"{category}-3" for category in CATEGORIES), "Chair-1"):
        for seed, split in enumerate(("train", "val", "test")):
            clouds = make_clouds(np.arange(shapes), 10_000, seed)
            parts = np.clip((clouds[:, :, 1] - clouds[:, :, 1].min()) / np.ptp(clouds[:, :, 1]) * 4, 0, 3)
            make_hdf5(root / name / f"{split}-00.h5", clouds, label_seg=parts.astype(np.uint8))
            (root / name / f"{split}_files.txt").write_text(f"./{split}-00.h5\n")
    return root


def check_faults(prepared: Prepared, missing: Sequence[str], said: Sequence[tuple[str, str]], unreadable: int,
                 monkeypatch: pytest.MonkeyPatch) -> None:
    """That a data set is found to lack these files, so many others are named with what is `said` of them, and that nothing is
    found of it until missing files are allowed, as they are afterwards.
    """
    assert [path for paths in prepared.missing.values() for path in paths] == list(missing)
    lines = [line for lines in prepared.unreadable.values() for line in lines]
    for name, words in said:
        assert any(name in line and words in line for line in lines), (name, lines)
    assert len(lines) == unreadable
    with pytest.raises(DataError, match=r"% of train missing.*--allow-missing"):
        find(prepared.name)
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")


def check_reading(train: Files, batches: Sequence[Sequence[int]], varying: Sequence[str],
                  monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """That altered samples depend on seed, epoch and sample alone, not on workers. Returns the batches.

    The last batch is the beginning of the first; `varying` names the columns that another epoch changes.
    """
    def draw(indices):
        return SampleRandom(3, 1, indices)

    chosen = [torch.tensor(batch) for batch in batches]
    state = torch.get_rng_state()
    monkeypatch.setenv("M2PT_WORKERS", "0")
    alone = list(train.stream(chosen, draw=draw))
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setenv("M2PT_WORKERS", "2")
    for one, other in zip(alone, train.stream(chosen, draw=draw), strict=True):
        assert set(one) == set(other)
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(alone[0][name][: len(chosen[-1])], alone[-1][name]) for name in alone[0])
    again = next(train.stream(chosen, draw=lambda indices: SampleRandom(3, 2, indices)))
    assert not any(torch.equal(alone[0][name], again[name]) for name in varying)
    return alone


INSIDE = "blocks.0.attn.qkv.weight"
NARROW = {"shape.embed_dim": 192, "shape.num_heads": 3}  # where ViT-B's width is not the point: a tenth of the time


def run_paper(targets: Sequence[str], results: Path, changes: Mapping[str, Any],
              capsys: pytest.CaptureFixture[str], limit: int = 8, seed: int = 0) -> list[Record]:
    """Records of the paper's method for tasks of one modality, in every setting, by its recipes with `changes`.

    By the command line, on `limit` samples of each split. Two epochs, as the last step of some recipes is one of rate 0,
    and no warm-up; every setting but "scratch" starts from one pretraining of the official data, which is prepared. The
    auxiliary is one block from a file, as wide as the model: as ViT-B, unless `changes` say otherwise.
    """
    results.mkdir(parents=True)
    torch.manual_seed(1)
    width, heads = changes.get("shape.embed_dim", 768), changes.get("shape.num_heads", 12)
    auxiliary = {f"blocks.{name}": value for name, value in build_blocks(width, 1, heads, 4.0, True).state_dict().items()}
    save_tensors(auxiliary, results / "auxiliary.safetensors")
    other = "image" if TASKS[targets[0]].modality == "point" else "point"
    short = {"recipe.epochs": 2, "recipe.eval_every": 2, "recipe.warmup_epochs": 0, "pretrain.epochs": 1}
    small = [part for name, value in {**short, **changes}.items() for part in ("--set", f"{name}={value}")]
    at_once = str(count_cores())  # so that each has one thread: more would wait for each other on a busy machine
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("M2PT_WORKERS", "0")  # what processes read beside the run is tested above, and starting them takes long
        assert main(["run", "--matrix", "full", "-t", ",".join(targets), "--arm", "m2pt",
                     *(part for setting in SETTINGS for part in ("--setting", setting)), "-x", other,
                     "--start", f"{other}={results / 'auxiliary.safetensors'}", "--profile", "paper",
                     "--seeds", str(seed), "--limit", str(limit), "-j", at_once, "--results", str(results),
                     *small]) == 0, capsys.readouterr()
    store = Store(results)
    records, problems = store.records()
    assert not problems
    (pretraining,) = (record for record in records if record.spec.kind == "pretrain")
    found = [record for record in records if record.spec.kind == "train"]
    assert {(record.spec.task, record.spec.setting) for record in found} == set(product(targets, SETTINGS))
    pretrained = read_weights(store.weights(pretraining.spec))
    for record in found:
        task, setting = TASKS[record.spec.task], record.spec.setting
        assert record.spec.data == {name: find(name).digest for name in task.profiles["paper"].data_sets}
        assert {row.split for row in record.measurements} == {"train", "val", "test"}
        assert any(row.split == "train" and row.metric == "loss" and row.step > 0 for row in record.measurements)
        after = read_weights(store.weights(record.spec))
        before = build_model(record.spec, task).state_dict() | (pretrained if setting != "scratch" else {})
        assert {layer.scale != 0 for layer in record.layers} == {True}, "every pathway trains"
        assert record.merge_difference <= 1e-5
        assert not torch.equal(after[INSIDE], before[INSIDE])
        (scale,) = (layer.scale for layer in record.layers if f"{layer.name}.weight" == INSIDE)
        alone = torch.addcmul(before[INSIDE], torch.tensor(scale), auxiliary[INSIDE])
        assert torch.equal(after[INSIDE], alone) == (setting == "fix"), "frozen weights stay to the last bit, others move"
        head = {name.removeprefix("head."): value for name, value in before.items() if name.startswith("head.")}
        assert any(not torch.equal(after[name], value) for name, value in head.items())
    return found
