"""A record in, the plan that computes it again out; two records of one run in, whether they agree out. No torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from benchmark.evidence.inputs import standing_of
from benchmark.plan.matrix import Job, Plan
from benchmark.plan.names import nearest
from benchmark.provenance.currency import Judge
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.spec.contracts import Arm, Metric, Task
from benchmark.spec.plural import counted
from benchmark.spec.runspec import RunSpec

ENVIRONMENT = ("commit", "dirty", "python", "torch", "packages", "platform", "processor", "arithmetic", "device", "threads",
               "lockstep", "processes", "before")


@dataclass(frozen=True)
class Comparison:
    """What a run gave then and now. Differences are now minus then, in the unit of the metric."""

    then: float | None  # main metric on test after the last epoch; the last training loss of a pretraining
    now: float | None
    equal: int  # measurements that are the same to the last bit
    measurements: int
    same_weights: bool | None  # None: one of the two has no digest
    environment: tuple[str, ...]  # what differs, e.g. "torch 2.11.0, now 2.14.1"

    @property
    def bit_equal(self) -> bool:
        return self.equal == self.measurements and self.same_weights is True

    def within(self, tolerance: float) -> bool:
        """Whether the main value moved by at most `tolerance`."""
        return self.then is not None and self.now is not None and abs(self.now - self.then) <= tolerance


def find_record(name: str, records: Sequence[Record], problems: Sequence[str] = ()) -> Record:
    """By name or run id; raises `ValueError` naming the nearest, or why its record cannot be read: `problems` are "file: why"
    each."""
    for record in records:
        if name in (record.run_id, record.spec.name):
            return record
    for problem in problems:
        folder = Path(problem.partition(": ")[0]).parent.name
        if folder == name or folder.endswith(f"-{name}"):
            raise ValueError(f"the record of {folder} cannot be read, and the run is to be computed again: {problem}")
    if not records:
        raise ValueError(f"no run {name!r}: there is no record in this results folder; name another with --results")
    names = [record.spec.name for record in records]
    begun = [each for each in names if each.startswith(name)]  # without its id, say
    hint = nearest(name, begun or names).partition("known: ")[0]
    raise ValueError(f"no run {name!r} among {counted(len(names), 'record')}; {hint}see the folder names below runs/")


def plan_again(record: Record, records: Sequence[Record], tasks: Mapping[str, Task], arms: Mapping[str, Arm],
               judge: Judge) -> Plan:
    """The run of a record after those that it starts from, which are among `records`.

    Raises `ValueError` where neither today's code is that of the record nor a certificate carries it, and where data, tasks
    or arms are not those of the record.
    """
    by_id = {one.run_id: one for one in records}
    jobs: dict[str, Job] = {}

    def add(one: Record) -> None:
        needs = []
        for role, run_id in one.spec.starts.items():
            if file := one.given(role):
                raise ValueError(f"{one.spec.name} starts from weights that were given by file (SHA-256 {file}); "
                                 f"with that file it is computed again, under --overwrite all, by: {one.command}")
            if run_id not in by_id:
                raise ValueError(f"{one.spec.name} starts from run {run_id}, whose record is not here")
            add(by_id[run_id])
            needs.append((role, by_id[run_id].spec))
        jobs.setdefault(one.run_id, _job(one, tuple(needs), tasks, arms, judge))

    add(record)
    return Plan(tuple(jobs.values()))


def _job(record: Record, needs: tuple[tuple[str, RunSpec], ...], tasks: Mapping[str, Task], arms: Mapping[str, Arm],
         judge: Judge) -> Job:
    spec = record.spec
    if spec.task not in tasks or (spec.arm is not None and spec.arm not in arms):
        raise ValueError(f"{spec.name} is of a task or arm that is not loaded; name its folder with --plugins")
    if not standing_of(record, tasks, arms, judge).holds:
        commit = record.environment.commit
        raise ValueError(f"{spec.name} was computed by other code or data than today's; "
                         + (f"check out commit {commit[:12]} to reproduce it" if commit else "its commit is unknown"))
    try:
        arm = None if spec.arm is None else type(arms[spec.arm]).model_validate(spec.options)
    except ValidationError as error:
        raise ValueError(f"{spec.name}: options of arm {spec.arm}: {error.errors()[0]['msg']}") from error
    return Job(spec, tasks[spec.task], arm, needs)


def adopt(plan: Plan, record: Record, records: Sequence[Record], source: Store, target: Store) -> None:
    """Take over the weights of what a run starts from, where they are those that it started from.

    What is not taken over is computed again.
    """
    import hashlib

    by_id = {one.run_id: one for one in records}
    starting = [record, *(by_id[spec.run_id] for spec in plan.specs[:-1])]
    expected = {one.spec.starts[role]: one.weights.get(role) for one in starting for role in one.spec.starts}
    for spec in plan.specs[:-1]:
        weights = source.weights(spec)
        if weights.is_file() and hashlib.sha256(weights.read_bytes()).hexdigest() == expected[spec.run_id]:
            shutil.copyfile(weights, target.work(spec) / weights.name)
            target.save(by_id[spec.run_id])


def compare_records(then: Record, now: Record, metric: Metric | None) -> Comparison:
    """Two records of one run. `metric`: the task's main metric; None for a pretraining."""
    before, after = ({(row.split, row.metric, row.step): row.value for row in record.measurements} for record in (then, now))
    split, name = ("train", "loss") if metric is None else ("test", metric.name)
    ends = [max(curve)[1] if (curve := record.curve(split, name)) else None for record in (then, now)]
    digests = [record.weights.get("result") for record in (then, now)]
    changed = []
    for field in ENVIRONMENT:
        old, new = (getattr(record.environment, field) for record in (then, now))
        if field == "packages":
            changed += [f"{package} {old.get(package)}, now {new.get(package)}" for package in sorted(old.keys() | new.keys())
                        if old.get(package) != new.get(package)]
        elif old != new and (field, old) != ("arithmetic", None):  # which earlier records do not say
            changed.append(f"{field} {old}, now {new}")
    return Comparison(ends[0], ends[1], sum(before.get(key) == value for key, value in after.items()),
                      len(before.keys() | after.keys()), None if None in digests else digests[0] == digests[1], tuple(changed))


def tell(record: Record, comparison: Comparison, tolerance: float, metric: Metric | None) -> str:
    """The outcome for people, the verdict first."""
    unit = "" if metric is None else f" {metric.unit}"
    what = "training loss" if metric is None else f"test {metric.name}"
    verdict = "bit-equal" if comparison.bit_equal else \
        f"within {tolerance:g}{unit}" if comparison.within(tolerance) else "differs"
    lines = [f"{record.spec.cell} seed {record.spec.seed}: {verdict}"]
    if comparison.then is not None and comparison.now is not None:
        lines.append(f"  {what}, last epoch: {comparison.then:.6g} then, {comparison.now:.6g} now "
                     f"({comparison.now - comparison.then:+.3g}{unit})")
    weights = {True: "the same", False: "others", None: "not known"}[comparison.same_weights]
    lines.append(f"  {comparison.equal} of {comparison.measurements} measurements are the same to the last bit; "
                 f"the weights are {weights}")
    lines += [f"  environment: {text}" for text in comparison.environment]
    return "\n".join(lines)
