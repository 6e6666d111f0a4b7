"""AudioSet-20K in AudioMAE's layout: listed, looked at, read, mixed, dropped in part, trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from official import NARROW, check_faults, check_reading, make_audioset, run_paper

from benchmark.cli.main import main
from benchmark.data.catalogue import prepare
from benchmark.data.embedded import DataError
from benchmark.data.listing import Root
from benchmark.data.seeds import SampleRandom, generator
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe
from tasks.audioset import TASK, official
from tasks.audioset.official import CLASSES, LAYOUTS, Sounds, kept_places, load, look, samples_of
from tasks.audioset.waveform import read_fbank

(LAYOUT,) = LAYOUTS
SHAPE = ModelShape(input_size=(64, 128), patch_size=(16, 16))
RECIPE = TrainRecipe(epochs=1, batch_size=4, lr=1e-3, augment={"gain_db": 2.0, "roll": 1.0, "mix": 0.5, "drop_time": 0.2,
                                                               "drop_frequency": 0.2})
PLAIN = RECIPE.model_copy(update={"augment": {}})


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    monkeypatch.setenv("M2PT_WORKERS", "0")
    return make_audioset(tmp_path / "audioset")


def entries(root: Path, name: str = "train.json") -> list[dict[str, str]]:
    return json.loads((root / name).read_text())["data"]


def rewrite(root: Path, data: object, name: str = "train.json") -> None:
    (root / name).write_text(json.dumps({"data": data}))


def draw(indices):
    return SampleRandom(3, 1, indices)


# Lists

def test_every_sound_is_found_with_all_of_its_classes(root):
    prepared = prepare(LAYOUT, root)
    assert prepared.counts["train"] + prepared.counts["val"] == 16
    assert prepared.counts["test"] == 5
    assert prepared.counts["val"] > 0
    assert len(prepared.classes) == 527
    assert prepared.classes[3] == "Sound 3, or so"
    assert not prepared.missing
    assert not prepared.unreadable
    assert prepare(LAYOUT, root, jobs=2).digest == prepared.digest
    splits = load([LAYOUT.name])
    assert splits["test"].columns["label"].shape == (5, 527)
    assert [row.nonzero()[:, 0].tolist() for row in splits["test"].columns["label"]] == [[0], [1, 2], [2], [0], [1, 2]]
    assert set(TASK.load_pretraining("paper").columns) == {"input"}
    soundfile.write(root / entries(root)[0]["wav"], np.zeros(16000), 16000)
    assert prepare(LAYOUT, root).digest != prepared.digest


def test_the_fingerprint_is_that_of_the_training_inputs(root):
    facts = prepare(LAYOUT, root).facts
    train = load([LAYOUT.name])["train"]
    inputs = torch.stack([read_fbank(root / item.path) for item in train.items]).double()
    assert facts["fbank mean"] == pytest.approx(inputs.mean().item(), abs=1e-3)
    assert facts["fbank std"] == pytest.approx(inputs.std().item(), abs=1e-3)
    assert facts["files measured"] == len(train)


def test_spaces_repeated_classes_and_other_fields_are_taken(root):
    data = entries(root)
    data[0] = {"wav": "./" + data[0]["wav"], "labels": " /m/0002, /m/0000,/m/0002,", "video_id": "x"}
    rewrite(root, data)
    listing = LAYOUT.enumerate_files(Root(root))
    [label] = [entry.label for entry in listing.splits["train"] + listing.splits["val"] if entry.path.endswith("train_0.wav")]
    assert label == "0,2"


@pytest.mark.parametrize(("content", "said"), [
    ("", "malformed"), ("[1]", "malformed"), ("{}", "malformed"), ('{"data": 3}', "malformed"), ('{"data": []}', "is empty"),
    ('{"data": ["a.wav"]}', "malformed"), ('{"data": [{"wav": "a.wav"}]}', "malformed"), ("[" * 100_000, "malformed"),
    ('{"data": [{"wav": "a.wav", "labels": 3}]}', "malformed"),
    ('{"data": [{"wav": "a.wav", "labels": "/m/0001"}], "data": []}', "malformed .*'data' is given twice"),
    ('{"data": [{"wav": "a.wav", "wav": "b.wav", "labels": "/m/0001"}]}', "malformed .*'wav' is given twice"),
    ('{"data": [{"wav": "a.wav", "labels": ","}]}', "class ''"),
    ('{"data": [{"wav": "a.wav", "labels": "/m/0001,/m/none"}]}', r"entry 0, 'a.wav': class '/m/none' is not in")])
def test_malformed_lists_are_refused(root, content, said):
    (root / "train.json").write_text(content)
    with pytest.raises(DataError, match=said):
        prepare(LAYOUT, root)


@pytest.mark.parametrize("content", [
    "", "index,mid\n0,/m/0\n", "index,mid,display_name\n", "index,mid,display_name\n1,/m/0,a\n",
    "index,mid,display_name\nx,/m/0,a\n", "index,mid,display_name\n0,/m/0,a\n1,/m/0,b\n", "index,mid,display_name\n0\n",
    "0,/m/0,a\n", "index,mid,display_name\n" + "".join(f"{i},/m/{i},a\n" for i in range(528))])
def test_malformed_lists_of_classes_are_refused(root, content):
    (root / CLASSES).write_text(content)
    with pytest.raises(DataError, match="list of classes"):
        prepare(LAYOUT, root)


def test_missing_lists_and_pickles_are_refused_with_a_hint(root):
    rewrite(root, [*entries(root, "eval.json"), entries(root)[0]], "eval.json")
    with pytest.raises(DataError, match=r"are in train\.json too"):
        prepare(LAYOUT, root)
    (root / "train.json").rename(root / "train.pkl")
    with pytest.raises(DataError, match=r"train\.json cannot be read.*train\.pkl is not read, as loading a pickle"):
        prepare(LAYOUT, root)


def test_fewer_classes_are_a_problem_that_is_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    prepare(LAYOUT, make_audioset(tmp_path / "few", classes=3))
    assert "has 3 classes" in json.loads((tmp_path / "catalogue" / "audioset_20k.json").read_text())["problems"][0]
    said = r"1 problem of folders and lists \(class_labels_indices\.csv has 3 classes, AudioSet has 527\)"
    with pytest.raises(DataError, match=f"audioset_20k: {said}; see which with: .*--allow-missing"):
        load([LAYOUT.name])
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    train = load([LAYOUT.name])["train"]
    assert train.columns["label"].shape[1] == 527
    assert re.fullmatch(said, train.note)


# Files

def test_faults_are_named_and_nothing_is_trained_on_until_told(root, tmp_path, monkeypatch):
    root = make_audioset(tmp_path / "many", train=60)
    data = entries(root)
    for number, part in ((6, 0.5), (1, 0.7)):
        path = root / data[number]["wav"]
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    (root / data[0]["wav"]).write_bytes(b"")
    (root / data[9]["wav"]).unlink()
    (root / "fbanks.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    soundfile.write(root / "short.wav", np.zeros(300), 16000)
    soundfile.write(root / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    soundfile.write(root / "odd.wav", np.zeros(1000), 100)
    soundfile.write(root / "many.wav", np.zeros((8000, 20)), 16000)
    odd = ["fbanks.pkl", "short.wav", "nan.wav", "odd.wav", "many.wav", "../../etc/passwd", "/etc/passwd",
           f"{root}/../../../../etc/passwd", data[2]["wav"]]
    rewrite(root, [*data, *({"wav": wav, "labels": "/m/0001"} for wav in odd)])
    prepared = prepare(LAYOUT, root)
    check_faults(prepared, [data[9]["wav"]], (
        ("train_6.wav", "truncated"), ("train_1.flac", "cannot be read"), ("train_0.wav", "cannot be read"),
        ("fbanks.pkl", "is a pickle"), ("short.wav", "25 ms"), ("nan.wav", "no numbers"),
        ("odd.wav", "states 100 samples a second"), ("many.wav", "20 channels"), ("../../etc/passwd", "leads out"),
        ("/etc/passwd", "leads out"), ("../../../../etc/passwd", "leads out"), ("train_2.wav", "listed twice"),
    ), 12, monkeypatch)
    assert "% of train missing" in load([LAYOUT.name])["train"].note


def test_stereo_and_8_khz_sounds_are_those_of_one_channel_at_16_khz(tmp_path):
    times = np.arange(16000) / 16000
    sound = 0.3 * np.sin(2 * np.pi * 440 * times)
    soundfile.write(tmp_path / "mono.wav", sound, 16000)
    soundfile.write(tmp_path / "stereo.flac", np.stack([1.5 * sound, 0.5 * sound], 1), 16000)
    soundfile.write(tmp_path / "slow.wav", sound[::2], 8000)
    soundfile.write(tmp_path / "fast.wav", 0.3 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100), 44100)
    mono = samples_of(tmp_path / "mono.wav")
    assert torch.allclose(samples_of(tmp_path / "stereo.flac"), mono, atol=1e-3)
    for name in ("slow.wav", "fast.wav"):
        other = samples_of(tmp_path / name)
        assert other.shape == mono.shape
        assert torch.allclose(other[500:-500], mono[500:-500], atol=0.01)
    fbank = Sounds((1024, 128)).read(tmp_path / "stereo.flac", None)["input"]
    assert fbank.shape == (1024, 128)
    assert fbank.dtype == torch.float32
    assert (fbank[98:] == 0).all()


def test_floats_of_the_size_of_whole_numbers_are_refused_and_loud_ones_read(tmp_path):
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    soundfile.write(tmp_path / "loud.wav", 10 * sound, 16000, subtype="FLOAT")
    assert samples_of(tmp_path / "loud.wav").max() == pytest.approx(3, rel=1e-3)
    soundfile.write(tmp_path / "whole.wav", 32768 * sound, 16000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"whole\.wav has samples up to 9\.8.e\+03, where 1 is full scale: .*; divide them by"):
        samples_of(tmp_path / "whole.wav")


def test_a_streamed_wav_is_not_taken_for_a_truncated_one(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = b"\xff" * 4
    content[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    look(tmp_path / "a.wav")


def test_a_file_that_goes_bad_later_ends_the_run_in_one_line(root):
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE)
    (root / train.items[3].path).write_bytes(b"gone bad")
    with pytest.raises(DataError, match=train.items[3].path):
        list(train.stream([torch.arange(4)]))


# Reading

def test_reading_depends_on_seed_epoch_and_sample_alone(root, monkeypatch):
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE)
    assert train.remaining(RECIPE.augment) == {"gain_db": 2.0, "roll": 1.0}
    for batch in check_reading(train, [range(8), range(8, 12), range(5)], ["input", "label", "ids_keep"], monkeypatch):
        assert set(batch) == {"input", "label", "index", "ids_keep"}
    test = load([LAYOUT.name])["test"].configured(SHAPE, RECIPE)
    batch = test.batch(torch.arange(5))
    assert set(batch) == {"input", "label", "index"}
    assert torch.equal(batch["input"], torch.stack([read_fbank(root / item.path, 64) for item in test.items]))


def test_half_of_the_sounds_are_mixed_with_one_of_the_split_and_so_are_their_labels(root):
    prepare(LAYOUT, root)
    split = load([LAYOUT.name])["train"]
    train = split.configured(SHAPE, RECIPE)
    plain = split.configured(SHAPE, PLAIN).batch(torch.arange(len(split)))
    mixed = shares = 0
    every = torch.arange(len(split))
    for epoch in range(20):
        batch = next(train.stream([every], draw=lambda indices, epoch=epoch: SampleRandom(0, epoch, indices)))
        for index in range(len(split)):
            if torch.equal(batch["input"][index], plain["input"][index]):
                assert torch.equal(batch["label"][index], plain["label"][index])
                continue
            mixed += 1
            own = split.columns["label"][index].nonzero()[0, 0]
            shares += batch["label"][index, own].item() < 1
            assert batch["label"][index].sum() >= 1 - 1e-6
            assert batch["label"][index].max() <= 1 + 1e-6
    assert 0.4 < mixed / (20 * len(split)) < 0.6
    assert shares > 0


def test_a_mixture_is_the_weighted_sum_of_two_waveforms(root):
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE.model_copy(update={"augment": {"mix": 1.0}}))
    reader = train.reader
    sample = reader.read(root / train.items[2].path, np.random.default_rng(5))
    partner, share = int(sample["partner"]), float(sample["share"])
    one, other = (samples_of(root / path) for path in (train.items[2].path, train.items[partner].path))
    assert partner != 2
    assert len(one) == len(other)
    expected = reader.fbank(share * (one - one.mean()) + (1 - share) * (other - other.mean()))
    assert torch.allclose(sample["input"], expected, atol=1e-4)
    batch = reader.join([sample], {"label": train.columns["label"][2:3], "index": torch.tensor([2])}, None)
    assert torch.allclose(batch["label"][0], share * train.columns["label"][2] + (1 - share) * train.columns["label"][partner])
    draws = np.random.default_rng(0)
    values = [float(reader.read(root / train.items[0].path, draws)["share"]) for _ in range(100)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.05)
    assert np.std(values) == pytest.approx(1 / np.sqrt(84), abs=0.03)  # of Beta(10, 10)


def test_sounds_of_other_lengths_and_rates_can_be_mixed(root):
    data = entries(root)
    soundfile.write(root / data[0]["wav"], np.random.default_rng(0).normal(0, 0.1, 44100), 44100)
    prepare(LAYOUT, root)
    train = load([LAYOUT.name])["train"].configured(SHAPE, RECIPE.model_copy(update={"augment": {"mix": 1.0}}))
    batch = next(train.stream([torch.arange(len(train))], draw=draw))
    assert batch["input"].shape == (len(train), 64, 128)
    assert batch["input"].isfinite().all()


def test_no_label_outside_the_share_that_is_trained_on_is_seen(root):
    prepare(LAYOUT, root)
    part = load([LAYOUT.name])["train"].labelled(0.3, True, generator(0, "labels")).configured(SHAPE, RECIPE)
    assert len(part.reader.partners) == len(part) < 8
    assert part.reader.partners == [part.items[place] for place in part.columns["input"].tolist()]
    assert torch.equal(part.reader.labels, part.columns["label"])


def test_dropped_tokens_are_whole_rows_and_columns_of_the_published_numbers():
    shape = TASK.profiles["paper"].shape
    reader = Sounds().configured(shape, TASK.profiles["paper"].train["pretrained"])
    random = SampleRandom(0, 0, torch.arange(3))
    ids = reader.join([{"input": torch.zeros(1)}] * 3, {"index": torch.arange(3)}, random)["ids_keep"]
    assert ids.shape == (3, 306)
    assert (ids.diff(dim=1) > 0).all()
    for row in ids:
        assert row.max() < 512
        assert len((row // 8).unique()) == 51
        assert len((row % 8).unique()) == 6
    assert not torch.equal(ids[0], ids[1])
    assert "ids_keep" not in reader.join([{"input": torch.zeros(1)}] * 3, {"index": torch.arange(3)}, None)
    assert kept_places(random, "drop_time", 2, 0.9).shape == (3, 1)


def test_strengths_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="probability"):
        Sounds().configured(SHAPE, RECIPE.model_copy(update={"augment": {"mix": 2.0}}))
    with pytest.raises(ValueError, match="shares below 1"):
        Sounds().configured(SHAPE, RECIPE.model_copy(update={"augment": {"drop_time": 1.0}}))
    with pytest.raises(ValueError, match="masked pretraining"):
        Sounds().configured(SHAPE, PretrainRecipe(epochs=1, batch_size=4, lr=1e-3, augment={"drop_time": 0.2}))


def test_the_cache_changes_nothing_and_survives_damage(root, tmp_path, monkeypatch):
    prepare(LAYOUT, root)
    expected = load([LAYOUT.name])["test"].configured(SHAPE, RECIPE).batch(torch.arange(5))["input"]
    assert not (tmp_path / "catalogue" / "fbanks").exists()
    monkeypatch.setenv("M2PT_FBANK_CACHE", "1")
    test = load([LAYOUT.name])["test"].configured(SHAPE, RECIPE)
    assert torch.equal(test.batch(torch.arange(5))["input"], expected)
    kept = sorted((tmp_path / "catalogue" / "fbanks").rglob("*.npy"))
    assert len(kept) == 5
    for path in kept:
        assert np.load(path, allow_pickle=False).shape == (64, 128)
    damages = (lambda c: b"", lambda c: c[:200], lambda c: c[:300] + b"\x01" + c[301:], lambda c: b"x" * 500,
               lambda c: c + b"x")
    for path, damage in zip(kept, damages, strict=True):
        path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(test.batch(torch.arange(5))["input"], expected)
    assert all(np.load(path, allow_pickle=False).shape == (64, 128) for path in kept)
    soundfile.write(root / test.items[0].path, np.random.default_rng(1).normal(0, 0.1, 16000), 16000)
    with pytest.raises(DataError, match="has changed since it was prepared"):
        test.batch(torch.arange(1))
    (tmp_path / "catalogue" / "fbanks").rename(tmp_path / "catalogue" / "old")
    (tmp_path / "catalogue" / "fbanks").write_text("in the way")
    assert torch.equal(test.batch(torch.arange(1, 5))["input"], expected[1:])


@pytest.mark.parametrize("changed", ["code", "package"])
def test_what_other_code_or_packages_kept_is_made_again(root, monkeypatch, changed):
    monkeypatch.setenv("M2PT_FBANK_CACHE", "1")
    prepare(LAYOUT, root)

    def read() -> torch.Tensor:
        return load([LAYOUT.name])["test"].configured(SHAPE, RECIPE).batch(torch.arange(5))["input"]

    expected, make = read(), official.kaldi_fbank
    monkeypatch.setattr(official, "kaldi_fbank", lambda samples, bins: 2 * make(samples, bins))
    assert torch.equal(read(), expected), "what was kept is read"
    if changed == "code":
        trees = dict(official.reachable_code(official.MADE_BY)) | {"tasks.audioset.sound": "0" * 64}
        monkeypatch.setattr(official, "reachable_code", lambda names: trees.items())
    else:
        monkeypatch.setattr(official, "version", lambda name: "9.9" if name == "torchaudio" else "1.0")
    again = read()
    assert not torch.equal(again, expected)
    monkeypatch.delenv("M2PT_FBANK_CACHE")
    assert torch.equal(read(), again)


def test_the_papers_recipes_train_on_it(root, tmp_path, capsys):
    """The paper's patches, cut to one narrow block and 192 frames; real steps, and records with the digest of the files."""
    prepare(LAYOUT, root)
    records = run_paper(["audioset"], tmp_path / "results", NARROW | {
        "shape.depth": 1, "shape.decoder_depth": 1, "shape.input_size": [192, 128], "recipe.batch_size": 8,
        "recipe.precision": "fp32", "pretrain.batch_size": 8, "pretrain.precision": "fp32"}, capsys)
    for record in records:
        assert record.spec.recipe.mixup == 0
        absent = [row.value for row in record.measurements if (row.split, row.metric) == ("test", "classes without positives")]
        assert absent[-1] == 524


def test_the_commands_prepare_verify_and_show_it(root, capsys):
    assert main(["data", "prepare", "audioset", "--root", str(root)]) == 0
    assert "5 test" in capsys.readouterr().out
    assert main(["data", "stats", "audioset"]) == 0
    assert "fbank mean: " in capsys.readouterr().out
    (root / entries(root)[0]["wav"]).unlink()
    assert main(["data", "verify", "audioset"]) == 1
    (root / "train.json").write_text("{")
    assert main(["data", "verify", "audioset"]) == 2
    assert "train.json is malformed" in capsys.readouterr().err


def test_masks_of_filter_banks_are_audiomaes(root):
    """0 before it is normalised, as what a short sound is filled up with, and narrower than the strength."""
    indices = torch.arange(400)
    stored = torch.full((400, 1024, 128), -30.0)
    strengths = {"time_mask": 192.0, "freq_mask": 48.0}
    masked = TASK.augment({"input": stored}, SampleRandom(0, 0, indices), strengths)["input"][:, 0]
    plain, silence = (torch.tensor(-30.0) + 4.2677393) / (2 * 4.5689974), 4.2677393 / (2 * 4.5689974)
    assert silence == pytest.approx(0.467, abs=1e-3)
    found = (masked - silence).abs() < 1e-6
    assert torch.allclose(masked[~found], plain)
    widths = found.all(2).sum(1), found.all(1).sum(1)
    assert [int(width.max()) for width in widths] == [191, 47]
    assert [int(width.min()) for width in widths] == [0, 0]
