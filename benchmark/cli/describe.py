"""A name in, all that is known of it as text out: what `list` and `info` print. No torch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmark.evidence.claims import Claim, Judgement, load_claims
from benchmark.plan.declared import fault_of_metrics
from benchmark.plan.names import nearest
from benchmark.plan.presets import Matrix
from benchmark.plan.sources import load_sources, numbers_of, sections_of
from benchmark.plan.study import Study
from benchmark.plan.variants import Variant, load_variants
from benchmark.records.record import Record
from benchmark.records.store import Failure
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.plural import counted

LISTED = ("tasks", "arms", "matrices")  # without asking for more


def list_names(tasks: Mapping[str, Task], arms: Mapping[str, Arm], study: Study, kinds: Iterable[str],
               states: Mapping[str, Judgement] | None = None) -> list[str]:
    """One line a name, under a heading a kind; `states` are the verdicts on claims, by id."""
    lines = []
    for kind in kinds:
        rows = {
            "tasks": lambda: [(name, f"{task.modality:<6} {task.summary}") for name, task in tasks.items()],
            "arms": lambda: [(name, f"{'/'.join(arm.settings)}: {arm.summary}") for name, arm in arms.items()],
            "matrices": lambda: [(name, matrix.summary) for name, matrix in study.matrices.items()],
            "variants": lambda: [(name, variant.summary) for name, variant in load_variants(study).items()],
            "claims": lambda: [(claim.id, _line(claim, (states or {}).get(claim.id))) for claim in load_claims(study)],
        }[kind]()
        width = max(len(name) for name, _ in rows)
        lines += [f"{kind}:", *(f"  {name:<{width}} {text}" for name, text in rows)]
    return lines


def describe(name: str, tasks: Mapping[str, Task], arms: Mapping[str, Arm], study: Study, profile: str | None = None,
             judged: Callable[[], Mapping[str, Judgement]] | None = None) -> str:
    """Everything about one task, arm, matrix, variant or claim; raises `ValueError` for an unknown name.

    `judged` gives the verdicts on claims by id, and is asked for a claim alone, as it reads records.
    """
    if name in tasks:
        return describe_task(tasks[name], study, profile)
    if name in arms:
        return describe_arm(arms[name])
    if name in study.matrices:
        return describe_matrix(study.matrices[name])
    variants = load_variants(study)
    if name in variants:
        return describe_variant(variants[name])
    claims = {claim.id: claim for claim in load_claims(study)}
    if name in claims:
        return describe_claim(claims[name], judged().get(name) if judged else None)
    close = nearest(name, [*tasks, *arms, *study.matrices, *variants, *claims]).partition("known: ")[0]
    raise ValueError(f"unknown name {name!r}; {close}all names: benchmark list, list variants, list claims; a run is "
                     "named as its folder below results/PROFILE/runs")


def describe_task(task: Task, study: Study, profile: str | None = None) -> str:
    """Metrics, data, shape and recipes under a profile (None: tiny, or the first that it has)."""
    profile = profile or ("tiny" if "tiny" in task.profiles else next(iter(task.profiles)))
    if profile not in task.profiles:
        raise ValueError(f"task {task.name} has no profile {profile!r}; it has {', '.join(task.profiles)}")
    if fault := fault_of_metrics(task):
        raise ValueError(f"task {task.name}: {fault}")
    spec = task.profiles[profile]
    told = [(metric.name, ", ".join(filter(None, [metric.unit, "" if metric.higher_is_better else "lower is better"])))
            for metric in task.metrics]
    metrics = ", ".join(name + (f" [{about}]" if about else "") for name, about in told)
    lines = [f"{task.name}: {task.summary}", f"modality: {task.modality}, pretrained by {task.pretrained_by or 'itself'}",
             f"metrics: {metrics}; chance {'not measured' if spec.chance is None else f'{spec.chance:g}'}",
             f"data ({profile}): {', '.join(spec.data_sets)}"]
    if profile != study.profile:
        lines[-1] += f"; sources: {', '.join(sorted(task.sources))}"
    lines += [f"shortcut: {name} {value:g}" for name, value in (spec.shortcuts or {}).items()]
    sections = sections_of(task, profile)
    titles = {name: f"recipe, {name}" if name in spec.train else name for name in sections}
    published = load_sources(study.sources) if study.sources is not None and profile == study.profile else None
    known = published.recipes.get(task.name) if published is not None else None
    if published is None or known is None:
        lines += [f"{titles[name]}: {_assigned(section.model_dump())}" for name, section in sections.items()]
        return "\n".join(lines)
    for name, section in sections.items():
        numbers, neutral = numbers_of(section, known[name])
        texts = {number: f"{number}={value}" for number, value in numbers.items()}
        width = max(map(len, texts.values()))
        lines += ["", f"{titles[name]}: {_assigned(neutral) or 'nothing'} left as it is",
                  *(f"  {text:<{width}}  {known[name][number][1]}" for number, text in texts.items())]
    repositories = published.repositories
    cited = "\n".join(lines)
    return "\n".join([cited, "", *(f"{key}: {repository.url} at {repository.commit[:12]}"
                                  + "".join(f", {file} at {commit[:12]}" for file, commit in repository.files.items())
                                  for key, repository in repositories.items() if re.search(rf"(?<![\w-]){key} ", cited))])


def _assigned(values: Mapping[str, object]) -> str:
    return ", ".join(f"{field}={item}" for field, item in values.items())


def describe_arm(arm: Arm) -> str:
    """What it does, where it is from, and its options with their defaults."""
    options = [f"option: --set arm.{name}={field.default}" for name, field in type(arm).model_fields.items()]
    return "\n".join([f"{arm.name}: {arm.summary}", f"source: {arm.source}", f"settings: {', '.join(arm.settings)}", *options])


def describe_matrix(matrix: Matrix) -> str:
    """Its groups, as the file that says the same: what is not of the file is a comment."""
    import yaml

    content = matrix.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    content["groups"] = [group.model_dump(mode="json", include={"arms", "settings", "targets"})
                         | group.model_dump(mode="json", exclude_defaults=True) for group in matrix.groups]
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return (f"# {matrix.name}: {matrix.summary}\n# run it: benchmark run --matrix {matrix.name}\n"
            f"# this is a file, to alter and run: benchmark info {matrix.name} > mine.yaml; benchmark run --matrix mine.yaml\n"
            f"{text.rstrip()}")


def describe_variant(variant: Variant) -> str:
    """Whose choice it is, and how to make it."""
    lines = [f"{variant.name}: {variant.summary}", f"source: {variant.source}"]
    if variant.set:
        lines += [f"run it: {variant.command}",
                  *(f"the same: --set {text}" for text in variant.set)]
    return "\n".join(lines)


def describe_claim(claim: Claim, state: Judgement | None = None) -> str:
    """What was published, what is odd about it, how it is tested, and the verdict where records were read."""
    lines = [f"{claim.id}: {claim.source}, {claim.target_dataset}, {claim.metric}, {claim.setting}, {claim.method}",
             f"published: {claim.published} {claim.unit}"]
    if claim.baseline_name:
        lines[-1] += f", baseline {claim.baseline_name}"
    if claim.reported_relative_gain_pct is not None:
        agrees = "" if claim.gain_consistent is not False else ": the paper contradicts itself"
        lines.append(f"relative gain: {claim.reported_relative_gain_pct:g} % printed, "
                     f"{claim.recomputed_relative_gain_pct:g} % from its values{agrees}")
    if claim.reported_standard_error is not None:
        lines.append(f"standard error: {claim.reported_standard_error:g}, number of runs not stated")
    lines += [f"note: {claim.notes}"] if claim.notes else []
    if claim.test is None:
        lines.append(f"not tested: {claim.untested}")
    else:
        lines.append(f"test it: {claim.test.command}")
    if state is not None:
        lines.append(f"state: {state.verdict}" + ("" if claim.test is None else f" ({state.reason})"))
    return "\n".join(lines)


def describe_run(record: Record, file: Path, tasks: Mapping[str, Task], plugins: Sequence[str] = ()) -> str:
    """What was computed, what came out on test, what it took, where and by what, and what can be done with it."""
    spec, folder = record.spec, file.parents[2]
    what = (f"pretraining on {spec.modality}" if spec.kind == "pretrain" else
            f"{spec.arm} on {spec.task}{f' with weights from {spec.auxiliary}' if spec.auxiliary else ''}")
    conditions = [f"profile {spec.profile}", *([f"setting {spec.setting}"] if spec.setting else []), f"seed {spec.seed}",
                  *([f"variant {spec.variant}"] if spec.variant else []),
                  *([counted(spec.limit, "sample")] if spec.limit else [])]
    units = {metric.name: metric.unit for metric in tasks[spec.task].metrics} if spec.task in tasks else {}
    lines = [f"{spec.name}: {what}, {', '.join(conditions)}", f"file: {file}"]
    for split in dict.fromkeys(row.split for row in record.measurements if row.split != "train"):
        last = {row.metric: row for row in record.measurements if row.split == split}
        said = [f"{name} {row.value:.4g}{f' {units[name]}' if units.get(name) else ''}" for name, row in last.items()]
        epochs = counted(max(row.step for row in last.values()), "epoch")
        lines.append(f"{split}: {', '.join(said)} after {epochs}")
    if losses := record.curve("train", "loss"):
        first, end = (f"{value:.4g} in epoch {epoch}" for epoch, value in (losses[0], losses[-1]))
        lines.append(f"loss in training: {first}, {end}")
    lines += [f"starts from: {', '.join(f'{role} {name}' for role, name in spec.starts.items())}"] if spec.starts else []
    counts = [f"{name} {number:,}" for name, number in record.parameters.items()]
    lines += [f"parameters: {', '.join(counts)}"] if counts else []
    took = [f"{name} {seconds:.3g} s" for name, seconds in record.seconds.items()]
    lines += [f"took: {', '.join(took)}"] if took else []
    made = record.environment
    lines += [f"computed: {record.started}, {made.processor} ({made.device}), torch {made.torch}, Python {made.python}"
              + (f", commit {made.commit[:7]}{' and changes' if made.dirty else ''}" if made.commit else "")]
    lines += [f"command: {record.command}"] if record.command else []
    lines += [f"again: {shlex.join(['benchmark', 'reproduce', spec.name, '--results', str(folder), *plugins])}"]
    return "\n".join(lines)


def describe_failure(failure: Failure, file: Path) -> str:
    """Why a run has no record, and where its traceback is."""
    return (f"{failure.spec.name}: failed\nfile: {file} (with traceback and the end of its log)\nerror: {failure.error}\n"
            "again: the same benchmark run")


def _line(claim: Claim, state: Judgement | None) -> str:
    tested = "  (not tested)" if claim.test is None else f"  ({state.verdict})" if state is not None else ""
    return f"{claim.source}: {claim.target_dataset}, {claim.setting}, {claim.method}: {claim.published}{tested}"
