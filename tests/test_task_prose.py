"""Passages of text: what the model is shown of them, what pretraining guesses, and that they are there on request alone."""

import math

import numpy as np
import pytest
import torch

from baselines import ARMS
from benchmark.data.characters import ALPHABET, CHARACTERS, as_texts
from benchmark.data.embedded import arrays_of
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import Tokens
from benchmark.model.patches import CharacterTarget, patchify
from benchmark.plan.presets import Group, Matrix, plan_matrix
from tasks import TASKS
from tasks.prose.passages import WINDOW, prepare_passages

PROSE = TASKS["prose"]
SHAPE = PROSE.profiles["tiny"].shape


@pytest.fixture(scope="module")
def codes():
    return PROSE.load("tiny")["train"].columns["input"]


def drawn(count):
    return SampleRandom(3, 1, torch.arange(count))


def shown(prepared):
    assert prepared.dtype == torch.float32
    assert torch.equal(prepared.sum(1), torch.ones(len(prepared), WINDOW)), "one character at each place"
    return as_texts(prepared.argmax(1).numpy())


def test_codes_are_characters_in_the_order_of_ascii():
    assert ALPHABET[:4] == " !\"#"
    assert ALPHABET[-2:] == "~\n"
    assert as_texts(np.array([[33, 66, 95]], np.uint8)) == ["Ab\n"]
    with pytest.raises(ValueError, match="from 0 to 95, not 3 to 96"):
        as_texts(np.array([[3, 96]]))


def test_a_tested_passage_is_its_middle_and_a_trained_one_a_window_within(codes):
    whole = as_texts(codes[:200].numpy())
    spare = codes.shape[1] - WINDOW
    assert shown(prepare_passages(codes[:200], None, {"crop": 1.0, "typos": 0.5})) == [
        text[spare // 2:spare // 2 + WINDOW] for text in whole]
    starts = [text.index(window) for text, window in zip(
        whole, shown(prepare_passages(codes[:200], drawn(200), {"crop": 1.0})), strict=True)]
    assert (min(starts), max(starts)) == (0, spare), "every place is reached, the last one too"
    half = [text.index(window) for text, window in zip(
        whole, shown(prepare_passages(codes[:200], drawn(200), {"crop": 0.5})), strict=True)]
    assert (min(half), max(half)) == (spare // 4, spare - spare // 4)


def test_mistypings_are_of_the_share_that_is_asked_for(codes):
    plain, altered = (prepare_passages(codes[:400], drawn(400), {"typos": share}).argmax(1) for share in (0.0, 0.25))
    share = (plain != altered).float().mean().item()
    assert share == pytest.approx(0.25 * (1 - 1 / CHARACTERS), abs=0.006)  # one in 96 is replaced by itself
    assert len(altered[plain != altered].unique()) == CHARACTERS


@pytest.mark.parametrize(("strengths", "length", "message"), [
    ({"flip": 0.5}, 160, "unknown augmentation 'flip' of passages; they have crop, typos"),
    ({}, 127, "passages of 127 characters are shorter than the window of 128")])
def test_what_passages_cannot_be_is_said(strengths, length, message):
    with pytest.raises(ValueError, match=message):
        prepare_passages(torch.zeros(2, length, dtype=torch.uint8), drawn(2), strengths)


def test_pretraining_pays_for_each_hidden_character_in_nats(codes):
    target = CharacterTarget(SHAPE)
    patches = patchify(prepare_passages(codes[:3], None, {}), SHAPE.patch_size)
    hidden = torch.tensor([[0, 5], [7, 31], [2, 3]])
    truth = target.target(Tokens(patches[..., :1], patches[..., :1], {"patches": patches}), hidden)
    assert truth.shape == (3, 2, CHARACTERS * SHAPE.patch_size[0]) == (3, 2, target.num_values)
    spoken = as_texts(truth.unflatten(2, (CHARACTERS, -1)).argmax(2).flatten(1).numpy())
    whole = shown(prepare_passages(codes[:3], None, {}))
    assert spoken == [whole[i][4 * one:4 * one + 4] + whole[i][4 * two:4 * two + 4] for i, (one, two) in enumerate(hidden)]
    assert target.loss(torch.zeros_like(truth), truth).item() == pytest.approx(math.log(CHARACTERS))
    assert target.loss(100 * truth, truth).item() == pytest.approx(0, abs=1e-6)
    one_wrong = 100 * truth.clone()
    one_wrong.unflatten(2, (CHARACTERS, -1))[0, 0, :, 0] = 100 * torch.eye(CHARACTERS)[(truth.unflatten(
        2, (CHARACTERS, -1))[0, 0, :, 0].argmax() + 1) % CHARACTERS]
    assert target.loss(one_wrong, truth).item() == pytest.approx(100 / (3 * 2 * 4))


def test_no_section_and_no_passage_is_on_two_sides():
    arrays = arrays_of("text_topics")
    for kind in ("src", "x"):
        sides = [{bytes(row) if kind == "x" else str(row) for row in arrays[f"{kind}_{split}"]}
                 for split in ("train", "val", "test")]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
    assert [len(arrays[f"x_{split}"]) for split in ("train", "val", "test")] == [1335, 225, 584]
    assert set(arrays["y_train"]) == set(arrays["y_val"]) == set(arrays["y_test"]) == set(range(len(arrays["classes"])))


def planned(**fields):
    group = Group.model_validate({"arms": ("finetune", "m2pt"), **fields})
    return plan_matrix(Matrix(name="mine", groups=(group,)), TASKS, ARMS, "tiny", [0]).specs


def test_it_is_a_target_and_an_auxiliary_where_it_is_named_alone():
    assert {spec.task for spec in planned()}.isdisjoint({"prose"})
    assert {spec.auxiliary for spec in planned(targets=("audioset",))} == {None, "image", "point", "video"}
    named = planned(targets=("audioset",), auxiliaries=("prose", "image"))
    assert {spec.auxiliary for spec in named} == {None, "prose", "image"}
    assert {spec.auxiliary for spec in planned(targets=("prose",))} == {None, "image", "point", "video", "audio"}
