"""What `benchmark data view` shows, and where farthest points are those of open3d."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import open3d
import pytest
import torch
from official import make_imagenet
from PIL import Image

from benchmark.cli.main import main
from benchmark.data.catalogue import prepare
from benchmark.data.view import TILE, array_of, contact_sheet, draw_cloud, in_full_contrast, tile, write_sheet
from benchmark.model.points import farthest_point_sample
from tasks import TASKS
from tasks.imagenet.official import LAYOUTS

EMBEDDED = [name for name, task in TASKS.items() if "tiny" in task.profiles]


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_task_has_a_sheet(name, tmp_path, capsys):
    path = tmp_path / "sheet.png"
    assert main(["data", "view", name, "--out", str(path), "--number", "5", "--split", "test"]) == 0
    assert f"5 samples of {name} test, profile tiny" in capsys.readouterr().out
    pixels = np.asarray(Image.open(path))
    assert min(pixels.shape[:2]) >= TILE
    assert pixels.std() > 10, "something is to be seen"


def test_official_pictures_are_shown_as_they_are_tested_on(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    monkeypatch.setenv("M2PT_WORKERS", "0")
    prepare(*LAYOUTS, make_imagenet(tmp_path / "root"))
    assert main(["data", "view", "imagenet", "--profile", "paper", "--number", "3", "--out", str(tmp_path / "a.png")]) == 0
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(int)
    sides = [pixels[row + 20 : row + 140, column + 20 : column + 140].mean() for row, column in (
        (0, 0), (0, TILE + 4), (TILE + 4, 0))]
    assert abs(np.array(sides) - (60, 120, 180)).max() < 12, "one of each class, in order"


def test_tiles_are_the_samples():
    picture = np.random.default_rng(0).integers(0, 256, (3, 20, 20), dtype=np.uint8)
    assert (np.asarray(tile(picture))[4::8, 4::8] == picture.transpose(1, 2, 0)).all()
    clip = np.stack([picture] * 8, 1)
    assert tile(clip).size == (4 * TILE, TILE)
    spectrogram = np.zeros((100, 30), np.float32)
    spectrogram[:50, 20:] = 1  # early and high
    shown = np.asarray(tile(spectrogram))[..., 0]
    assert shown[:40, :140].mean() > 250
    assert shown[80:].mean() < 5
    assert shown[:, 180:].mean() < 5
    rising = np.asarray(tile(np.arange(50, dtype=np.int64)[None]))[..., 0]
    foot, top = (int(np.nonzero(rising[:, column] < 255)[0].mean()) for column in (2, 2 * TILE - 3))
    assert foot > 0.9 * TILE, "a signal's least value is at the foot"
    assert top < 0.1 * TILE
    with pytest.raises(ValueError, match=r"\(7,\) is no picture"):
        tile(np.zeros(7))
    assert contact_sheet(np.stack([picture] * 4)).size == (2 * TILE + 8, 2 * TILE + 8)


DIGIT = np.zeros((8, 8), np.uint8)
DIGIT[:2, 5:] = 16  # a mark at the top, to the right


@pytest.mark.parametrize(("inputs", "said"), [
    (np.stack([DIGIT, DIGIT]), "values from 0 to 16,"), (np.stack([DIGIT, DIGIT])[:, None], "values from 0 to 16,"),
    (np.repeat(np.stack([DIGIT, DIGIT])[:, None], 3, 1), "values from 0 to 16,"),
    (np.stack([DIGIT, DIGIT])[:, None].astype(np.uint16) * 4000, "values from 0 to 64000,"),
    (np.stack([DIGIT, DIGIT]).astype(np.float32) / 16 - 0.5, "values from -0.5 to 0.5,"),
    (np.stack([DIGIT, DIGIT])[:, None] * 15, "")], ids=["grey", "one channel", "three channels", "16 bits", "floats", "bytes"])
@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_grey_pictures_are_upright_and_of_full_contrast_and_their_range_is_told(inputs, said, suffix, tmp_path):
    """Digits of 0 to 16 came out nearly black, and turned by a quarter, as spectrograms are"""
    shown, told = in_full_contrast(inputs, "glyph")
    assert told.startswith(said)
    assert bool(told) == bool(said)
    pixels = np.asarray(tile(shown[0]))[..., 0]
    assert pixels[: TILE // 4 - 2, TILE * 5 // 8 + 2 :].min() == (255 if said else 240)
    assert pixels[TILE // 4 + 2 :].max() == pixels[:, : TILE * 5 // 8 - 2].max() == 0
    path = tmp_path / f"sheet{suffix}"
    write_sheet(inputs, ["seven", "seven"], path, "glyph")
    if suffix == ".html":
        assert (f"<p>{told}</p>" in path.read_text(encoding="utf-8")) == bool(said)
    else:
        plain = contact_sheet(shown, ["seven", "seven"])
        assert (Image.open(path).height > plain.height) == bool(said), "a line below says the range"


def test_spectrograms_stay_turned_and_values_that_are_no_numbers_are_shown_dark():
    spectrograms = np.random.default_rng(0).random((2, 100, 30), np.float32)
    for inputs in (spectrograms, spectrograms[:, None]):
        shown, said = in_full_contrast(inputs, "audio")
        assert np.array_equal(shown, inputs.reshape(2, 100, 30))
        assert not said
    broken = np.array([[[[np.nan, np.inf], [1.0, 3.0]]]])
    shown, said = in_full_contrast(broken, "image")
    assert shown[0, 0].tolist() == [[0, 255], [0, 255]]
    assert said.startswith("values from 1 to 3,")


def test_numbers_of_two_bytes_are_shown_as_the_same_of_four(tmp_path):
    spectrogram = np.linspace(-300, 700, 64 * 20).reshape(64, 20).astype(np.float16)
    assert (np.asarray(tile(spectrogram)) == np.asarray(tile(spectrogram.astype(np.float32)))).all()
    numbers = torch.arange(12).view(2, 6)
    for kind in (torch.bfloat16, torch.float16, torch.uint8, torch.bool):
        assert (array_of(numbers.to(kind)) == numbers.to(kind).float().numpy()).all()


def test_clouds_stand_upright_and_near_points_hide_far_ones():
    pole = np.zeros((200, 3))
    pole[:, 1] = np.linspace(-1, 1, 200)
    rows, columns = np.nonzero(np.asarray(draw_cloud(pole))[..., 0] < 255)
    assert np.ptp(rows) > 10 * np.ptp(columns)
    along = np.array([[2.0, 2, 2], [-2, -2, -2]])  # on the line of sight, nearest first
    assert np.asarray(draw_cloud(along)).min() == 20


@pytest.mark.parametrize(("arguments", "said"), [
    (["imagenet", "--number", "0"], "at least 1"), (["imagenet", "--window"], "imagenet has none"),
    (["modelnet", "--window"], "--window needs a display, and there is none here; leave it out for a picture"),
    (["imagenet", "--profile", "paper"], "prepare imagenet --root DIR"),
    (["partnet", "--profile", "tiny"], "has no profile tiny"),
    (["imagenet", "--out", "/nowhere/a.png"], "cannot be written"), (["imagenet", "--out", "sheet.what"], "cannot be written"),
])
def test_what_cannot_be_shown_is_said(arguments, said, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["data", "view", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_open3d_its_extra_and_debians_packages_are_named():
    program = ("import sys\nclass Refuse:\n    def find_spec(self, name, path=None, target=None):\n"
               "        if name == 'open3d':\n            raise ImportError('libusb-1.0.so.0: cannot open')\n"
               "sys.meta_path.insert(0, Refuse())\nfrom benchmark.cli.main import main\nsys.exit(main(sys.argv[1:]))\n")
    command = [sys.executable, "-c", program, "data", "view", "modelnet", "--window"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    for part in ("libusb-1.0.so.0", "'m2pt-bench[view]'", "apt-get install libgl1 libusb-1.0-0 libgomp1"):
        assert part in done.stderr
    assert done.stderr.count("\n") == 1


def test_farthest_points_are_open3ds_as_a_set():
    """open3d gives the points themselves, in the order of the cloud, and begins with the first"""
    points = torch.rand(3, 400, 3, generator=torch.Generator().manual_seed(0))
    for cloud, chosen in zip(points, farthest_point_sample(points, 48), strict=True):
        whole = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud.double().numpy()))
        theirs = whole.farthest_point_down_sample(48)
        assert {tuple(point) for point in np.asarray(theirs.points).tolist()} == {
            tuple(point) for point in cloud[chosen].double().tolist()}
