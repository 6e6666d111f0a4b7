"""The video task: its facts and shortcuts are those of its data, its parts fit at tiny and at full size."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from benchmark.data import embedded
from benchmark.data.augment import view_windows
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import TransformerModel
from benchmark.model.mae import MaskedAutoencoder, random_masking
from benchmark.spec.recipes import SETTINGS
from tasks.kinetics import SINGLE_FRAME, TASK

TINY, PAPER = TASK.profiles["tiny"], TASK.profiles["paper"]


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return embedded.arrays_of("video_actions")


def accuracy_of_lookup(keys: dict[str, list], arrays: dict[str, np.ndarray]) -> float:
    """Percent right on test when every key answers its most frequent training class; unseen keys the overall one."""
    by_key: defaultdict[object, Counter] = defaultdict(Counter)
    for key, label in zip(keys["train"], arrays["y_train"], strict=True):
        by_key[key][label] += 1
    fallback = Counter(arrays["y_train"]).most_common(1)[0][0]
    answers = [by_key[key].most_common(1)[0][0] if key in by_key else fallback for key in keys["test"]]
    return 100 * float(np.mean(answers == arrays["y_test"]))


def test_chance_is_the_share_of_the_largest_class_of_the_test_split():
    counts = TASK.load("tiny")["test"].columns["label"].bincount(minlength=TINY.num_classes)
    assert TINY.chance == pytest.approx(100 * counts.max().item() / counts.sum().item(), abs=0.005)
    assert len(counts) == TINY.num_classes


def test_source_shortcut_is_what_the_game_alone_tells(arrays):
    keys = {split: arrays[f"source_{split}"].tolist() for split in ("train", "test")}
    assert TINY.shortcuts["source"] == pytest.approx(accuracy_of_lookup(keys, arrays), abs=0.05)


def test_timing_shortcut_is_what_the_repeated_frames_alone_tell(arrays):
    def repeats(clips: np.ndarray) -> list[bytes]:
        flat = clips.reshape(len(clips), 8, -1)
        same = [(flat[:, late] == flat[:, early]).all(1) for late in range(8) for early in range(late)]
        return [row.tobytes() for row in np.stack(same, 1)]

    keys = {split: repeats(arrays[f"x_{split}"]) for split in ("train", "test")}
    assert TINY.shortcuts["timing"] == pytest.approx(accuracy_of_lookup(keys, arrays), abs=0.05)


def test_splits_share_no_character(arrays):
    groups = {split: set(arrays[f"group_{split}"].tolist()) for split in ("train", "val", "test")}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["val"]
    assert not groups["val"] & groups["test"]


def test_clips_are_channels_first_and_in_time_order(arrays):
    clips = TASK.load("tiny")["val"].columns["input"]
    assert clips.shape == (276, 3, 8, 32, 32)
    assert np.array_equal(clips[5, :, 3].permute(1, 2, 0).numpy(), arrays["x_val"][5, 3])


def test_pretraining_sees_the_training_split_without_labels():
    assert {name: len(column) for name, column in TASK.load_pretraining("tiny").columns.items()} == {"input": 1667}


def test_digests_name_the_data_that_is_used():
    assert set(TASK.data_digests("tiny")) == set(TINY.data_sets)


def test_official_data_that_is_not_prepared_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path))
    for ask in (TASK.load, TASK.load_pretraining, TASK.data_digests):
        with pytest.raises(embedded.DataError, match="data set kinetics400 is not prepared"):
            ask("paper")


def test_views_are_the_clip_and_its_mirror_image():
    batch = TASK.load("tiny")["val"].batch(torch.arange(3))
    plain, mirrored = TASK.views(batch, TINY.shape, {"mirror": 2})
    assert torch.equal(plain["input"].flip(-1), mirrored["input"])
    assert torch.equal(plain["label"], mirrored["label"])


def test_embedded_clips_are_tested_at_nine_places_and_mirrored():
    batch = TASK.load("tiny")["val"].batch(torch.arange(3))
    views = [view["input"] for view in TASK.views(batch, TINY.shape, TINY.train["pretrained"].test_views)]
    (clip,) = (view["input"] for view in TASK.views(batch, TINY.shape, {}))
    assert len(views) == 18
    assert {view.shape for view in views} == {clip.shape}
    assert torch.equal(views[0], clip), "what looks at one view sees the clip itself"
    assert torch.equal(views[9], clip.flip(-1))
    assert torch.equal(views[1][..., 2:, 2:], clip[..., :-2, :-2]), "two pixels down and to the right"
    assert torch.equal(views[1][..., 0, 2:], clip[..., 0, :-2]), "the edge is repeated"
    assert torch.equal(views[8][..., :-2, :-2], clip[..., 2:, 2:])
    assert len({view.numpy().tobytes() for view in views}) == 18
    with pytest.raises(ValueError, match="shift is odd"):
        next(TASK.views(batch, TINY.shape, {"shift": 2}))


def test_a_longer_and_wider_video_has_five_views_in_time_times_three_in_space():
    video = torch.arange(20 * 34 * 40).view(1, 1, 20, 34, 40)
    views = list(view_windows(video, (8, 32, 32), {"temporal": 5, "spatial": 3}))
    corners = [(int(view[0, 0, 0, 0, 0]) // (34 * 40), int(view[0, 0, 0, 0, 0]) % 40) for view in views]
    assert corners == [(time, left) for time in (0, 3, 6, 9, 12) for left in (0, 4, 8)]
    assert {view.shape for view in views} == {(1, 1, 8, 32, 32)}
    assert all(torch.equal(view, video[:, :, time : time + 8, 1:33, left : left + 32])
               for view, (time, left) in zip(views, corners, strict=True))
    [middle] = view_windows(video, (8, 32, 32), {})
    assert torch.equal(middle, video[:, :, 6:14, 1:33, 4:36])


def test_views_follow_the_longer_side():
    tall = torch.arange(6 * 4).view(1, 1, 6, 4)
    assert [int(view[0, 0, 0, 0]) for view in view_windows(tall, (4, 4), {"spatial": 3})] == [0, 4, 8]


@pytest.mark.parametrize("counts", [{"temporal": 2}, {"spatial": 3}, {"mirror": 3}, {"zoom": 2}])
def test_views_that_would_repeat_or_are_unknown_raise(counts):
    with pytest.raises(ValueError, match="test_views"):
        list(view_windows(torch.zeros(1, 3, 8, 32, 32), (8, 32, 32), counts))


def test_single_frame_control_shows_the_middle_frame_only():
    batch = TASK.load("tiny")["train"].batch(torch.arange(4))
    clip, still = TASK.augment(batch, None, {})["input"], SINGLE_FRAME.augment(batch, None, {})["input"]
    assert torch.equal(still, clip[:, :, 4:5].expand_as(clip))
    views = list(SINGLE_FRAME.views(batch, TINY.shape, {"mirror": 2}))
    assert len(views) == 2
    assert all(torch.equal(view["input"][:, :, 0], view["input"][:, :, 7]) for view in views)
    assert SINGLE_FRAME.name != TASK.name
    assert SINGLE_FRAME.pretrained_by == TASK.name


def test_model_of_paper_scale_turns_16_frames_into_1568_tokens():
    shape = PAPER.shape
    with torch.device("meta"):
        model = TransformerModel(TASK.tokenizer(shape), TASK.head(shape, 400, "pretrained"), shape)
        batch = {"input": torch.empty(1, 3, 16, 224, 224)}
        assert model.tokenizer(batch).embedded.shape == (1, 1568, 768)
        assert model(batch).shape == (1, 400)
    trained = {name: weight.numel() for name, weight in model.named_parameters() if weight.requires_grad}
    assert "tokenizer.cls_token" not in trained
    key_biases = 12 * 768  # VideoMAE has none: they shift all scores of a query alike, so that softmax ignores them
    assert sum(trained.values()) - key_biases == 86_534_800


def test_masked_autoencoder_of_paper_scale_keeps_20_tubes():
    shape, x = PAPER.shape, torch.zeros(1, 3, 16, 224, 224)
    with torch.no_grad():
        tokens = TASK.tokenizer(shape)({"input": x})
    target = TASK.masked_target(shape)
    assert target.target(tokens, torch.arange(1400)[None]).shape == (1, 1400, 1536)
    assert target.decoder_position(tokens).shape == (1, 1568, 384)
    noise = target.mask_noise(tokens, SampleRandom(0, 0, torch.arange(1)))
    ids_keep, _ = random_masking(noise, PAPER.pretrain.mask_ratio, target.mask_group)
    assert ids_keep.shape == (1, 160)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("task", [TASK, SINGLE_FRAME], ids=lambda t: t.name)
def test_one_tiny_batch_gives_a_loss_and_gradients(task, setting):
    split, recipe = task.load("tiny")["train"], TINY.train[setting]
    model = TransformerModel(task.tokenizer(TINY.shape), task.head(TINY.shape, TINY.num_classes, setting), TINY.shape)
    batch = task.augment(split.batch(torch.arange(8)), SampleRandom(0, 0, torch.arange(8)), recipe.augment)
    task.loss(model(batch), batch, recipe).backward()
    silent = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not silent


def test_tiny_pretraining_accepts_its_recipe():
    model = MaskedAutoencoder(TASK.tokenizer(TINY.shape), TASK.masked_target(TINY.shape), TINY.shape)
    random = SampleRandom(0, 0, torch.arange(8))
    batch = TASK.augment(TASK.load_pretraining("tiny").batch(torch.arange(8)), random, TINY.pretrain.augment)
    assert model(batch, random, TINY.pretrain.mask_ratio).isfinite()
