"""The paper's profile: the source of every number, and choices of the paper that it does not make, by name."""

from __future__ import annotations

import re

import pytest

from baselines import STUDY
from benchmark.cli.commands import build_parser
from benchmark.cli.context import make_plan
from benchmark.cli.main import main
from benchmark.plan.sources import load_sources, numbers_of, sections_of
from benchmark.plan.variants import load_variants, overrides_of
from benchmark.spec.contracts import Task
from tasks import TASKS

OFFERED = [variant for variant in load_variants(STUDY).values() if variant.set]


@pytest.fixture(autouse=True)
def without_data(monkeypatch):
    monkeypatch.setattr(Task, "data_digests", lambda self, profile: dict.fromkeys(self.profiles[profile].data_sets, "0" * 64))


def plan_of(arguments, *more):
    options = build_parser().parse_args([*arguments.split()[1:], *more])
    return make_plan(options)[0]


@pytest.mark.parametrize("variant", OFFERED, ids=lambda variant: variant.name)
def test_the_command_of_each_alters_what_it_says_and_nothing_else(variant):
    plain = plan_of(variant.command.replace(f"--variant {variant.name} ", ""))
    altered = plan_of(variant.command)
    named = {f"{override.scope}.{override.path[0]}" for override in overrides_of(STUDY, [variant.name], "paper", TASKS)}
    followed = {"recipe.lr", "recipe.min_lr"} if "recipe.batch_size" in named else set()
    for before, after in zip(plain.specs, altered.specs, strict=True):
        old, new = (spec.model_dump(mode="json") for spec in (before, after))
        scopes = {"shape": "shape", "options": "arm", "recipe": "pretrain" if before.kind == "pretrain" else "recipe"}
        assert {f"{scope}.{field}" for part, scope in scopes.items() for field in {**old[part], **new[part]}
                if old[part].get(field) != new[part].get(field)} <= named | followed
        if before.task in variant.tasks and before.kind == "train" and not any(name.startswith("pretrain") for name in named):
            assert before.run_id != after.run_id or (after.recipe.augment.get("fold") == 5 == after.seed)
    assert {spec.arm for spec in altered.specs if spec.kind == "train"} == set(variant.arms)
    assert [spec.run_id for spec in plain.specs] != [spec.run_id for spec in altered.specs]


@pytest.mark.parametrize(("arguments", "said"), [
    (["--variant", "votes"], "add --profile paper"),
    (["--profile", "paper", "--variant", "vote"], "did you mean 'votes'?"),
    (["--profile", "paper", "--variant", "two-steps"], "not offered"),
    (["--profile", "paper", "--variant", "votes", "-t", "imagenet"], "--variant votes changes nothing"),
    (["--profile", "paper", "--variant", "audio-batch", "-t", "imagenet"], "--variant audio-batch changes nothing"),
    (["--profile", "paper", "--variant", "bias", "--arm", "finetune"], "--variant bias changes nothing"),
    (["--profile", "paper", "--variant", "mae-1600", "-t", "imagenet", "--arm", "scratch"], "mae-1600 changes nothing"),
    (["--profile", "paper", "--variant", "lars-scales", "-t", "shapenet", "--setting", "fix"], "changes nothing"),
    (["--profile", "paper", "--variant", "votes", "-t", "imagenet", "--set", 'imagenet.recipe.test_views={"votes": 10}'],
     "--variant votes changes nothing"),
    (["--profile", "paper", "--variant", "lars-scales", "-t", "imagenet"], "try: benchmark run --profile paper"),
    (["--profile", "paper", "--variant", "point-mae-width", "-t", "modelnet"], "does not fit modelnet m2pt(image)"),
])
def test_what_fits_nothing_is_refused(arguments, said, tmp_path, capsys):
    assert main(["run", "--dry-run", "--results", str(tmp_path), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_learning_rate_follows_a_published_batch():
    specs = plan_of("benchmark run --profile paper --variant audio-batch --arm scratch", "-t", "audioset").specs
    assert {(spec.recipe.batch_size, spec.recipe.lr) for spec in specs} == {(32, 1.25e-4)}
    specs = plan_of("benchmark run --profile paper --variant videomae-batch --arm scratch", "-t", "kinetics").specs
    assert [spec.recipe.lr for spec in specs] == pytest.approx([1.4e-3] * len(specs))


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if "paper" in task.profiles])
def test_every_number_of_the_paper_profile_has_its_source(name, capsys):
    sections, known = sections_of(TASKS[name], "paper"), load_sources(STUDY.sources).recipes[name]
    assert sections.keys() == known.keys()
    for title, section in sections.items():
        chosen = {number: [*value] if isinstance(value, tuple) else value
                  for number, value in numbers_of(section, known[title])[0].items()}
        assert chosen == {number: value for number, (value, _) in known[title].items()}, title
        for number, (_, source) in known[title].items():
            key, _, place = source.partition(" ")
            assert source.startswith("ours: ") or (
                key in load_sources(STUDY.sources).repositories and re.match(r"[\w./-]+:\d+(: |; |$)", place)), (title, number)
    assert main(["info", name, "--profile", "paper"]) == 0
    printed = capsys.readouterr().out
    assert all(source in printed for rows in known.values() for _, source in rows.values())
