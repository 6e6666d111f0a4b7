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
