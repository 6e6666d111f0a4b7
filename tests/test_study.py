"""The engine knows of a method by the study that it is handed, and by nothing else: the next one is a folder beside it."""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from synthetic import digest, make_record

from baselines import ARMS, STUDY
from benchmark.cli.describe import describe
from benchmark.evidence.analysis import analyse
from benchmark.evidence.inputs import gather
from benchmark.plan.presets import Group, Matrix, plan_matrix
from benchmark.plan.study import Study, find_matrix
from benchmark.plan.variants import load_variants, overrides_of
from benchmark.report.answer import positive_verdicts
from benchmark.report.write import write_report
from benchmark.spec.contracts import Arm
from tasks import TASKS

ENGINE = sorted((Path(__file__).parents[1] / "benchmark").rglob("*.py"))
OURS = re.compile(r"m2pt-bench|M2PT_[A-Z_]*")  # the distribution, and the variables that it reads
PUBLISHED_FILES = {path.name for path in (STUDY.claims, STUDY.sources, STUDY.variants)}


class Borrowed(Arm):
    """A method of nobody's."""

    name: ClassVar[str] = "borrowed"
    summary: ClassVar[str] = "borrows"
    source: ClassVar[str] = "a test"
    uses_auxiliary: ClassVar[bool] = True
    is_method: ClassVar[bool] = True


class Known(Borrowed):
    """What must gain."""

    name: ClassVar[str] = "known"


class Lent(Borrowed):
    """What it is held against."""

    name: ClassVar[str] = "lent"
    is_method: ClassVar[bool] = False


SECOND = Study(
    name="borrowing", title="Borrowing", question="Does borrowing help?", method="borrowed", arms=("finetune", "borrowed"),
    targets=("imagenet",), rivals={"borrowed": ("lent",), "known": ("lent",)}, positive={"borrowed": "known"},
    matrices={"loans": Matrix(name="loans", summary="all loans", seeds="0-5", groups=(
        Group(arms=("finetune", "borrowed", "lent", "known"), targets=("imagenet", "audioset"), auxiliaries=("video",)),))})
BOTH = {**ARMS, "borrowed": Borrowed(), "lent": Lent(), "known": Known()}


def run(gain: float, known: frozenset[str] = frozenset({"imagenet"}), study: Study = SECOND):
    """Records of the second study's matrix in which the method is ahead by `gain`, and its positive control on some targets"""
    plan = plan_matrix(find_matrix("loans", study), TASKS, BOTH, "tiny", range(6))
    for spec in (spec for spec in plan.specs if spec.kind == "train"):
        noise = random.Random(digest(spec.task, spec.arm, spec.seed)).gauss(0, 0.2)
        level = random.Random(digest(spec.task, spec.seed)).gauss(40, 1)
        record = make_record(spec)
        rows = [row.model_copy(update={"metric": TASKS[spec.task].metric.name,
                                       "value": level + noise + gain * (spec.arm == "borrowed")
                                       + 3 * (spec.arm == "known" and spec.task in known)})
                for row in record.measurements if row.metric != "loss"][:1]
        yield record.model_copy(update={"measurements": rows})


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_module_of_the_engine_names_the_method_its_controls_or_its_files(path):
    text = OURS.sub("", path.read_text(encoding="utf-8"))
    controls = {name for names in (*STUDY.rivals.values(), *STUDY.beside.values()) for name in names}
    named = [name for name in (STUDY.name, *controls, *PUBLISHED_FILES) if re.search(rf"\b{re.escape(name)}\b", text, re.I)]
    assert not named


@pytest.mark.parametrize(("gain", "said"), [(3.0, "2 of 2 pairs help beyond every control"),
                                            (0.0, "0 of 2 pairs help beyond every control")])
def test_a_second_study_is_planned_judged_and_reported(tmp_path, gain, said):
    infos = gather([], TASKS, BOTH)[2]
    analysis = analyse(run(gain), [], tasks=infos, study=SECOND)
    assert set(analysis.contrasts["reference"]) == {"baseline", "lent"}
    write_report(analysis, tmp_path, formats=("md", "html"))
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert page.startswith("# Does borrowing help?\n")
    assert said in page
    assert "<title>Borrowing</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Published claims" not in page
    for name in ("m2pt", "of the paper", "random-norm"):
        assert name not in page


@pytest.mark.parametrize(("known", "kept", "said"), [
    ({"imagenet"}, range(6), "known gains beyond its controls on 1 of 2 targets (imagenet). Where"),
    ({"imagenet", "audioset"}, range(6), "known gains beyond its controls on 2 of 2 targets (imagenet, audioset). Where"),
    (set(), range(6), "known gains beyond its controls on 0 of 2 targets. Where"),
    (set(), range(1), "Not judged: one seed tells nothing of chance (known).\n"),
    (set(), (), "Not known, as known was not run.\n")])
def test_the_report_says_where_a_gain_could_have_been_seen(tmp_path, known, kept, said):
    records = [record for record in run(0.0, frozenset(known)) if record.spec.arm != "known" or record.spec.seed in kept]
    write_report(analyse(records, [], tasks=gather([], TASKS, BOTH)[2], study=SECOND), tmp_path, formats=("md",))
    assert f"**Could a gain of borrowed have been seen?** {said}" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_of_a_positive_control_with_several_auxiliaries_pairs_are_counted_and_what_is_not_judged_is_told():
    loans = SECOND.matrices["loans"]
    several = loans.groups[0].model_copy(update={"auxiliaries": ("video", "audio")})
    study = replace(SECOND, matrices={"loans": loans.model_copy(update={"groups": (several,)})})
    records = [record for record in run(0.0, study=study) if (record.spec.arm, record.spec.task) != ("lent", "audioset")]
    ((question, said),) = positive_verdicts(analyse(records, [], tasks=gather([], TASKS, BOTH)[2], study=study), 0)
    assert question == "Could a gain of borrowed have been seen?"
    assert said.startswith("known gains beyond its controls on 2 of 2 pairs (imagenet + video, imagenet + audio), "
                           "1 not judged.")


def test_a_file_of_groups_has_the_studys_arms_and_targets_where_it_names_none(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("groups: [{}, {targets: null, arms: [lent]}]")
    first, second = find_matrix(str(file), SECOND).groups
    assert (first.arms, first.targets) == (SECOND.arms, SECOND.targets)
    assert (second.arms, second.targets) == (("lent",), None)


def test_a_study_without_files_has_no_variants_and_claims():
    assert load_variants(SECOND) == {}
    with pytest.raises(ValueError, match="unknown variant 'fold-5'"):
        overrides_of(SECOND, ["fold-5"], "paper", TASKS)
    assert describe("loans", TASKS, BOTH, SECOND).startswith("# loans: all loans\n")
    with pytest.raises(ValueError, match="unknown name 't1-m2pt-point-tune'"):
        describe("t1-m2pt-point-tune", TASKS, BOTH, SECOND)


def test_every_file_that_our_study_names_is_installed_with_it():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["setuptools"]["package-data"]["baselines.m2pt"]) == {
        *PUBLISHED_FILES, STUDY.second_rule.protocol.name}


def test_what_our_study_names_is_there():
    named = {STUDY.method, *STUDY.arms, *STUDY.equal, STUDY.tuned_baseline, *STUDY.rivals, *STUDY.beside, *STUDY.told}
    compared = (*STUDY.rivals.values(), *STUDY.beside.values(), *STUDY.told.values(), *STUDY.positive.items())
    named |= {name for names in compared for name in names}
    assert named <= ARMS.keys()
    assert set(STUDY.targets) <= TASKS.keys()
    assert all(STUDY.profile in TASKS[name].profiles for name in STUDY.targets)
