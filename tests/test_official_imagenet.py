"""ImageNet as it is distributed: found, looked at, read, trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from official import check_reading, make_imagenet, run_paper
from PIL import Image

from benchmark.cli.main import main
from benchmark.data.catalogue import Layout, find, prepare, read
from benchmark.data.embedded import DataError
from benchmark.data.files import decode_picture, random_box
from benchmark.data.listing import Root
from benchmark.spec.recipes import ModelShape, TrainRecipe
from tasks.imagenet import TASK
from tasks.imagenet.official import LAYOUTS, Pictures, load, middle

(LAYOUT,) = LAYOUTS
SHAPE = ModelShape(input_size=(32, 32), patch_size=(16, 16))
RECIPE = TrainRecipe(epochs=1, batch_size=4, lr=1e-3, augment={"crop": 0.92, "flip": 0.5, "rand_augment": 9.0, "erase": 0.25})


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    return make_imagenet(tmp_path / "imagenet")


def test_every_picture_is_found_and_the_validation_split_is_a_part_of_train(root):
    prepared = prepare(LAYOUT, root)
    assert sum(prepared.counts.values()) == 3 * (12 + 4)
    assert prepared.counts["test"] == 12
    assert prepared.classes == ["n00000000", "n00000001", "n00000002"]
    assert prepare(LAYOUT, root, jobs=2).digest == prepared.digest
    (root / "val" / "n00000000" / "val_2.JPEG").write_bytes((root / "val" / "n00000000" / "val_3.JPEG").read_bytes())
    assert prepare(LAYOUT, root).digest != prepared.digest


def test_faults_are_named_and_nothing_is_trained_on_until_told(root, monkeypatch):
    (root / "train/n00000000/train_3.JPEG").write_bytes((root / "train/n00000000/train_3.JPEG").read_bytes()[:200])
    (root / "train/n00000000/train_4.JPEG").write_bytes(b"")
    (root / "val/n00000001/val_2.JPEG").unlink()
    (root / "val/n00000001/val_2.JPEG").symlink_to("/etc/passwd")
    prepared = prepare(LAYOUT, root)
    lines = [line for lines in prepared.unreadable.values() for line in lines]
    assert len(lines) == 3
    assert any("train_3.JPEG" in line for line in lines)
    assert any("link out of the data folder" in line for line in lines)
    with pytest.raises(DataError, match=r"% of test missing.*--allow-missing"):
        find(LAYOUT.name)
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    splits = load([LAYOUT.name])
    assert "% of test missing" in splits["test"].note
    assert len(splits["test"]) == 11


def test_an_empty_class_and_a_root_without_pictures_are_said(root, tmp_path):
    (root / "train" / "n00000009").mkdir()
    assert any("n00000009 is empty" in line for line in LAYOUT.enumerate_files(Root(root)).problems)
    with pytest.raises(DataError, match="0 training"):
        prepare(LAYOUT, tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        prepare(LAYOUT, tmp_path / "nowhere")


def test_a_damaged_catalogue_is_no_catalogue(root, tmp_path):
    prepare(LAYOUT, root)
    listing = tmp_path / "catalogue" / "imagenet1k.train.tsv"
    text = listing.read_text()
    for damage in (text[: len(text) // 2], "../../etc/passwd\t0\t1\tab\t1\n" + text, "", "/etc/passwd\t0\t1\tab\t1\n"):
        listing.write_text(damage)
        with pytest.raises(DataError, match=r"prepare|leads out"):
            load([LAYOUT.name])
    for damage in ("{}", "[1]", "no json"):
        (tmp_path / "catalogue" / "imagenet1k.json").write_text(damage)
        with pytest.raises(DataError, match="cannot be read"):
            read(LAYOUT.name)


def test_reading_depends_on_seed_epoch_and_sample_alone(root, monkeypatch):
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE)
    assert train.remaining(RECIPE.augment) == {"erase": 0.25}
    for batch in check_reading(train, [range(8), range(8, 14), range(5)], ["input"], monkeypatch):
        assert batch["input"].shape[1:] == (3, 32, 32)
        assert batch["input"].dtype == torch.uint8
    still = train.batch(torch.arange(3))["input"]
    assert torch.equal(still, train.batch(torch.arange(3))["input"])
    assert torch.equal(train.batch(torch.arange(3))["label"], train.columns["label"][:3])


def test_the_middle_is_the_middle_and_boxes_lie_inside():
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, 35:55] = 255
    cut = np.asarray(middle(Image.fromarray(pixels), (56, 56)))
    assert cut.shape == (56, 56, 3)
    columns = cut.mean((0, 2))
    assert abs(columns - columns[::-1]).max() < 3
    random = np.random.default_rng(0)
    for _ in range(200):
        left, upper, right, lower = random_box((50, 30), 0.08, random)
        assert 0 <= left < right <= 50
        assert 0 <= upper < lower <= 30


def test_grey_and_odd_pictures_become_rgb_and_a_bomb_is_refused(tmp_path, monkeypatch):
    for mode in ("L", "RGBA", "P", "CMYK", "1"):
        path = tmp_path / f"{mode}.{'JPEG' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (20, 10)).save(path)
        assert Pictures((8, 8)).read(path, None)["input"].shape == (3, 8, 8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(DataError, match="cannot be read"):
        decode_picture(tmp_path / "L.png")


def test_a_file_that_goes_bad_later_ends_the_run_in_one_line(root, monkeypatch):
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE)
    (root / train.items[3].path).write_bytes(b"gone bad")
    for workers in ("0", "2"):
        monkeypatch.setenv("M2PT_WORKERS", workers)
        with pytest.raises(DataError, match=train.items[3].path):
            list(train.stream([torch.arange(2), torch.arange(2, 6)]))


def test_the_commands_prepare_verify_and_show_it(root, capsys):
    assert main(["data", "prepare", "imagenet", "--root", str(root)]) == 0
    assert "12 test" in capsys.readouterr().out
    assert main(["data", "list"]) == 0
    assert f"prepared from {root}" in capsys.readouterr().out
    assert main(["data", "stats", "imagenet"]) == 0
    assert "n00000002" in capsys.readouterr().out
    assert main(["data", "verify", "imagenet"]) == 0
    (root / "val/n00000001/val_2.JPEG").unlink()
    capsys.readouterr()
    assert main(["data", "verify", "imagenet"]) == 1
    assert "missing" not in capsys.readouterr().err
    for arguments, said in ((["prepare", "imagenet"], "--root"), (["stats"], "name a task"),
                            (["prepare", "imagent"], "did you mean"),
                            (["prepare", "imagenet", "--set", "x", "--root", "."], "it has imagenet1k")):
        assert main(["data", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_the_papers_recipes_train_on_it(root, tmp_path, capsys):
    """ViT-B/16 and 224 pixels, cut to one block; real steps in every setting, and records with the digest of the files."""
    prepare(LAYOUT, root)
    run_paper(["imagenet"], tmp_path / "results", {
        "shape.depth": 1, "shape.decoder_depth": 1, "recipe.batch_size": 8, "recipe.accumulation": 2,
        "recipe.precision": "fp32", "pretrain.batch_size": 8, "pretrain.precision": "fp32"}, capsys)
    assert TASK.profiles["paper"].num_classes == 1000


def test_layouts_are_described():
    assert isinstance(LAYOUT, Layout)
    assert "ROOT/train" in LAYOUT.description
