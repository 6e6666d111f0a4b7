"""Kinetics-400 in VideoMAE's layout: listed, looked at, decoded to the frame, cut, trained on."""

from __future__ import annotations

import random as python_random
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from official import NARROW, check_faults, check_reading, make_kinetics, run_paper
from PIL import Image

from benchmark.bench.imitations import write_video
from benchmark.cli.main import main
from benchmark.data.augment import view_windows, window_starts
from benchmark.data.catalogue import prepare
from benchmark.data.embedded import DataError
from benchmark.data.listing import Root
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe
from benchmark.train.feed import random_of
from tasks.kinetics import SINGLE_FRAME, TASK
from tasks.kinetics.official import LAYOUTS, Clips, load, load_pool, multi_scale_box, read_list, resized
from tasks.kinetics.video import Video, look

(LAYOUT,) = LAYOUTS
SHAPE = ModelShape(input_size=(16, 32, 32), patch_size=(2, 16, 16))
RECIPE = TrainRecipe(epochs=1, batch_size=4, lr=1e-3, augment={"crop": 0.92, "flip": 0.5, "rand_augment": 7.0, "erase": 0.25},
                     test_views={"temporal": 5, "spatial": 3})
PRETRAIN = PretrainRecipe(epochs=1, batch_size=4, lr=1e-3, augment={"multi_scale": 0.34})
CODECS = {"b-frames.mp4": ("libx264", {"g": "24", "bf": "3"}),
          "open-gop.mp4": ("libx264", {"x264-params": "open-gop=1:keyint=12:b-pyramid=2:bframes=3:log-level=none"}),
          "hevc.mp4": ("libx265", {"x265-params": "keyint=12:bframes=3:log-level=none"}),
          "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "12"}),
          "b-frames.mkv": ("libx264", {"g": "12", "bf": "2"}),
          "mpeg4.avi": ("mpeg4", {"g": "12", "bf": "2"}),
          "b-frames.avi": ("libx264", {"g": "12", "bf": "2"})}


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    return make_kinetics(tmp_path_factory.mktemp("data") / "kinetics")


@pytest.fixture
def root(made, tmp_path, monkeypatch) -> Path:
    """A copy that may be damaged; the absolute path of its list leads into it."""
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    for path in made.rglob("*.*"):
        copy = tmp_path / "kinetics" / path.relative_to(made)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        if path.suffix == ".csv":
            content = content.replace(str(made).encode(), str(tmp_path / "kinetics").encode())
        copy.write_bytes(content)
    return tmp_path / "kinetics"


@pytest.fixture
def clip(tmp_path) -> Path:
    write_video(tmp_path / "clip.mp4", 90)
    return tmp_path / "clip.mp4"


def all_frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def some_frames(path: Path, numbers: list[int]) -> list[np.ndarray]:
    with Video(path) as video:
        return [np.asarray(picture) for picture in video.frames(numbers)]


# Lists

def test_every_video_is_found_and_the_validation_split_is_a_part_of_train(root):
    prepared = prepare(LAYOUT, root)
    assert prepared.counts["train"] + prepared.counts["val"] == 12
    assert prepared.counts["test"] == 3
    assert prepared.counts["val"] > 0
    assert not prepared.missing
    assert not prepared.unreadable
    assert len(prepared.classes) == 400
    assert prepare(LAYOUT, root, jobs=2).digest == prepared.digest
    write_video(root / "val/abseiling/0.mp4", 12)
    assert prepare(LAYOUT, root).digest != prepared.digest
    assert load([LAYOUT.name])["test"].columns["label"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("line", "path", "label"), [
    ("a/b.mp4 7", "a/b.mp4", "7"), ("a b/c d.mp4 399", "a b/c d.mp4", "399"), ('"a b/c.mp4" 3', "a b/c.mp4", "3"),
    ('"a ""b""/c.mp4" 3', 'a "b"/c.mp4', "3"), ("a/b.mp4 0 -1", "a/b.mp4", "-1"), ("./a/b.mp4\t0", "a/b.mp4", "0"),
    ("/elsewhere/b.mp4 1", "/elsewhere/b.mp4", "1"), ("ROOT/a.mp4 1", "a.mp4", "1"), ("jährlich.mp4 1", "jährlich.mp4", "1"),
    ("a 1 0", "a 1", "0"),
    ("a\\b c.mp4 007", "a/b c.mp4", "7"), ("a/b\\c.mp4 1", "a/b\\c.mp4", "1"), ("\ufeffa.mp4 1\r\n\r\n", "a.mp4", "1")])
def test_lines_are_read_as_they_are_published(tmp_path, line, path, label):
    (tmp_path / "train.csv").write_bytes(line.replace("ROOT", str(tmp_path)).encode())
    [entry] = read_list(Root(tmp_path), "train.csv")
    assert (entry.path, entry.label) == (path, label)


@pytest.mark.parametrize("line", ["a.mp4", "path label", "a.mp4 400", "a.mp4 -1", "a.mp4,3", "label,youtube_id,time_start",
                                  "a.mp4 3.5", "a.mp4 1000000000", " 3", "a.mp4 ٣", "\udcff"])
def test_malformed_lines_are_named(tmp_path, line):
    (tmp_path / "train.csv").write_bytes(b"good.mp4 1\n" + line.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"line 2.*is not 'path label'|cannot be read"):
        read_list(Root(tmp_path), "train.csv")


def test_missing_empty_and_overlapping_lists_are_refused(root):
    content = (root / "val.csv").read_bytes()
    for damage, said in ((b"", "is empty"), (b"\n \r\n", "is empty"), (b"a.mp4 0 -1", "without a label"),
                         (content + b"train/abseiling/4.mp4 0", "are in train.csv too")):
        (root / "val.csv").write_bytes(damage)
        with pytest.raises(DataError, match=said):
            prepare(LAYOUT, root)
    (root / "val.csv").unlink()
    with pytest.raises(DataError, match=r"val\.csv cannot be read"):
        prepare(LAYOUT, root)


def test_a_list_without_labels_serves_pretraining_alone(root):
    lines = (root / "train.csv").read_text().replace(" 1\n", " 0 -1\n").replace(" 0\n", " 0 -1\n")
    (root / "train.csv").write_text(lines)
    prepare(LAYOUT, root)
    assert set(load_pool([LAYOUT.name]).columns) == set(TASK.load_pretraining("paper").columns) == {"input"}
    with pytest.raises(DataError, match="train: a list without labels"):
        load([LAYOUT.name])


# Files

def test_faults_are_named_and_nothing_is_trained_on_until_told(root, tmp_path, monkeypatch):
    write_video(root / "front.mp4", container={"movflags": "faststart"})
    for name, part in (("front.mp4", 0.7), ("train/abseiling/6.mp4", 0.7), ("train/abseiling/2.webm", 0.5)):
        (root / name).write_bytes((root / name).read_bytes()[: int(part * (root / name).stat().st_size)])
    (root / "train/abseiling/8.mp4").write_bytes(b"")
    (root / "train/abseiling/10.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    (root / "train/riding a bike/5.mp4").unlink()
    Image.new("RGB", (20, 20)).save(root / "picture.png")
    with (root / "train.csv").open("a") as file:
        file.write("front.mp4 0\n../../etc/passwd 0\n/etc/passwd 0\npicture.png 1\ntrain/riding a bike/3.mp4 2\n"
                   f"{tmp_path}/kinetics/../../../etc/passwd 1\n")
    prepared = prepare(LAYOUT, root)
    check_faults(prepared, ["train/riding a bike/5.mp4"], (
        ("front.mp4", "truncated"), ("6.mp4", "cannot be read"), ("2.webm", "truncated"),
        ("8.mp4", "cannot be read"), ("10.mp4", "cannot be read"), ("../../etc/passwd", "leads out"),
        ("/etc/passwd", "leads out"), ("picture.png", "cannot be read"), ("3.mp4", "listed twice"),
        ("../../../etc/passwd", "leads out"),
    ), 10, monkeypatch)
    assert "% of train missing" in load([LAYOUT.name])["train"].note


@pytest.mark.parametrize("constant", ["MOST_PIXELS", "MOST_FRAMES", "MOST_ASPECT"])
def test_absurd_sizes_are_refused(clip, monkeypatch, constant):
    look(clip)
    monkeypatch.setattr(f"tasks.kinetics.video.{constant}", 1)
    with pytest.raises(DataError, match=r"too large|more than 1 frames"):
        look(clip)


@pytest.mark.parametrize("name", CODECS)
def test_a_frame_that_is_sought_is_the_frame_that_is_reached(tmp_path, name):
    codec, options = CODECS[name]
    write_video(tmp_path / name, 60, codec=codec, options=options)
    look(tmp_path / name)
    expected = all_frames(tmp_path / name)
    assert len(expected) == 60
    assert len({frame.tobytes() for frame in expected}) > 30
    draw = python_random.Random(0)
    some = [sorted(draw.sample(range(60), 4)) for _ in range(8)]
    for numbers in ([0], [59], [11, 12, 13], list(range(60)), [3, 40, 41], *some):
        for found, number in zip(some_frames(tmp_path / name, numbers), numbers, strict=True):
            assert np.array_equal(found, expected[number]), number


def test_past_the_end_the_last_frame_is_shown(tmp_path):
    write_video(tmp_path / "short.mp4", 10)
    expected = all_frames(tmp_path / "short.mp4")
    for clips, random, last in ((Clips((16, 72, 96)), None, 8), (Clips((16, 72, 96)), np.random.default_rng(0), 9)):
        clip = clips.read(tmp_path / "short.mp4", random)["input"]
        assert clip.shape == (3, 16, 72, 96)
        for place, number in enumerate([0, 4, 8] + [last] * 13):
            assert np.array_equal(clip[:, place].permute(1, 2, 0).numpy(), expected[number])


def test_a_frame_that_cannot_be_decoded_is_named_when_looked_at_and_when_read(clip):
    with av.open(str(clip)) as file:
        places = [entry.pos for entry in file.streams.video[0].index_entries]
    content = bytearray(clip.read_bytes())
    content[places[10] : places[14]] = bytes(places[14] - places[10])
    clip.write_bytes(content)
    with pytest.raises(DataError, match=r"clip\.mp4 is damaged"):
        look(clip)
    with pytest.raises(DataError, match=r"clip\.mp4 is damaged: frame \d+ cannot be decoded"):
        Clips((16, 32, 32), temporal=5).read(clip, None)
    clip.write_bytes(b"gone bad")
    with pytest.raises(DataError, match=r"clip\.mp4 cannot be read"):
        Clips((16, 32, 32)).read(clip, None)


# Clips

@pytest.mark.parametrize("size", [(96, 72), (72, 96)], ids=["landscape", "portrait"])
def test_the_tasks_views_are_windows_of_the_strided_and_resized_video(tmp_path, size):
    """What the reader lays side by side is what `view_windows` finds in the whole of the video."""
    write_video(tmp_path / "clip.mp4", 120, size)
    reader = Clips().configured(SHAPE, RECIPE)
    read = reader.read(tmp_path / "clip.mp4", None)["input"][None]
    assert read.shape == (1, 3, 5 * 16, 32, 3 * 32)
    assert read.dtype == torch.uint8
    wanted = (int(size[0] * 32 / 72), int(size[1] * 32 / 72))
    strided = [resized(Image.fromarray(frame), wanted) for frame in all_frames(tmp_path / "clip.mp4")[::4]]
    whole = torch.from_numpy(np.stack(strided)).permute(3, 0, 1, 2)[None]
    views = list(view_windows(read, SHAPE.input_size, RECIPE.test_views))
    assert len(views) == 15
    expected = list(view_windows(whole, SHAPE.input_size, RECIPE.test_views))
    assert all(torch.equal(view, other) for view, other in zip(views, expected, strict=True))
    [single] = view_windows(whole, SHAPE.input_size, {})
    assert torch.equal(Clips((16, 32, 32)).read(tmp_path / "clip.mp4", None)["input"][None], single)


def test_windows_of_a_short_video_repeat_and_none_leaves_it():
    reader = Clips((16, 32, 32), temporal=5)
    assert reader.windows(10) == [0, 4, *[8] * 14] * 5
    for num_frames in (1, 61, 64, 65, 100, 300):
        numbers = np.array(reader.windows(num_frames)).reshape(5, 16)
        assert numbers.max() < num_frames
        assert (np.diff(numbers, axis=1) == 4).all() or num_frames == 1
    assert [row[0] // 4 for row in np.array(reader.windows(300)).reshape(5, 16)] == [0, 14, 29, 44, 59]  # VideoMAE's int()


@pytest.mark.parametrize("num_frames", [1, 3, 10, 60, 64, 65, 70, 250])
def test_clips_of_finetuning_are_those_of_videomae(num_frames):
    """The indices of its `VideoClsDataset.loadvideo_decord`, written down anew from its formula."""
    clips = Clips(spread=True)
    for seed in range(20):
        numbers = clips.clip(num_frames, np.random.default_rng(seed))
        assert len(numbers) == 16
        if num_frames <= 64:
            count = max(num_frames // 4, 1)
            expected = [*np.linspace(0, num_frames, count), *[num_frames] * (16 - count)]
            assert numbers == [min(int(place), num_frames - 1) for place in expected]
        else:
            assert numbers == [min(int(place), numbers[0] + 63) for place in np.linspace(numbers[0], numbers[0] + 64, 16)]
            assert 0 <= numbers[0] <= num_frames - 64
            assert set(np.diff(numbers)) == {4, 5} or numbers[-1] == numbers[0] + 63
    assert window_starts(9, 1) == [4]
    assert window_starts(8, 3) == [0, 4, 8]


def test_all_frames_of_a_clip_are_altered_alike(tmp_path):
    """A still video stays still, under every alteration."""
    with av.open(str(tmp_path / "still.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        pattern = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for _ in range(80):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pattern, format="rgb24")))
        file.mux(stream.encode())
    frame = Image.fromarray(pattern)
    distinct = set()
    reader = Clips().configured(SHAPE, RECIPE)
    for seed in range(8):
        cut = reader.altered(frame.size, np.random.default_rng(seed))
        assert np.array_equal(np.asarray(cut(frame)), np.asarray(cut(frame)))
        clip = reader.read(tmp_path / "still.mp4", np.random.default_rng(seed))["input"].float()
        assert (clip - clip[:, :1]).abs().mean() < 12
        distinct.add(clip.numpy().tobytes())
    assert len(distinct) == 8


def test_copies_are_one_clip_that_is_cut_anew(clip, monkeypatch):
    """As a batch with `repeats` holds them; and every copy is decoded once."""
    reader = Clips((16, 72, 96), flip=0.5)
    [one, *others] = reader.read_copies(clip, [np.random.default_rng(seed) for seed in range(6)])
    assert torch.equal(one["input"], reader.read(clip, np.random.default_rng(0))["input"])
    mirrored = [bool(torch.equal(other["input"], one["input"].flip(-1))) for other in others]
    assert all(flip or torch.equal(other["input"], one["input"]) for flip, other in zip(mirrored, others, strict=True))
    assert 0 < sum(mirrored) < 5


def test_starts_reach_every_part_of_a_video(clip):
    frames = [frame.tobytes() for frame in all_frames(clip)]
    reader, found = Clips((16, 72, 96)), set()
    for seed in range(60):
        read = reader.read(clip, np.random.default_rng(seed))["input"].permute(1, 2, 3, 0).numpy()
        numbers = [frames.index(np.ascontiguousarray(frame).tobytes()) for frame in read]
        assert numbers == list(range(numbers[0], numbers[0] + 61 + 3, 4))
        found.add(numbers[0])
    assert min(found) == 0
    assert max(found) == 90 - 61
    assert len(found) > 20


def test_pretraining_cuts_squares_or_nearly_at_thirteen_places():
    random = np.random.default_rng(0)
    boxes = [multi_scale_box((320, 240), 0.34, random) for _ in range(3000)]
    sides = {(right - left, lower - upper) for left, upper, right, lower in boxes}
    assert {side for pair in sides for side in pair} == {240, 210, 180, 158}
    assert len(sides) == 10
    assert all(left >= 0 and upper >= 0 and right <= 320 and lower <= 240 for left, upper, right, lower in boxes)
    assert len({(left, upper) for left, upper, right, lower in boxes if (right - left, lower - upper) == (180, 180)}) == 13
    assert multi_scale_box((320, 240), 0.0, random)[2:] != (0, 0)
    reader = Clips().configured(SHAPE, PRETRAIN)
    assert (reader.temporal, reader.spatial, reader.rand_augment, reader.multi_scale) == (1, 1, 0.0, 0.34)


def test_reading_depends_on_seed_epoch_and_sample_alone(root, monkeypatch):
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE)
    assert train.remaining(RECIPE.augment) == {"erase": 0.25}
    for batch in check_reading(train, [range(5), range(5, 8), range(3)], ["input"], monkeypatch):
        assert batch["input"].shape[1:] == (3, 16, 32, 32)
        assert batch["input"].dtype == torch.uint8
    test = train.batch(torch.arange(3))
    assert torch.equal(test["input"], train.batch(torch.arange(3))["input"])
    assert len(list(TASK.views(test, SHAPE, RECIPE.test_views))) == 15
    views = list(SINGLE_FRAME.views(test, SHAPE, RECIPE.test_views))
    assert all(torch.equal(view["input"][:, :, 0], view["input"][:, :, 15]) for view in views)


def test_copies_of_stacked_runs_are_those_of_each_run_alone(root, monkeypatch):
    monkeypatch.setenv("M2PT_WORKERS", "0")
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE)
    indices = torch.tensor([1, 2]).repeat(2)

    def read(seeds, chosen):
        return next(train.stream([chosen], draw=partial(random_of, seeds, 0, len(train), 2)))["input"]

    stacked = read((3, 4), indices.repeat(2))
    assert torch.equal(stacked, torch.cat([read(3, indices), read(4, indices)]))
    assert not torch.equal(stacked[:4], stacked[4:])


def test_the_papers_recipes_train_on_it(root, tmp_path, capsys):
    """The paper's tubelets, cut to one narrow block and 32 pixels; real steps, and records with the digest of the files."""
    prepare(LAYOUT, root)
    records = run_paper(["kinetics"], tmp_path / "results", NARROW | {
        "shape.depth": 1, "shape.decoder_depth": 1, "shape.input_size": [16, 32, 32], "recipe.batch_size": 8,
        "recipe.accumulation": 2, "recipe.precision": "fp32", "pretrain.batch_size": 8, "pretrain.accumulation": 2,
        "pretrain.precision": "fp32", "pretrain.mask_ratio": 0.5}, capsys)
    assert all(record.spec.recipe.test_views == {"temporal": 5, "spatial": 3} for record in records)


def test_the_commands_prepare_and_verify_it(root, capsys):
    assert main(["data", "prepare", "kinetics", "--root", str(root)]) == 0
    assert "3 test" in capsys.readouterr().out
    assert main(["data", "verify", "kinetics"]) == 0
    (root / "val.csv").write_text("path label\n")
    assert main(["data", "verify", "kinetics"]) == 2
    assert "val.csv line 1" in capsys.readouterr().err
