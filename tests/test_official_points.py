"""Official point sets: found, looked at, put in order, kept, trained on."""

from __future__ import annotations

import io
import itertools
import json
import pickle
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
import torch
from official import (
    NARROW,
    make_modelnet_meshes,
    make_modelnet_texts,
    make_partnet,
    make_scanobjectnn,
    make_shapenetpart_hdf5,
    run_paper,
)

from baselines import ARMS, STUDY
from benchmark.bench.imitations import (
    PARTS,
    SYNSETS,
    make_clouds,
    make_hdf5,
    make_modelnet_hdf5,
    make_shapenet55,
    make_shapenetpart,
    make_surface,
)
from benchmark.check.data import check_task
from benchmark.cli.main import main
from benchmark.data.catalogue import find, prepare
from benchmark.data.embedded import DataError
from benchmark.data.examples import Examples
from benchmark.data.seeds import SampleRandom
from benchmark.evidence.sections import conditions_of
from benchmark.model.points import farthest_point_sample, prepare_points
from benchmark.plan.matrix import Cell, Planner
from benchmark.plan.overrides import parse_override
from benchmark.plan.variants import overrides_of
from benchmark.spec.recipes import SPLITS
from benchmark.spec.runspec import recipe_under
from tasks import TASKS, points_official
from tasks.fewshot import TASKS as FEW_SHOT
from tasks.fewshot.folds import few_shot
from tasks.meshes import sample_surface
from tasks.modelnet import official as modelnet
from tasks.partnet import OFFSETS
from tasks.partnet import official as partnet
from tasks.partnet.model import FinePartMeter
from tasks.scanobjectnn import official as scans
from tasks.shapenet import PART_OFFSETS
from tasks.shapenet import TASK as SHAPENET
from tasks.shapenet import official as shapenet

LAYOUTS = {layout.name: layout for layout in (*modelnet.LAYOUTS, *partnet.LAYOUTS, *scans.LAYOUTS, *shapenet.LAYOUTS)}
MODELNET = LAYOUTS["ModelNet40"]
MAKERS = {"texts": make_modelnet_texts, "meshes": make_modelnet_meshes, "hdf5": make_modelnet_hdf5}


@pytest.fixture(autouse=True)
def catalogue(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    return tmp_path / "catalogue"


def lost(prepared) -> str:
    return "\n".join(line for lines in (prepared.missing, prepared.unreadable) for found in lines.values() for line in found)


@pytest.mark.parametrize("layout", MAKERS)
def test_each_layout_of_modelnet_becomes_normalised_clouds_in_farthest_point_order(layout, tmp_path):
    prepared = prepare(MODELNET, MAKERS[layout](tmp_path / layout))
    assert lost(prepared) == ""
    splits = modelnet.load([MODELNET.name])
    counts = {split: len(splits[split]) for split in SPLITS}
    assert counts == prepared.facts["clouds"]
    assert counts["val"] >= 1
    assert sum(counts.values()) == {"texts": 48, "meshes": 10, "hdf5": 22}[layout]
    assert counts["test"] == {"texts": 12, "meshes": 4, "hdf5": 6}[layout]
    for split in splits.values():
        points = split.columns["input"]
        assert points.shape[1:] == (1200, 3)
        assert points.dtype == torch.float32
        assert points.norm(dim=2).max() <= 1 + 1e-6
        assert torch.equal(farthest_point_sample(points, 300), torch.arange(300).expand(len(points), -1))
        assert split.columns["label"].dtype == torch.int64
    assert set(splits["test"].columns["label"].tolist()) == set(range(len(prepared.classes)))


def test_the_first_points_are_those_that_point_mae_would_choose(tmp_path):
    """Of the text's points, normalised; and of the farthest 8192 the farthest 1200 are the farthest 1200 of all."""
    root = make_modelnet_texts(tmp_path / "texts")
    prepare(MODELNET, root)
    item = points_official.listed(find(MODELNET.name))["test"][2]
    points = np.loadtxt(root / item.path, delimiter=",")[:, :3]
    points -= points.mean(0)
    points = torch.tensor(points / np.linalg.norm(points, axis=1).max(), dtype=torch.float32)[None]
    chosen = points[:, farthest_point_sample(points, 1200)[0]]
    torch.testing.assert_close(modelnet.load([MODELNET.name])["test"].columns["input"][2], chosen[0], rtol=0, atol=1e-6)
    prefix = points[:, farthest_point_sample(points, 600)[0]]
    assert torch.equal(prefix[:, farthest_point_sample(prefix, 100)[0]], chosen[:, :100])


def test_the_recipe_trains_on_1024_of_the_farthest_1200_and_tests_on_the_farthest_1024(tmp_path):
    from tasks.modelnet import TASK

    prepare(MODELNET, make_modelnet_hdf5(tmp_path / "root"))
    spec, splits = TASK.profiles["paper"], modelnet.load([MODELNET.name])
    batch = splits["train"].batch(torch.arange(4))
    strengths = {name: value for name, value in spec.train["pretrained"].augment.items() if name in {"pool", "points"}}
    seen = TASK.augment(batch, SampleRandom(0, 0, batch["index"]), strengths)["input"]
    assert seen.shape == (4, 1024, 3)
    assert len({tuple(point) for point in torch.cat([seen[0], batch["input"][0]]).tolist()}) == 1200
    assert spec.shape.input_size == (1024,)
    assert TASK.augment(splits["test"].batch(torch.arange(2)), None, {})["input"].shape[1] == 1200


def test_meshes_are_sampled_uniformly_the_same_each_time_and_stand_on_y(tmp_path, catalogue):
    root = make_modelnet_meshes(tmp_path / "meshes")
    prepare(MODELNET, root)
    first = modelnet.load([MODELNET.name])["test"].columns["input"]
    (cache,) = catalogue.glob("*.npz")
    cache.unlink()
    assert torch.equal(first, modelnet.load([MODELNET.name])["test"].columns["input"])
    extent = first.amax(1) - first.amin(1)
    assert (extent.argmax(1) == 1).all()  # the pyramids are twice as high as wide
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    points = sample_surface(square, np.array([[0, 1, 2], [0, 2, 3]]), 4000, 1, root)
    assert np.histogram2d(points[:, 0], points[:, 1], 4, [[0, 1], [0, 1]])[0].std() < 40


def test_faults_of_text_files_are_named_and_nothing_is_trained_on_until_told(tmp_path, monkeypatch):
    root = make_modelnet_texts(tmp_path / "texts")
    good = (root / "airplane/airplane_0001.txt").read_text()
    lines = good.splitlines()
    for number, text in {1: "", 2: good.replace("\n", ",1\n"), 3: "\n".join(lines[:1000]), 4: good[:-3] + "x,1\n",
                         10: "\n".join(["nan" + lines[0][lines[0].index(","):], *lines[1:]]), 6: "0,0,0,0,0,1\n" * 1210,
                         7: good[: len(good) // 2], 8: "# a comment\n" + good}.items():
        (root / f"airplane/airplane_{number:04d}.txt").write_text(text)
    (root / "night_stand/night_stand_0001.txt").unlink()
    (root / "somewhere").mkdir()
    (root / "somewhere/somewhere_0001.txt").write_text(good)
    with (root / "modelnet40_train.txt").open("a") as file:
        file.write("../../etc/passwd\nairplane/../../x_1\nsomewhere_0001\ntv_stand_0001\n/etc/passwd_1\n")
    prepared = prepare(MODELNET, root)
    said = lost(prepared)
    for number, why in {1: "is empty", 2: "7 columns instead of 6", 3: "1000 points", 4: "no table", 10: "no finite numbers",
                        6: "all coincide", 7: "no table|points", 8: "no table"}.items():
        (line,) = [line for line in said.splitlines() if line.startswith(f"airplane/airplane_{number:04d}")]
        assert any(part in line for part in why.split("|")), line
    assert "night_stand/night_stand_0001.txt" in said
    assert said.count("leads out of the data folder") == 3
    assert "its class is not in" in said
    assert [note for note in prepared.notes if "lines that repeat another, passed over: 1 (tv_stand/tv_stand_0001.txt)" in note]
    with pytest.raises(DataError, match="--allow-missing"):
        modelnet.load([MODELNET.name])
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    splits = modelnet.load([MODELNET.name])
    assert "% of train missing" in splits["train"].note
    assert len(splits["train"]) + len(splits["val"]) == 36 - 9


def test_lists_that_cannot_be_used_end_in_one_line(tmp_path):
    root = make_modelnet_texts(tmp_path / "texts")
    train = (root / "modelnet40_train.txt").read_text()
    for name, text, said in (("modelnet40_test.txt", train.splitlines()[0], "in the lists of"),
                             ("modelnet40_test.txt", "", "is empty"),
                             ("modelnet40_shape_names.txt", "a\na\n", "1 of them different"),
                             ("modelnet40_shape_names.txt", "\n".join(map(str, range(41))), "40 at most")):
        before = (root / name).read_text()
        (root / name).write_text(text)
        with pytest.raises(DataError, match=said):
            prepare(MODELNET, root)
        (root / name).write_text(before)
    (root / "modelnet40_train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        prepare(MODELNET, root)
    with pytest.raises(DataError, match="is no ModelNet40"):
        prepare(MODELNET, tmp_path)


def test_pickles_are_refused_and_never_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'exploded')!r}, 'w')",))

    for root, name, said in ((tmp_path / "a", "modelnet40_train_8192pts_fps.dat", "modelnet40_normal_resampled.zip"),
                             (tmp_path / "b", "5way_10shot/0.pkl", "fewshot")):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(DataError, match=rf"is a pickle.*{said}"):
            prepare(MODELNET, root)
    lists = make_modelnet_texts(tmp_path / "texts")
    for name in ("airplane", "night_stand", "tv_stand"):
        (lists / name).rename(tmp_path / name)
    (tmp_path / "a/modelnet40_train_8192pts_fps.dat").rename(lists / "modelnet40_train_8192pts_fps.dat")
    with pytest.raises(DataError, match="is a pickle"):  # as Point-BERT distributes it: lists and pickles
        prepare(MODELNET, lists)
    path = tmp_path / "x.npy"
    np.save(path, np.array([Bomb()]), allow_pickle=True)
    with pytest.raises(DataError, match=r"x\.npy"):
        shapenet.look_pool(path)
    assert not (tmp_path / "exploded").exists()


def test_an_array_with_any_bit_of_its_header_flipped_is_read_or_named(tmp_path):
    array, content = np.arange(12, dtype=np.float32).reshape(4, 3), io.BytesIO()
    np.save(content, array)
    read = 0
    for place in range(content.tell() - array.nbytes):
        for bit in range(8):
            damaged = bytearray(content.getvalue())
            damaged[place] ^= 1 << bit
            with suppress(DataError):
                assert points_official.parse_array(bytes(damaged), Path("x.npy"), (4, 3)).shape == (4, 3)
                read += 1
    assert 0 < read < 100, "few bits of a header mean nothing"


@pytest.mark.parametrize("lists", [True, False])
def test_hdf5_files_are_found_with_and_without_lists_and_their_faults_named(lists, tmp_path):
    root = make_modelnet_hdf5(tmp_path / "root", lists=lists)
    prepared = prepare(MODELNET, root)
    assert prepared.counts == {"train": 2, "val": 0, "test": 1}
    labels = np.arange(4)[:, None] % 3
    clouds = make_clouds(labels[:, 0], 2048)
    first = root / "ply_data_train0.h5"
    broken = clouds.copy()
    broken[1, 5, 2] = np.inf
    for data, columns, said in ((clouds, {"label": labels + 38}, "expected 0 to 39"),
                                (clouds, {"label": labels - 1}, "from -1"), (broken, {"label": labels}, "1 values"),
                                (clouds[:, :2000], {"label": labels}, "2000, 3"),
                                (clouds, {"label": labels[:3]}, "'label' has shape"), (clouds, {}, "no data set 'label'"),
                                (clouds, {"label": labels.astype(float)}, "integers"),
                                (clouds[:0], {"label": labels[:0]}, "0, 2048"),
                                (clouds * 0, {"label": labels}, "train0.h5#0 has 2048 points that all coincide")):
        first.unlink()
        make_hdf5(first, data, **columns)
        (line,) = lost(prepare(MODELNET, root)).splitlines()
        assert line.startswith("ply_data_train0.h5: ")
        assert said in line
    first.write_bytes(first.read_bytes()[:3000])
    assert "ply_data_train0.h5" in lost(prepare(MODELNET, root))
    first.write_bytes(b"")
    assert "ply_data_train0.h5" in lost(prepare(MODELNET, root))
    if lists:
        (root / "train_files.txt").write_text("../../etc/passwd\nply_data_train1.h5\nply_data_train7.h5\n")
        said = lost(prepare(MODELNET, root))
        assert "'../../etc/passwd' leads out" in said
        assert "ply_data_train7.h5" in said


def test_hdf5_data_of_other_files_are_refused(tmp_path):
    labels = np.arange(4)
    real = make_hdf5(tmp_path / "real.h5", make_clouds(labels, 2048), label=labels)
    for name in ("soft", "external", "virtual", "raw"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["label"] = labels
            if name == "external":
                file["data"] = h5py.ExternalLink(str(real), "data")
            elif name == "soft":
                file["data"] = h5py.SoftLink("/label")
            elif name == "raw":
                file.create_dataset("data", (4, 2048, 3), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
            else:
                layout = h5py.VirtualLayout((4, 2048, 3), "f4")
                layout[:] = h5py.VirtualSource(str(real), "data", (4, 2048, 3))
                file.create_virtual_dataset("data", layout)
        with pytest.raises(DataError, match=rf"{name}\.h5.*(of its own|in another file)"):
            modelnet.look_modelnet(tmp_path / f"{name}.h5")


def test_clouds_are_ordered_once_and_a_damaged_cache_is_made_again(tmp_path, catalogue, monkeypatch):
    root = make_modelnet_hdf5(tmp_path / "root", train=4, test=2)
    prepared = prepare(MODELNET, root)
    (cache,) = catalogue.glob("ModelNet40.*.npz")
    assert prepared.digest[:16] in cache.name
    good = modelnet.load([MODELNET.name])["test"].columns["input"]
    whole = cache.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(modelnet, "_make_clouds", lambda prepared: pytest.fail("made again"))
        assert torch.equal(modelnet.load([MODELNET.name])["test"].columns["input"], good)
    for damage in (b"", whole[: len(whole) // 2], whole[:1000] + b"\0" * 100 + whole[1100:], pickle.dumps([1]), b"PK\3\4 no"):
        cache.write_bytes(damage)
        assert torch.equal(modelnet.load([MODELNET.name])["test"].columns["input"], good)
        assert cache.read_bytes() == whole
    assert [path for path in catalogue.iterdir() if path.name.startswith(".")] == []
    cache.unlink()
    (root / "ply_data_test0.h5").write_bytes((root / "ply_data_train0.h5").read_bytes())
    with pytest.raises(DataError, match=r"ply_data_test0\.h5 has changed since it was prepared"):
        modelnet.load([MODELNET.name])
    assert prepare(MODELNET, root).digest != prepared.digest
    assert len(list(catalogue.glob("*.npz"))) == 1


def test_workers_change_nothing(tmp_path, catalogue, monkeypatch):
    monkeypatch.setattr(points_official, "FEW", 2)
    root = make_modelnet_hdf5(tmp_path / "root")
    prepared = prepare(MODELNET, root, jobs=2)
    found = []
    for workers in ("0", "2"):
        monkeypatch.setenv("M2PT_WORKERS", workers)
        next(catalogue.glob("*.npz")).unlink()
        found.append(modelnet.clouds_of(prepared))
    for name, array in found[0].items():
        assert np.array_equal(array, found[1][name])


def test_scanobjectnn_has_three_variants_that_stay_as_they_are(tmp_path):
    root = make_scanobjectnn(tmp_path / "h5_files")
    seen = []
    for seed, name in enumerate(scans.SCANS):
        prepared = prepare(LAYOUTS[name], root)
        splits = scans.load([name])
        assert {split: len(examples) for split, examples in splits.items()} == prepared.facts["clouds"]
        assert len(splits["train"]) + len(splits["val"]) == 10
        points = splits["test"].columns["input"]
        stored = make_clouds(np.arange(4), 2048, seed).astype(np.float32)
        assert np.array_equal(np.sort(points.numpy().reshape(4, -1)), np.sort(stored.reshape(4, -1)))
        assert len(prepared.classes) == 15
        assert bool(splits["val"].note) == (name == "ScanObjectNN-PB_T50_RS")
        seen.append(prepared.digest)
    assert len(set(seen)) == 3
    (root / "main_split_nobg/test_objectdataset.h5").unlink()
    with pytest.raises(DataError, match="0 test files"):
        prepare(LAYOUTS["ScanObjectNN-OBJ_ONLY"], root)


def test_few_shot_folds_are_disjoint_balanced_and_the_same_each_time():
    labels = {"train": torch.arange(12).repeat_interleave(45), "val": torch.zeros(1, dtype=torch.int64),
              "test": torch.arange(12).repeat_interleave(20)}
    splits = {split: Examples({"input": torch.arange(len(label)) + 1000 * (split == "test"), "label": label})
              for split, label in labels.items()}
    seen = set()
    for way, shot in ((5, 10), (5, 20), (10, 10), (10, 20)):
        for fold in range(10):
            parts = few_shot(splits, way, shot, fold)
            again = few_shot(splits, way, shot, fold)
            assert all(torch.equal(parts[split].columns["input"], again[split].columns["input"]) for split in SPLITS)
            assert torch.equal(parts["train"].columns["label"].bincount(), torch.full((way,), shot))
            for split in ("val", "test"):
                assert torch.equal(parts[split].columns["label"].bincount(), torch.full((way,), 20))
            inputs = torch.cat([parts[split].columns["input"] for split in SPLITS])
            assert len(inputs.unique()) == way * (shot + 40)
            classes = [labels["train"][parts["train"].columns["input"]], labels["test"][parts["test"].columns["input"] - 1000]]
            for value in range(way):  # one class of ModelNet40 behind each new number, in every split
                assert len({int(old) for split, old_ in zip(("train", "test"), classes, strict=True)
                            for old in old_[parts[split].columns["label"] == value]}) == 1
            seen.add(tuple(inputs.tolist()))
    assert len(seen) == 40
    with pytest.raises(DataError, match="a fold needs 60"):
        few_shot(splits, 5, 40, 0)
    with pytest.raises(DataError, match="cannot choose 13"):
        few_shot(splits, 13, 10, 0)


def test_categories_are_in_the_order_of_their_parts():
    """The data set's own table of parts, in its alphabetical order of categories"""
    parts = {"Earphone": (16, 17, 18), "Motorbike": (30, 31, 32, 33, 34, 35), "Rocket": (41, 42, 43), "Car": (8, 9, 10, 11),
             "Laptop": (28, 29), "Cap": (6, 7), "Skateboard": (44, 45, 46), "Mug": (36, 37), "Guitar": (19, 20, 21),
             "Bag": (4, 5), "Lamp": (24, 25, 26, 27), "Table": (47, 48, 49), "Airplane": (0, 1, 2, 3), "Pistol": (38, 39, 40),
             "Chair": (12, 13, 14, 15), "Knife": (22, 23)}
    offsets = PART_OFFSETS[50]
    assert list(shapenet.CATEGORIES) == sorted(parts)
    for category, name in enumerate(shapenet.CATEGORIES):
        assert tuple(range(*offsets[category : category + 2])) == parts[name]


def test_shapes_with_parts_are_read_normalised_and_drawn_with_replacement(tmp_path):
    root = make_shapenetpart(tmp_path / "parts")
    synsets = root / "synsetoffset2category.txt"
    synsets.write_text("".join(reversed(synsets.read_text().splitlines(keepends=True))))  # names count, not lines
    prepared = prepare(LAYOUTS["ShapeNetPart"], root)
    assert prepared.counts == {"train": 24, "val": 6, "test": 6}
    splits = shapenet.load(["ShapeNetPart", "ShapeNet-55"])
    assert "paper trains on" in splits["train"].note
    for split, examples in splits.items():
        points, label, category = (examples.columns[name] for name in ("input", "label", "category"))
        assert points.shape[1:] == (2048, 3)
        assert label.dtype == category.dtype == torch.int64
        first, end = (torch.tensor(PART_OFFSETS[50])[category + step][:, None] for step in (0, 1))
        assert ((label >= first) & (label < end)).all()
        assert {shapenet.CATEGORIES[value] for value in category.tolist()} == set(PARTS)
        items = points_official.listed(find("ShapeNetPart"))[split]
        table = np.loadtxt(root / items[0].path)
        centred = table[:, :3] - table[:, :3].mean(0)
        radius = np.linalg.norm(centred, axis=1).max()
        stored = {tuple(np.float32(point / radius).round(4)): part for point, part in zip(centred, table[:, 6], strict=True)}
        drawn = [tuple(point) for point in points[0].numpy().round(4)]
        assert all(stored[point] == part for point, part in zip(drawn, label[0].tolist(), strict=True))
        assert len(set(drawn)) < len(stored)  # with replacement, some of the 700 are left out
    again = shapenet.make_shapes(prepared)
    assert np.array_equal(again["input_test"], splits["test"].columns["input"].numpy())
    chance = prepared.facts["most frequent part, instance mIoU"]
    assert 0 < chance < 100


def test_faults_of_shapes_with_parts_are_named(tmp_path):
    root = make_shapenetpart(tmp_path / "parts")
    mug = sorted((root / SYNSETS["Mug"]).glob("train*.txt"))
    good = mug[0].read_text().splitlines()
    before = [line.rpartition(" ")[0] for line in good]
    rest = "\n".join(good[1:])
    for path, text in zip(mug, ("", f"{before[0]} 38\n{rest}", f"{before[0]} 0.5\n{rest}", "\n".join(before),
                                f"nan 0 0 0 0 0 36\n{rest}"), strict=False):
        path.write_text(text)
    lists = root / "train_test_split" / "shuffled_train_file_list.json"
    names = json.loads(lists.read_text())
    (root / "09999999").mkdir()
    (root / "09999999/a.txt").write_text("\n".join(good))
    lists.write_text(json.dumps([*names, "../../etc/passwd", "shape_data/../../etc/shadow", "shape_data/09999999/a",
                                 "shape_data/02691156/gone"]))
    said = lost(prepare(LAYOUTS["ShapeNetPart"], root))
    for why in ("is empty", "parts from 36 to 38; those of Mug are 36 to 37", "parts from 0.5", "6 columns instead of 7",
                "no finite numbers", "its category is not in", "02691156/gone.txt"):
        assert why in said
    assert said.count("leads out of the data folder") == 2
    assert len(said.splitlines()) == 9
    for text, why in (("{}", "no list of names"), ("[1]", "no list of names"), ("[", "cannot be read"),
                      ("[]", "no list of names"), (json.dumps(names[:1]), "in the lists of train and val")):
        (root / "train_test_split/shuffled_val_file_list.json").write_text(text)
        with pytest.raises(DataError, match=why):
            prepare(LAYOUTS["ShapeNetPart"], root)
    (root / "synsetoffset2category.txt").write_text("Dragon\t1\n")
    with pytest.raises(DataError, match="'Dragon"):
        prepare(LAYOUTS["ShapeNetPart"], root)


def test_pretraining_normalises_the_points_that_it_chooses_as_point_mae_does(tmp_path):
    prepare(LAYOUTS["ShapeNet-55"], make_shapenet55(tmp_path / "shapenet55"))
    pool = shapenet.load_pool(["ShapeNet-55"])
    assert set(pool.columns) == {"input"}
    assert pool.columns["input"].shape == (9, 8192, 3)
    recipe = SHAPENET.profiles["paper"].pretrain
    ready = pool.configured(SHAPENET.profiles["paper"].shape, recipe)
    assert ready.remaining(recipe.augment) == {"scale": 0.5, "shift": 0.2}

    def draw(epoch):
        return lambda indices: SampleRandom(3, epoch, indices)

    chosen = [torch.arange(3), torch.arange(3, 8)]
    for indices, batch in zip(chosen, ready.stream(chosen, draw=draw(1)), strict=True):
        points = batch["input"]
        assert points.shape == (len(indices), 1024, 3)
        torch.testing.assert_close(points.mean(1), torch.zeros(len(indices), 3), atol=1e-5, rtol=0)
        torch.testing.assert_close(points.norm(dim=2).amax(1), torch.ones(len(indices)))
        raw = {"input": pool.columns["input"][indices], "index": indices}
        picked = prepare_points(raw, SampleRandom(3, 1, indices), {"points": 1024})["input"]
        torch.testing.assert_close(points, shapenet.normalise(picked))  # the same points, then normalised
    once, other = (next(ready.stream([torch.arange(2)], draw=draw(epoch)))["input"] for epoch in (1, 2))
    assert not torch.equal(once, other)
    whole = ready.take(5).batch(torch.arange(5))["input"]
    torch.testing.assert_close(whole.norm(dim=2).amax(1), torch.ones(5))
    with pytest.raises(ValueError, match="asks for 9000 of 8192"):
        pool.configured(None, recipe.model_copy(update={"augment": {"points": 9000}}))


def test_shapenetpart_is_read_from_hdf5_files(tmp_path):
    root = make_shapenetpart_hdf5(tmp_path / "hdf5_data")
    prepared = prepare(LAYOUTS["ShapeNetPart"], root)
    assert prepared.counts == {"train": 2, "val": 1, "test": 1}
    splits = shapenet.load(["ShapeNetPart"])
    columns = splits["train"].columns
    assert {name: tuple(column.shape) for name, column in columns.items()} == {
        "input": (8, 2048, 3), "label": (8, 2048), "category": (8,)}
    assert columns["category"].tolist() == [0, 5, 10, 15, 1, 6, 11, 0]
    torch.testing.assert_close(columns["input"].norm(dim=2).amax(1), torch.ones(8))
    offsets = PART_OFFSETS[50]
    for points, label, category in zip(columns["input"], columns["label"], columns["category"].tolist(), strict=True):
        heights = [points[label == part, 1] for part in range(*offsets[category : category + 2])]
        assert all(low.max() <= high.min() for low, high in itertools.pairwise(heights))
        assert sum(map(len, heights)) == 2048
    prepare(LAYOUTS["ShapeNet-55"], make_shapenet55(tmp_path / "shapenet55"))
    assert "HDF5 files do not name them" in shapenet.load_pool(["ShapeNetPart", "ShapeNet-55"]).note
    clouds, categories = make_clouds(np.arange(2), 2048), np.array([[0], [1]])
    make_hdf5(root / "ply_data_val0.h5", clouds, label=categories, pid=np.zeros((2, 2048), int))
    said = lost(prepare(LAYOUTS["ShapeNetPart"], root))
    assert "ply_data_val0.h5#1 has parts from 0 to 0; those of Bag are 4 to 5" in said
    (root / "test_hdf5_file_list.txt").write_text("../../etc/passwd\nply_data_test0.h5\n")
    assert "leads out" in lost(prepare(LAYOUTS["ShapeNetPart"], root))


def test_shapes_of_the_pool_that_are_tested_on_are_noted(tmp_path):
    prepare(LAYOUTS["ShapeNet-55"], make_shapenet55(tmp_path / "shapenet55"))
    prepare(LAYOUTS["ShapeNetPart"], make_shapenetpart(tmp_path / "parts"))
    assert shapenet.load_pool(["ShapeNetPart", "ShapeNet-55"]).note.startswith("1 of 9 clouds are test shapes")
    assert shapenet.load_pool(["ShapeNet-55"]).note == ""


def test_faults_of_the_pool_are_named(tmp_path):
    root = make_shapenet55(tmp_path / "shapenet55")
    names = (root / "ShapeNet-55/train.txt").read_text().split()
    cloud = make_surface(np.random.default_rng(0), 0, 8192)
    nan = cloud.copy()
    nan[0, 0] = np.nan
    for name, array in zip(names, (cloud[:8000], nan, cloud * 0, cloud.astype(int), cloud[None]), strict=False):
        np.save(root / "shapenet_pc" / name, array)
    (root / "shapenet_pc" / names[5]).write_bytes(b"")
    whole = (root / "shapenet_pc" / names[6]).read_bytes()
    (root / "shapenet_pc" / names[6]).write_bytes(whole[:-8])
    huge = whole.replace(b"(8192, 3), }" + b" " * 12, b"(8192000000000000, 3), }")
    assert huge != whole
    (root / "shapenet_pc" / names[7]).write_bytes(huge)
    with (root / "ShapeNet-55/train.txt").open("a") as file:
        file.write("../../etc/passwd\n02691156-gone.npy\n")
    said = lost(prepare(LAYOUTS["ShapeNet-55"], root))
    assert len(said.splitlines()) == 10, said
    for name in (*names[:8], "02691156-gone.npy"):
        assert name in said
    assert "leads out of the data folder" in said
    with pytest.raises(DataError, match="missing"):
        shapenet.load_pool(["ShapeNet-55"])


def test_partnet_is_found_checked_and_read(tmp_path):
    root = make_partnet(tmp_path / "sem_seg_h5")
    prepared = prepare(LAYOUTS["PartNet"], root)
    assert prepared.counts == {"train": 17, "val": 17, "test": 17}
    assert prepared.facts["shapes"] == {"train": 17, "val": 17, "test": 17}
    splits = partnet.load(["PartNet"])
    columns = splits["val"].columns
    assert {name: tuple(column.shape) for name, column in columns.items()} == {
        "input": (17, 10_000, 3), "label": (17, 10_000), "category": (17,)}
    assert columns["category"].tolist() == list(range(17))
    torch.testing.assert_close(columns["input"].norm(dim=2).amax(1), torch.ones(17))
    own = columns["label"].long() - torch.tensor(OFFSETS[:-1])[:, None]
    assert own.unique().tolist() == [0, 1, 2, 3]
    heights = [columns["input"][2, :, 1][own[2] == part] for part in range(4)]
    assert all(low.max() < high.min() for low, high in itertools.pairwise(heights)), "points and labels are moved together"
    with h5py.File(root / "Chair-3/val-00.h5") as file:
        assert not np.array_equal(file["label_seg"][0], own[2].numpy()), "and do not stay as they are stored"
    make_hdf5(root / "Chair-3/val-00.h5", make_clouds(np.arange(2), 10_000), label_seg=np.full((2, 10_000), 40))
    make_hdf5(root / "Bed-3/val-00.h5", np.zeros((1, 10_000, 3)), label_seg=np.zeros((1, 10_000), int))
    (root / "Table-3/test_files.txt").write_text("../../etc/passwd\n")
    said = lost(prepare(LAYOUTS["PartNet"], root))
    assert "labels from 40 to 40; expected 0 to 39" in said
    assert "cloud 0 has 10000 points that all coincide" in said
    assert "leads out" in said
    (root / "Vase-3/test_files.txt").unlink()
    with pytest.raises(DataError, match=r"Vase-3/test_files\.txt"):
        prepare(LAYOUTS["PartNet"], root)


def test_fine_parts_are_measured_over_all_shapes_without_what_is_other():
    meter = FinePartMeter((0, 3, 6, 8))
    logits = torch.zeros(3, 4, 8)
    logits[..., 0] = logits[..., 3] = logits[..., 6] = 9  # "other" is never predicted
    logits[0, :2, 1] = logits[0, 2:, 2] = logits[1, :, 1] = logits[2, :, 5] = 1  # predicts 1 1 2 2; 1 1 1 1; 5 5 5 5
    label = torch.tensor([[1, 2, 2, 0], [1, 1, 2, 0], [3, 3, 5, 4]])
    meter.update(logits[:2], {"label": label[:2], "category": torch.tensor([0, 0])})
    meter.update(logits[2:], {"label": label[2:], "category": torch.tensor([1])})
    first, second, third, fourth = 3 / 5, 1 / 3, 0 / 1, 1 / 2  # of labels 1, 2, 4, 5
    assert meter.compute() == pytest.approx({
        "part mIoU": 100 * ((first + second) / 2 + (third + fourth) / 2) / 2,  # category 2 does not occur
        "shape mIoU": 100 * ((1 / 2 + 1 / 2) / 2 + (2 / 3 + 0) / 2 + (0 + 1 / 2) / 2) / 3})
    spare = FinePartMeter((0, 4))
    spare.update(torch.eye(4)[[1, 1, 2, 3]][None], {"label": torch.tensor([[1, 1, 2, 2]]), "category": torch.tensor([0])})
    assert spare.compute() == pytest.approx({"part mIoU": 100 * (1 + 1 / 2) / 2, "shape mIoU": 100 * (1 + 1 / 2 + 0) / 3})
    with pytest.raises(ValueError, match="no predictions"):
        FinePartMeter((0, 3)).compute()


def test_the_commands_prepare_verify_and_show_point_sets(tmp_path, capsys):
    root = make_modelnet_hdf5(tmp_path / "root")
    assert main(["data", "prepare", "shapenet", "--root", str(root)]) == 2
    assert "choose one with --set: ShapeNetPart, ShapeNet-55\n" in capsys.readouterr().err
    chosen = ["modelnet"]
    assert main(["data", "prepare", *chosen, "--root", str(root), "-j", "1"]) == 0
    assert "2 train, 0 val, 1 test" in capsys.readouterr().out
    assert main(["data", "stats", *chosen]) == 0
    shown = capsys.readouterr().out
    assert "bathtub  6  0  2" in shown
    assert "clouds: {'train': " in shown
    assert main(["data", "verify", *chosen]) == 0
    (root / "ply_data_train1.h5").write_bytes(b"gone bad")
    capsys.readouterr()
    assert main(["data", "verify", *chosen]) == 1
    assert "ply_data_train1.h5" in capsys.readouterr().out
    assert main(["data", "prepare", *chosen, "--root", str(root)]) == 1
    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert "scanobjectnn-pb-t50-rs  ScanObjectNN-PB_T50_RS\n" in shown
    assert all(shown.count(f"  {name}\n") == 1 for name in LAYOUTS)


def test_a_few_shot_task_is_looked_at_as_the_fold_of_seed_0(tmp_path, monkeypatch, capsys):
    root = tmp_path / "root"
    root.mkdir()
    (root / "shape_names.txt").write_text("".join(f"class {label}\n" for label in range(6)))
    for seed, (split, each) in enumerate((("train", 34), ("test", 20))):
        labels = np.arange(6).repeat(each)
        make_hdf5(root / f"ply_data_{split}0.h5", make_clouds(labels, 2048, seed), label=labels[:, None])
    prepare(MODELNET, root)
    (task,) = (task for task in FEW_SHOT if (task.way, task.shot) == (5, 10))
    path = tmp_path / "sheet.png"
    assert main(["data", "view", task.name, "--number", "7", "--out", str(path)]) == 0
    assert f"7 samples of {task.name} train, profile paper" in capsys.readouterr().out
    ready = task.load("paper")["test"].configured(None, recipe_under(task.profiles["paper"].train["scratch"], 20))
    first = few_shot(modelnet.load([MODELNET.name]), 5, 10, 0)["test"].columns
    assert torch.equal(ready.columns["input"], first["input"])
    assert len(ready) == 100
    assert len(ready.take(7)) == 7

    class Small(type(task)):
        profiles: ClassVar = {"paper": replace(task.profiles["paper"], shape=TASKS["modelnet"].profiles["tiny"].shape)}

    found = list(check_task(Small(), "paper"))
    assert [finding.level for finding in found] == ["ok"] * 6
    assert found[2].what == "labels from 0 to 4; 5 classes declared, so from 0 to 4"
    assert found[-1].what.startswith("chance is declared as 20; always the commonest class reaches 20.00 %")


SHALLOW = {"shape.depth": 1, "shape.hidden_dim": 32, "shape.decoder_embed_dim": 96,
           "shape.decoder_depth": 1, "shape.decoder_num_heads": 3, "recipe.batch_size": 2, "pretrain.batch_size": 2,
           "pretrain.warmup_epochs": 0}
SMALL = {**SHALLOW, **NARROW, "shape.tokenizer_dim": 32}


@pytest.mark.parametrize("task", ["modelnet", "shapenet", "scanobjectnn-obj-only", "partnet"])
def test_the_papers_recipes_train_on_them(task, tmp_path, capsys):
    """All points and tokens of the paper, one block (of ViT-B's width for ModelNet40), a narrow head: real steps, records
    with digests."""
    makers = {"ModelNet40": partial(make_modelnet_hdf5, train=10, test=3), "ShapeNet-55": partial(make_shapenet55, train=4),
              "ShapeNetPart": partial(make_shapenetpart, train=3, val=1, test=1), "ScanObjectNN-OBJ_ONLY": make_scanobjectnn,
              "PartNet": make_partnet}
    for name in {"ShapeNet-55", "ShapeNetPart", *TASKS[task].profiles["paper"].data_sets}:
        prepare(LAYOUTS[name], makers[name](tmp_path / name))
    run_paper([task], tmp_path / "results", SHALLOW if task == "modelnet" else SMALL, capsys, limit=2)


def test_a_seed_of_a_few_shot_task_is_a_fold(tmp_path, monkeypatch, capsys):
    def make_clouds_of_six_classes(prepared):
        labels = {"train": np.arange(6).repeat(33), "val": np.zeros(0, int), "test": np.arange(6).repeat(21)}
        return {**{f"label_{split}": label for split, label in labels.items()},
                **{f"input_{split}": make_clouds(label, modelnet.KEPT).astype(np.float32) if len(label) else
                   np.zeros((0, modelnet.KEPT, 3), np.float32) for split, label in labels.items()}}

    # Putting them in order takes its time, and is tested above; the runs read what is kept here.
    monkeypatch.setattr(modelnet, "_make_clouds", make_clouds_of_six_classes)
    prepare(MODELNET, make_modelnet_hdf5(tmp_path / "root"))
    prepare(LAYOUTS["ShapeNet-55"], make_shapenet55(tmp_path / "shapenet", train=4))
    prepare(LAYOUTS["ShapeNetPart"], make_shapenetpart(tmp_path / "parts", train=3, val=1, test=1))
    (task,) = (task for task in FEW_SHOT if (task.way, task.shot) == (5, 10))
    records = run_paper([task.name], tmp_path / "results", SMALL, capsys, limit=2, seed=3)
    assert {record.spec.recipe.augment["fold"] for record in records} == {3}
    planner = Planner(TASKS, "paper")
    cell = Cell(task, ARMS["scratch"], "scratch")
    specs = planner.plan([cell], range(12)).specs
    assert [spec.recipe.augment["fold"] for spec in specs] == [*range(10), 0, 1]
    assert len({spec.comparison for spec in specs}) == 1
    assert len({spec.run_id for spec in specs}) == 12
    named = Planner(TASKS, "paper", overrides_of(STUDY, ["fold-5"], "paper", TASKS)).plan([cell], range(3))
    assert {spec.recipe.augment["fold"] for spec in named.specs} == {5}
    assert not {spec.comparison for spec in named.specs} & {spec.comparison for spec in specs}
    six = Planner(TASKS, "paper", overrides_of(STUDY, ["fold-5"], "paper", TASKS)).plan([cell], range(5, 7)).specs
    assert [spec.comparison == specs[0].comparison for spec in six] == [True, False]
    assert conditions_of(specs[0]) == conditions_of(specs[4])
    splits = task.load("paper")
    recipe = specs[3].recipe
    fold = {split: examples.configured(specs[3].shape, recipe) for split, examples in splits.items()}
    assert [len(fold[split]) for split in SPLITS] == [50, 100, 100]
    assert "fold" not in fold["train"].remaining(recipe.augment)
    other = splits["test"].configured(specs[4].shape, specs[4].recipe)
    assert not torch.equal(fold["test"].columns["input"], other.columns["input"])
    assert len(splits["test"].take(20).configured(specs[3].shape, recipe)) == 20
    with pytest.raises(ValueError, match="label_share"):
        splits["train"].labelled(0.5, False, torch.Generator()).configured(specs[3].shape, recipe)
    for text, said in (("recipe.augment.fold=12", "folds 0 to 9"), ("recipe.label_share=0.5", "few labels already")):
        with pytest.raises(ValueError, match=said):
            Planner(TASKS, "paper", [parse_override(text, TASKS)]).plan([cell], [0])
    with pytest.raises(ValueError, match="names no fold"):
        splits["train"].configured(specs[3].shape, recipe.model_copy(update={"augment": {}}))
