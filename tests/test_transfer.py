"""Merged weights elsewhere: the two examples train a little on small trees in COCO's and ADE20K's layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.model.connect import connect
from benchmark.model.encoder import TransformerModel, build_blocks
from benchmark.model.pathway import merge
from benchmark.model.weights import CheckpointError, export_weights, read_weights
from benchmark.transfer import detection, segmentation
from benchmark.transfer.backbone import Pyramid, load_vit
from tasks import TASKS

SHAPE = TASKS["imagenet"].profiles["paper"].shape.model_copy(update={"depth": 1})


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A ViT-B of one block, merged with an auxiliary's weights and exported."""
    torch.manual_seed(0)
    task = TASKS["imagenet"]
    model = TransformerModel(task.tokenizer(SHAPE), task.head(SHAPE, 10, "pretrained"), SHAPE)
    connect(model.blocks, build_blocks(768, 1, 12, 4.0, True), scale_init=0.1)
    merge(model)
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    export_weights(model, path)
    return path


def test_the_backbone_has_the_weights_and_a_pyramid_for_images_of_any_size(weights):
    vit = load_vit(weights, depth=1)
    exported = read_weights(weights)
    assert torch.equal(vit.blocks[0].attn.qkv.weight, exported["blocks.0.attn.qkv.weight"])
    assert torch.equal(vit.pos_embed, exported["pos_embed"])
    levels = Pyramid(vit, 32)(torch.rand(2, 3, 70, 100))
    assert {name: tuple(level.shape) for name, level in levels.items()} == {
        "4": (2, 32, 20, 28), "8": (2, 32, 10, 14), "16": (2, 32, 5, 7), "32": (2, 32, 2, 3)}
    with pytest.raises(CheckpointError, match="missing blocks"):
        load_vit(weights, depth=2)


def make_coco(root: Path) -> Path:
    random = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train2017", 3), ("val2017", 2)):
        (root / split).mkdir()
        images, annotations = [], []
        for number in range(count):
            Image.fromarray(random.integers(0, 255, (64, 80, 3), dtype=np.uint8)).save(root / split / f"{number}.jpg")
            images.append({"id": 10 + number, "file_name": f"{number}.jpg", "height": 64, "width": 80})
            annotations.append({"id": number, "image_id": 10 + number, "category_id": 7, "iscrowd": 0, "bbox": [8, 8, 30, 20],
                                "segmentation": [[8, 8, 38, 8, 38, 28, 8, 28]], "area": 600})
        annotations.append({"id": 99, "image_id": 10, "category_id": 3, "iscrowd": 1, "bbox": [0, 0, 9, 9],
                            "segmentation": {"counts": [], "size": [64, 80]}, "area": 1})
        data = {"images": images, "annotations": annotations, "categories": [{"id": 3}, {"id": 7}]}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(data))
    return root


def test_detection_trains_and_writes_cocos_results(weights, tmp_path, capsys):
    root = make_coco(tmp_path / "coco")
    data = detection.Coco(root, "train2017")
    x, target = data[0]
    assert x.shape == (3, 64, 80)
    assert target["boxes"].tolist() == [[8, 8, 38, 28]]
    assert target["labels"].tolist() == [2]
    assert target["masks"].sum().item() == pytest.approx(30 * 20, rel=0.1)
    out = tmp_path / "found.json"
    small = ["--steps", "2", "--batch-size", "1", "--size", "64", "--depth", "1", "--device", "cpu"]
    assert detection.main([str(weights), "--root", str(root), "--out", str(out), *small]) == 0
    assert "loss" in capsys.readouterr().out
    for row in json.loads(out.read_text()):
        assert set(row) == {"image_id", "category_id", "score", "bbox"}
    data.images[0]["file_name"] = "../../../etc/passwd"
    with pytest.raises(ValueError, match="leads out"):
        data[0]
    assert detection.main([str(weights), "--root", str(tmp_path), "--out", str(out), "--depth", "1"]) == 2


def test_segmentation_trains_and_judges_by_the_mean_iou(weights, tmp_path, capsys):
    root = tmp_path / "ade"
    for split in ("training", "validation"):
        for folder in ("images", "annotations"):
            (root / folder / split).mkdir(parents=True)
        for number in range(2):
            labels = np.zeros((40, 50), np.uint8)
            labels[:, 25:] = 2
            Image.fromarray(np.repeat(labels[..., None] * 100, 3, 2)).save(root / "images" / split / f"{number}.jpg")
            Image.fromarray(labels).save(root / "annotations" / split / f"{number}.png")
    x, y = segmentation.Ade(root, "training", 32)[0]
    assert x.shape == (3, 32, 32)
    assert sorted(y.unique().tolist()) == [1, segmentation.IGNORED]
    small = ["--steps", "3", "--batch-size", "2", "--size", "32", "--depth", "1", "--device", "cpu"]
    assert segmentation.main([str(weights), "--root", str(root), "--classes", "3", *small]) == 0
    assert "mean IoU" in capsys.readouterr().out
    (root / "annotations/validation/1.png").unlink()
    assert segmentation.main([str(weights), "--root", str(root), "--depth", "1"]) == 2
    assert "lacks 1 annotations" in capsys.readouterr().out


SMALL = ["--steps", "1", "--batch-size", "1", "--size", "32", "--depth", "1", "--device", "cpu"]


def alter(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("change", "more", "said"), [
    (lambda root: alter(root / "annotations/instances_val2017.json", categories=[{"id": 7}, {"id": 9}]), [],
     "val2017 has categories that train2017 has not, first 9"),
    (lambda root: alter(root / "annotations/instances_train2017.json", categories=[{"id": 3}]), [],
     "objects of the category 7, which is not among its categories"),
    (None, ["--out", "nowhere/found.json"], "--out nowhere/found.json: expected a file in a folder that is there"),
    (None, ["--steps", "0"], "--steps 0: expected at least 1"), (None, ["--lr", "nan"], "--lr nan: expected a number above 0"),
    (None, ["--device", "tpu9"], "--device tpu9 cannot be used here"), (None, ["--lr", "1e30", "--steps", "4"], "lower --lr")],
    ids=["categories of val", "unknown category", "folder", "steps", "lr", "device", "diverging"])
def test_detection_refuses_in_one_line_and_most_before_it_trains(change, more, said, weights, tmp_path, capsys):
    root = make_coco(tmp_path / "coco")
    if change is not None:
        change(root)
    out = ["--out", str(tmp_path / "found.json")]
    assert detection.main([str(weights), "--root", str(root), *out, *SMALL, *more]) == 2
    (line,) = capsys.readouterr().out.splitlines()[-1:]
    assert said in line
    assert not (tmp_path / "found.json").exists()


def test_detection_names_what_it_finds_by_the_categories_that_it_was_trained_on(weights, tmp_path):
    """Also where the validation split lists fewer of them, or in another order."""
    root = make_coco(tmp_path / "coco")
    train = detection.Coco(root, "train2017")
    alter(root / "annotations/instances_val2017.json", categories=[{"id": 7}], annotations=[])
    torch.manual_seed(0)
    model = detection.build(weights, len(train.categories), 32, depth=1)
    with torch.no_grad():  # every box is of the second category, 7
        model.roi_heads.box_predictor.cls_score.bias.copy_(torch.tensor([-9.0, -9.0, 9.0]))
    rows = list(detection.detect(model, detection.Coco(root, "val2017"), train.categories, torch.device("cpu")))
    assert {row["category_id"] for row in rows} == {7}


def test_objects_without_a_polygon_are_left_out_and_counted(tmp_path):
    root = make_coco(tmp_path / "coco")
    path = root / "annotations/instances_train2017.json"
    objects = json.loads(path.read_text())["annotations"]
    objects[0]["segmentation"], objects[1]["segmentation"] = [], {"counts": "abc", "size": [64, 80]}
    alter(path, annotations=objects)
    data = detection.Coco(root, "train2017")
    assert [len(found) for found in data.objects.values()] == [0, 0, 1]
    assert data.num_left_out == 3, "the crowd, the box alone, the run lengths"


def test_a_vit_of_other_sizes_is_refused_by_its_first_weight(tmp_path):
    task = TASKS["imagenet"]
    shape = task.profiles["tiny"].shape
    model = TransformerModel(task.tokenizer(shape), task.head(shape, 10, "pretrained"), shape)
    export_weights(model, tmp_path / "tiny.safetensors")
    with pytest.raises(CheckpointError, match=r"no ViT-B/16, .*: cls_token is \(1, 1, 96\), and \(1, 1, 768\) is wanted"):
        load_vit(tmp_path / "tiny.safetensors", depth=1)


def make_ade(root: Path, labels: Image.Image) -> Path:
    for split in ("training", "validation"):
        for folder in ("images", "annotations"):
            (root / folder / split).mkdir(parents=True)
        Image.new("RGB", labels.size).save(root / "images" / split / "0.PNG")
        labels.save(root / "annotations" / split / "0.png")
    return root


def numbers(*rows: int, kind: type = np.uint8) -> Image.Image:
    """A picture of 32 x 32 whose rows of pixels are these, in equal parts"""
    return Image.fromarray(np.repeat(np.repeat(np.array(rows, kind), 32 // len(rows))[:, None], 32, 1))


@pytest.mark.parametrize(("labels", "classes"), [
    (numbers(0, 1, 3, 255), {0, 2, segmentation.IGNORED}),
    (numbers(0, 1, 256, 847, kind=np.uint16), {0, 255, 846, segmentation.IGNORED}),
    (numbers(0, 1).convert("P"), {0, segmentation.IGNORED})], ids=["void", "16 bits", "palette"])
def test_numbers_of_annotations_are_classes_but_those_that_are_not_judged(labels, classes, tmp_path):
    _, y = segmentation.Ade(make_ade(tmp_path / "ade", labels), "training", 32, 847)[0]
    assert set(y.unique().tolist()) == classes


@pytest.mark.parametrize(("labels", "said"), [
    (numbers(1, 4), "has the class 4, where 3 are said (--classes)"),
    (numbers(1, 2).convert("RGB"), "has colours (RGB)"), (numbers(0, 255), "has a class")],
    ids=["classes", "colours", "nothing to judge"])
def test_segmentation_refuses_annotations_in_one_line(labels, said, weights, tmp_path, capsys):
    root = make_ade(tmp_path / "ade", labels)
    assert segmentation.main([str(weights), "--root", str(root), "--classes", "3", *SMALL]) == 2
    assert said in capsys.readouterr().out.splitlines()[-1]
