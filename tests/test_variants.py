"""Choices of the paper that the profile does not make, by name."""

from __future__ import annotations

import pytest

from baselines import ARMS
from benchmark.cli import main
from benchmark.contracts import Task
from benchmark.presets import Group, Matrix, plan_matrix
from benchmark.variants import check_use, load_variants, overrides_of
from tasks import TASKS

OFFERED = [variant for variant in load_variants().values() if variant.set]


@pytest.fixture(autouse=True)
def without_data(monkeypatch):
    monkeypatch.setattr(Task, "data_digests", lambda self, profile: dict.fromkeys(self.profiles[profile].data_sets, "0" * 64))


def plan_of(names, **chosen):
    matrix = Matrix(name="chosen", groups=(Group(**chosen),))
    return plan_matrix(matrix, TASKS, ARMS, "paper", [0], overrides_of(names, "paper", TASKS))


@pytest.mark.parametrize("variant", OFFERED, ids=lambda variant: variant.name)
def test_each_alters_what_it_says_and_nothing_else(variant):
    chosen = {"targets": tuple(variant.tasks or ["imagenet"]), "arms": ("m2pt",) if not variant.tasks else ("fix", "scratch"),
              "settings": variant.settings or ("pretrained", "fix", "scratch")}
    if variant.name == "mae-1600":
        chosen["arms"] = ("finetune",)
    plain, altered = plan_of([], **chosen), plan_of([variant.name], **chosen)
    check_use([variant.name], altered)
    named = {f"{override.scope}.{override.path[0]}" for override in overrides_of([variant.name], "paper", TASKS)}
    followed = {"recipe.lr", "recipe.min_lr"} if "recipe.batch_size" in named else set()
    for before, after in zip(plain.specs, altered.specs, strict=True):
        old, new = (spec.model_dump(mode="json") for spec in (before, after))
        scopes = {"shape": "shape", "options": "arm", "recipe": "pretrain" if before.kind == "pretrain" else "recipe"}
        assert {f"{scope}.{field}" for part, scope in scopes.items() for field in {**old[part], **new[part]}
                if old[part].get(field) != new[part].get(field)} <= named | followed
    assert [spec.run_id for spec in plain.specs] != [spec.run_id for spec in altered.specs]


@pytest.mark.parametrize(("arguments", "said"), [
    (["--variant", "votes"], "add --profile paper"),
    (["--profile", "paper", "--variant", "vote"], "did you mean 'votes'?"),
    (["--profile", "paper", "--variant", "two-steps"], "not offered"),
    (["--profile", "paper", "--variant", "votes", "-t", "imagenet"], "add -t modelnet"),
    (["--profile", "paper", "--variant", "lars-scales", "-t", "imagenet"], "add --setting fix"),
])
def test_what_fits_nothing_is_refused(arguments, said, tmp_path, capsys):
    assert main(["run", "--dry-run", "--results", str(tmp_path), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_learning_rate_follows_a_published_batch():
    (spec,) = plan_of(["audio-batch"], targets=("audioset",), arms=("scratch",), settings=("scratch",)).specs
    assert (spec.recipe.batch_size, spec.recipe.lr) == (32, 1.25e-4)
    (spec,) = plan_of(["videomae-batch"], targets=("kinetics",), arms=("scratch",), settings=("scratch",)).specs
    assert spec.recipe.lr == pytest.approx(1.4e-3)
