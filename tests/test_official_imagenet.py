"""ImageNet as it is distributed: found, looked at, read, trained on."""

from __future__ import annotations

import resource
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from official import check_reading, make_imagenet, run_paper
from PIL import Image
from torchvision import transforms

from benchmark.cli.main import main
from benchmark.data.catalogue import Layout, find, prepare, read
from benchmark.data.embedded import DataError
from benchmark.data.listing import Root
from benchmark.data.pictures import clamped_box, decode_picture, middle, random_box
from benchmark.spec.recipes import ModelShape, TrainRecipe
from tasks.imagenet import TASK
from tasks.imagenet.official import LAYOUTS, RESIZE, Pictures, load

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
    cut = np.asarray(middle(Image.fromarray(pixels), (56, 56), RESIZE))
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


def test_a_broken_block_of_exif_is_passed_over_without_a_word(tmp_path):
    """As in some pictures of ImageNet, of which pillow warns without their names."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10), (200, 0, 0)).save(tmp_path / "a.JPEG", exif=exif)
    content = bytearray((tmp_path / "a.JPEG").read_bytes())
    at = content.find(b"Exif\0\0") + 10
    content[at : at + 4] = (0x00FFFFFF).to_bytes(4, "little")  # where its list begins: far behind its end
    (tmp_path / "a.JPEG").write_bytes(content)
    with pytest.warns(UserWarning, match="Corrupt EXIF data"), Image.open(tmp_path / "a.JPEG") as image:
        image.convert("RGB")
    with warnings.catch_warnings(action="error"):
        assert decode_picture(tmp_path / "a.JPEG").size == (20, 10)


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
        "shape.depth": 1, "shape.decoder_depth": 1, "recipe.batch_size": 4, "recipe.accumulation": 2,
        "recipe.precision": "fp32", "pretrain.batch_size": 4, "pretrain.precision": "fp32"}, capsys, limit=4)
    assert TASK.profiles["paper"].num_classes == 1000


def test_layouts_are_described():
    assert isinstance(LAYOUT, Layout)
    assert "ROOT/train" in LAYOUT.description


HALF = np.zeros((48, 60, 3), np.uint8)
HALF[:24] = 200
GREY = np.linspace(0, 65535, 48 * 60).reshape(48, 60).astype(np.uint16)


def saved(path: Path, picture: Image.Image, form: str | None = None, **options) -> np.ndarray:
    """Pixels of a file that pillow writes, as we read it"""
    picture.save(path, form, **options)
    return np.asarray(decode_picture(path)).astype(int)


@pytest.mark.parametrize(("name", "form"), [("a.png", "PNG"), ("a.tif", "TIFF"), ("a.pgm", "PPM"), ("named.JPEG", "PNG")])
def test_sixteen_bits_of_grey_are_scaled_to_eight(tmp_path, name, form):
    pixels = saved(tmp_path / name, Image.fromarray(GREY), form)
    assert (pixels == (GREY / 257).round()[:, :, None]).all()


def test_twelve_bits_of_grey_in_a_tiff_are_scaled_by_their_own_white(tmp_path):
    grey = (GREY // 16).astype(int)
    pairs = grey.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    data = packed.astype(np.uint8).tobytes()
    tags = [(256, 3, 60), (257, 3, 48), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
            (278, 3, 48), (279, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries
                                     + bytes(4))
    assert (np.asarray(decode_picture(tmp_path / "a.tif")) == (grey / 4095 * 255).round()[:, :, None]).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_in_planes_of_their_own_are_read_or_refused(tmp_path, bits):
    values = HALF if bits == 8 else HALF.astype("<u2") * 257
    planes = [np.ascontiguousarray(values[..., channel]).tobytes() for channel in range(3)]
    size, lists = len(planes[0]), 8 + 3 * len(planes[0])
    tags = [(256, 3, 1, 60), (257, 3, 1, 48), (258, 3, 3, lists), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, lists + 8),
            (277, 3, 1, 3), (278, 3, 1, 48), (279, 4, 3, lists + 20), (284, 3, 1, 2)]
    (tmp_path / "a.tif").write_bytes(b"".join([
        b"II*\0", struct.pack("<I", lists + 32), *planes, struct.pack("<4H", bits, bits, bits, 0),
        struct.pack("<3I", 8, 8 + size, 8 + 2 * size), struct.pack("<3I", size, size, size), struct.pack("<H", len(tags)),
        *(struct.pack("<HHII", *tag) for tag in tags), bytes(4)]))
    if bits == 8:
        assert (np.asarray(decode_picture(tmp_path / "a.tif")) == HALF).all()
    else:
        with pytest.raises(DataError, match=r"a\.tif has more than 8 bits, and its colours in planes of their own, .*convert"):
            decode_picture(tmp_path / "a.tif")


def test_white_is_zero_where_a_tiff_says_so(tmp_path):
    for values, white in ((HALF[..., 0], 255), (HALF[..., 0].astype(np.uint16) * 257, 65535)):
        Image.fromarray(values).save(tmp_path / "a.tif")
        data = bytearray((tmp_path / "a.tif").read_bytes())
        at = data.index(struct.pack("<HHI", 262, 3, 1))
        data[at + 8 : at + 12] = struct.pack("<I", 0)
        (tmp_path / "a.tif").write_bytes(data)
        assert (np.asarray(decode_picture(tmp_path / "a.tif"))[..., 0] == 255 - HALF[..., 0]).all(), white


def test_big_endian_grey_and_pictures_without_a_known_white(tmp_path):
    path = tmp_path / "a.tif"
    Image.frombytes("I;16B", (60, 48), GREY.astype(">u2").tobytes()).save(path)
    assert (np.asarray(decode_picture(path)) == (GREY / 257).round()[:, :, None]).all()
    for mode, dtype in (("I", np.int32), ("F", np.float32)):
        Image.fromarray(GREY.astype(dtype)).save(path)
        assert Image.open(path).mode == mode
        with pytest.raises(DataError, match=r"a\.tif has 32 bits a pixel"):
            decode_picture(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("name", "form"), [("a.JPEG", "JPEG"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")])
def test_no_format_is_turned_by_its_exif(tmp_path, name, form, orientation):
    """Pillow by itself turns TIFF, and leaves the others. Of 5 to 8, in modes that it maps into memory, it mixes up rows."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pictures = [Image.fromarray(HALF)]
    if form == "TIFF":
        pictures += [Image.fromarray(GREY), *(pictures[0].convert(mode) for mode in ("L", "CMYK", "RGBA"))]
    for picture in pictures:
        kept = saved(tmp_path / name, picture, form)
        assert (saved(tmp_path / name, picture, form, exif=exif) == kept).all()
        assert kept.shape == (48, 60, 3)
        assert Image.open(tmp_path / name).getexif().get(0x0112) == orientation


def test_an_input_that_is_no_number_is_told_by_its_file(root):
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE).take(4)
    batch = train.batch(torch.tensor([3, 1]))
    assert train.odd_input(batch) == ""
    batch["input"] = batch["input"].float()
    batch["input"][1, 0, 0, 0] = torch.inf
    path = root / train.items[int(train.columns["input"][1])].path
    assert path.is_file()
    assert train.odd_input(batch) == f"the input of {path} has NaN or infinity; correct it, or leave it out"


def test_every_other_mode_is_the_picture_it_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture, half = Image.fromarray(HALF), HALF.astype(int)
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    grey_alpha = Image.fromarray(np.dstack([HALF[..., 0], np.full((48, 60), 128, np.uint8)]))
    for name, made, form, options in (
            ("cmyk.JPEG", picture.convert("CMYK"), "JPEG", {}), ("really_png.JPEG", picture, "PNG", {}),
            ("turned.JPEG", picture, "JPEG", {"exif": exif}), ("palette.png", palette, "PNG", {"transparency": 0}),
            ("grey_alpha.png", grey_alpha, "PNG", {}), ("rgba.png", picture.convert("RGBA"), "PNG", {}),
            ("a.webp", picture, "WEBP", {"lossless": True}), ("a.bmp", picture, "BMP", {}), ("a.ppm", picture, "PPM", {}),
            ("a.tif", picture, "TIFF", {}), ("progressive.JPEG", picture, "JPEG", {"progressive": True})):
        pixels = saved(tmp_path / name, made, form, **options)
        assert pixels.shape == (48, 60, 3), f"{name} stays as it is stored, turned or not"
        assert abs(pixels - half).max() <= 24, name
    assert (saved(tmp_path / "bit.png", Image.fromarray(HALF[..., 0] > 0)) == half // 200 * 255).all()
    (tmp_path / "tail.JPEG").write_bytes((tmp_path / "turned.JPEG").read_bytes() + b"\0" * 500)
    assert np.asarray(decode_picture(tmp_path / "tail.JPEG")).shape == (48, 60, 3)
    raw = bytearray((tmp_path / "turned.JPEG").read_bytes())
    at = raw.find(b"Exif\0\0")
    raw[at + 10 : at + 14] = (0x00FFFFFF).to_bytes(4, "little")  # a directory far behind the block
    (tmp_path / "broken_exif.JPEG").write_bytes(raw)
    assert np.asarray(decode_picture(tmp_path / "broken_exif.JPEG")).shape == (48, 60, 3)


@pytest.mark.parametrize("size", [(1, 6000), (6000, 1), (2, 3), (1, 1), (3000, 7)])
def test_long_and_tiny_pictures_cost_what_they_give(tmp_path, size):
    Image.fromarray(np.full((*size[::-1], 3), 90, np.uint8)).save(tmp_path / "a.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for random in (None, np.random.default_rng(0)):
        for reader in (Pictures(crop=0.92, flip=0.5), Pictures(clamped_crop=0.92)):
            made = reader.read(tmp_path / "a.png", random)["input"]
            assert made.shape == (3, 224, 224)
            assert (made == 90).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (341, 256), (257, 300), (640, 427), (123, 400), (224, 224),
                                  (70, 9000)])
def test_the_middle_is_torchvisions(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    theirs = transforms.Compose([transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224)])
    ours = np.asarray(middle(picture, (224, 224), RESIZE)).astype(int)
    difference = abs(ours - np.asarray(theirs(picture)))
    assert difference.max() == 0 if max(size) < 9000 else difference.mean() < 12, "of the longest, the part alone is resized"


def test_cuts_of_the_linear_probe_are_clamped_and_of_fine_tuning_drawn_again():
    random = np.random.default_rng(0)
    boxes = {box_of: np.array([box_of((500, 375), 0.08, random) for _ in range(4000)]) for box_of in (random_box, clamped_box)}
    high, area = {}, {}
    for box_of, found in boxes.items():
        wide, tall = (found[:, 2:] - found[:, :2]).T
        assert (found[:, :2] >= 0).all()
        assert (found[:, 2:] <= (500, 375)).all()
        high[box_of], area[box_of] = (tall == 375).mean(), (wide * tall / (500 * 375)).mean()
    assert high[clamped_box] == pytest.approx(0.256, abs=0.02)  # of MAE's own class; and the mean of its areas
    assert high[random_box] == pytest.approx(0.007, abs=0.005)
    assert area[clamped_box] == pytest.approx(0.518, abs=0.012)
    assert area[random_box] == pytest.approx(0.435, abs=0.012)


@pytest.mark.parametrize(("content", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 100\n", "pointer of Git LFS"),
    (b"<!DOCTYPE html><html>Please log in", "a page of the web"), (b"", "empty or blank"), (b"\n\n", "empty or blank"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "text, which begins with '%!PS-Adobe"),
    (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "text, which begins with '<.xml"),
    (b"\0\0\0\x18ftypheic" + bytes(99), "HEIC or AVIF"), (b"\x1f\x8b\x08" + bytes(99), "an archive; unpack it first"),
    (bytes(600), "nothing but zeros"), (b"\xff" * 99, "cannot identify"),
])
def test_what_lies_in_a_pictures_place_is_named_and_no_program_started(tmp_path, content, said, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    (tmp_path / "a.JPEG").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.JPEG cannot be read: .*{said}"):
        decode_picture(tmp_path / "a.JPEG")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("options", [{"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "WEBP"},
                                     {"format": "WEBP", "lossless": True}], ids=str)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_picture_whose_end_is_zeros_is_not_whole(tmp_path, options, share):
    noise = np.random.default_rng(0).integers(0, 256, (99, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.JPEG", **options)
    whole = (tmp_path / "a.JPEG").read_bytes()
    (tmp_path / "a.JPEG").write_bytes(whole[: int(share * len(whole))].ljust(len(whole), b"\0"))
    with pytest.raises(DataError, match=r"a\.JPEG is not whole: it ends in zeros"):
        decode_picture(tmp_path / "a.JPEG")


def test_zeros_after_the_end_of_a_picture_and_black_pictures_are_whole(tmp_path):
    for name, options in (("a.JPEG", {"format": "JPEG"}), ("b.JPEG", {"format": "BMP"}), ("c.JPEG", {"format": "WEBP"})):
        Image.new("RGB", (60, 48)).save(tmp_path / name, **options)
    (tmp_path / "a.JPEG").write_bytes((tmp_path / "a.JPEG").read_bytes() + bytes(5000))
    for path in tmp_path.iterdir():
        assert not np.asarray(decode_picture(path)).any()


def test_folders_below_a_class_are_part_of_it_and_pictures_beside_classes_named(root):
    plain = prepare(LAYOUT, root)
    (root / "train/n00000001/images").mkdir()
    (root / "train/n00000001/train_5.JPEG").rename(root / "train/n00000001/images/train_5.JPEG")
    prepared = prepare(LAYOUT, root)
    assert prepared.faults() == []
    assert sum(prepared.counts.values()) == sum(plain.counts.values()), "as ImageFolder finds them"
    for path in sorted((root / "val").rglob("*.*")):
        path.rename(root / "val" / f"{path.parent.name}_{path.name}")
    for path in (root / "val").iterdir():
        if path.is_dir():
            path.rmdir()
    with pytest.raises(DataError, match=r"val has no folder of a class, and 12 pictures that are to be sorted"):
        prepare(LAYOUT, root)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_of_any_channels_are_the_upper_eight(tmp_path, channels):
    """Grey, grey with alpha, colour and colour with alpha, written by hand, as pillow writes grey alone"""
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    values = np.zeros((48, 60, channels), ">u2")
    values[:24] = 200 * 257
    if channels in {2, 4}:
        values[..., -1] = 65535
    header = struct.pack(">IIBBBBB", 60, 48, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    assert (np.asarray(decode_picture(tmp_path / "a.png")) == HALF).all()


@pytest.mark.parametrize(("most", "value", "expected"), [(1023, 800, 199), (4095, 4095, 255), (300, 150, 127)])
def test_grey_of_any_number_of_bits_is_scaled_by_its_white(tmp_path, most, value, expected):
    values = np.full((48, 60), value, ">u2")
    (tmp_path / "a.pgm").write_bytes(f"P5\n60 48\n{most}\n".encode() + values.tobytes())
    assert abs(np.asarray(decode_picture(tmp_path / "a.pgm")).astype(int) - expected).max() <= 1
