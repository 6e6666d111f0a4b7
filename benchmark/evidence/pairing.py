"""Finished runs in, pairs with their baseline out; who has none is named with the reason.

Paired are runs of equal `spec.comparison`, equal seed, and equal device, torch, packages, threads, stack
and number of processes, as each number rounds sums in another order; packages count as equal where a
certificate shows that they give the same bits. The device of a run on a CPU is its processor, by its name and,
where that has several in these runs, by its arithmetic: one run on two processors ends as far apart as runs of
two seeds. Beside a GPU the processor draws random numbers alone: such pairs count, with a remark.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from benchmark.evidence.inputs import Remark
from benchmark.provenance.certificates import differing_packages, place_of
from benchmark.provenance.currency import UP_TO_DATE, Standing
from benchmark.records.record import Record
from benchmark.spec.plural import counted
from benchmark.spec.runspec import RunSpec

CONTRADICTS = "Contradicts another result of the same run"
SHORTEST_S = 0.02  # that is compared: records hold milliseconds


@dataclass(frozen=True, eq=False)
class Run:
    """A record of a training, with its place in the report. Equal only to itself: one spec can run in two places."""

    record: Record
    standing: Standing = UP_TO_DATE
    own: bool = True  # not known to have another rate of the scales, or to start from another pretraining, than its profile's
    altered: str = ""  # what of that no comparison tells, e.g. "scale_lr=0.1" or a file: it makes another variant of the arm
    arithmetic: str = ""  # how its processor computes, where others of that name compute otherwise

    @property
    def stale(self) -> bool:
        """Whether today's code or data would not give it, as far as is known"""
        return not self.standing.holds

    @property
    def spec(self) -> RunSpec:
        return self.record.spec

    @cached_property
    def comparison(self) -> str:
        return self.spec.comparison

    @cached_property
    def name(self) -> str:
        return self.spec.name

    @property
    def variant(self) -> str:
        """What differs from the arm as it is and from the profile's own recipe"""
        return ",".join(filter(None, (self.spec.variant, self.altered)))

    @property
    def cell(self) -> tuple[str, str, str, str]:
        return (self.comparison, self.spec.arm or "none", self.spec.auxiliary or "", self.variant)

    @cached_property
    def environment(self) -> tuple[str, int, int, tuple[int, ...], tuple[str, ...], str]:
        where = self.record.environment
        place = self.standing.place or place_of(where, self.spec)
        return (self._named(where.place), where.threads, where.lockstep or 1, where.processes or (1,),
                where.before or (), place)

    def _named(self, device: str) -> str:
        return f"{device}, arithmetic {self.arithmetic}" if self.arithmetic else device

    @property
    def processor(self) -> str:
        return self.record.environment.processor_name

    @property
    def checkpoint(self) -> tuple[str | None, str | None]:
        """Run id and SHA-256 of the weights that compared runs begin with; one run id can have been computed twice."""
        if not self.spec.shares_start:
            return (None, None)
        return (self.spec.starts.get("target"), self.record.weights.get("target"))

    @property
    def checkpoint_text(self) -> str:
        run_id, sha256 = self.checkpoint
        return f"{run_id or 'none'} ({sha256[:12] if sha256 else 'no digest'})"

    @property
    def environment_text(self) -> str:
        _, threads, lockstep, processes, before, _ = self.environment
        torch, device = self.record.environment.torch, self.record.environment.device
        device += f" ({self._named(self.processor)})" if device == "cpu" else ""
        stacked = f", in lock-step by {lockstep}" if lockstep > 1 else ""
        earlier = "".join(f", begun on ({there})" for there in before)
        return f"{device}, torch {torch}, {counted(threads, 'thread')}{stacked}{processes_text(processes)}{earlier}"

    @property
    def freshness(self) -> tuple[bool, bool, str, str]:
        """Higher is to be preferred: by the profile's recipes, then of the current code, then the newest start."""
        return (self.own, not self.stale, self.record.started, self.record.run_id)


def by_arithmetic(runs: Sequence[Run]) -> list[Run]:
    """The same runs; those on processors of one name that do not compute alike are told apart, those of which that is not known
    among them. Earlier records do not say it, so that a name alone counts where all that do say the same. Other packages may
    compute otherwise, too, and are compared as such."""
    known: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        if arithmetic := run.record.environment.arithmetic:
            known.setdefault(_place_and_packages(run), set()).add(arithmetic)
    several = {place for place, found in known.items() if len(found) > 1}
    return [replace(run, arithmetic=run.record.environment.arithmetic or "unknown")
            if several and _place_and_packages(run) in several else run for run in runs]


def _place_and_packages(run: Run) -> tuple[str, str]:
    where = run.record.environment
    return where.place, place_of(where, run.spec)


def processes_text(processes: Sequence[int]) -> str:
    """How many processes shared a run, for people; "" where one computed it"""
    return f", by {' and then '.join(map(str, processes))} processes" if max(processes) > 1 else ""


@dataclass(frozen=True)
class Paired:
    """One run for each cell and seed, the baseline run of those that have one, and remarks on all others."""

    runs: tuple[Run, ...]
    baseline_of: Mapping[Run, Run]
    remarks: tuple[Remark, ...]


def pair_records(records: Iterable[Record]) -> Paired:
    """As `pair_runs`, of the trainings among them."""
    return pair_runs(by_arithmetic([Run(record) for record in records if record.spec.kind == "train"]))


def pair_runs(runs: Sequence[Run]) -> Paired:
    """Drop repeats within an environment, pair, then choose one environment for each cell and seed."""
    local, repeats = keep_best(
        runs, lambda r: (r.cell, r.spec.seed, r.environment), lambda r: r.freshness, "Repeats a cell and seed"
    )
    baseline_of, unpaired = pair_with_baselines(local)
    together: dict[Hashable, list[Run]] = {}
    for run in local:
        together.setdefault((run.comparison, run.spec.seed, run.environment), []).append(run)
    # Prefer a run that has a partner, then the environment in which most of its comparison and seed was run. Of two in which as
    # much was run, all cells take one, so that an arm meets its controls.
    preference = {place: (len(there), sum(not r.stale for r in there), max(r.freshness for r in there))
                  for place, there in together.items()}
    kept, elsewhere = keep_best(
        local,
        lambda r: (r.cell, r.spec.seed),
        lambda r: (r in baseline_of, preference[r.comparison, r.spec.seed, r.environment]),
        "Repeats a cell and seed in another environment",
    )
    chosen = {run: baseline_of[run] for run in kept if run in baseline_of}
    reasons = [unpaired[run] for run in kept if run in unpaired]
    return Paired(tuple(kept), chosen, (*repeats, *elsewhere, *reasons, *_reservations(chosen)))


def keep_best(
    runs: Iterable[Run], key: Callable[[Run], Hashable], rank: Callable[[Run], tuple[object, ...]], kind: str
) -> tuple[list[Run], list[Remark]]:
    """The highest-ranking run of each key, in the given order, and a remark on every other."""
    best: dict[Hashable, Run] = {}
    runs = list(runs)
    for run in runs:
        rival = best.get(key(run))
        if rival is None or rank(run) > rank(rival):
            best[key(run)] = run
    kept = [run for run in runs if best[key(run)] is run]
    return kept, [remark_on(run, best[key(run)], kind) for run in runs if best[key(run)] is not run]


def remark_on(run: Run, used: Run, kind: str, values: str | None = None) -> Remark:
    """Of the `kind`, on a run for which another one is used; of another where these contradict each other. `values`: those of
    `values_beside`, where they are known already."""
    age = "not of the current code, " if run.stale else ""
    place = f"on {_where(run, used)}, " if run.environment != used.environment else ""
    differing = [name for name in ("options", "starts") if getattr(run.spec, name) != getattr(used.spec, name)]
    differing = [*(["code"] if run.record.code != used.record.code else []), *differing]
    other = f" (other {', '.join(differing)})" if differing else ""
    if values is None:
        values = values_beside(run.record, used.record) if run.record.run_id == used.record.run_id else ""
    if values and not other and run.environment == used.environment:
        kind, values = CONTRADICTS, f"{values}, though one spec and one code computed both"
    instead = f"used instead: {used.name}, started {used.record.started}{other}"
    return Remark(kind, run.name, f"{place}{age}started {run.record.started}; {instead}{values and f'; {values}'}")


def values_beside(record: Record, used: Record) -> str:
    """In how many values two records of one run differ, and where first, and on which processors; "" where all are equal."""
    ours, theirs = ({(row.split, row.metric, row.step): row.value for row in one.measurements} for one in (record, used))
    differing = [place for place in {**theirs, **ours} if ours.get(place) != theirs.get(place)]
    if not differing and (record.layers, record.merge_difference) == (used.layers, used.merge_difference):
        return ""
    first = ", and what its pathways learned does"
    if differing:
        split, metric, step = differing[0]
        one, other = (side.get(differing[0], "absent") for side in (ours, theirs))
        first = f": the first, {split} {metric} after epoch {step}, is {one}, and {other} in what is used"
    places = [one.environment.processor for one in (record, used)]
    where = f" (computed on {places[0]}; {places[1]})" if places[0] != places[1] else ""
    return f"{len(differing)} of {len(ours)} measurements differ{first}{where}"


def _where(run: Run, other: Run) -> str:
    """Where a run was computed, with the packages whose versions are not those of another's"""
    versions = differing_packages(run.spec, run.record.environment, other.record.environment)
    return ", ".join([run.environment_text, *versions])


def pair_with_baselines(runs: Sequence[Run]) -> tuple[dict[Run, Run], dict[Run, Remark]]:
    """The baseline of every run that is not one itself, or the reason why it has none."""
    baselines: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        if run.spec.role == "baseline":
            baselines.setdefault((run.comparison, run.spec.seed), []).append(run)
    compared = {comparison for comparison, _ in baselines}
    found: dict[Run, Run] = {}
    unpaired: dict[Run, Remark] = {}
    for run in (r for r in runs if r.spec.role != "baseline"):
        same_seed = baselines.get((run.comparison, run.spec.seed), [])
        near = [b for b in same_seed if b.environment == run.environment]
        fitting = _narrow([b for b in near if b.checkpoint == run.checkpoint], run)
        if len(fitting) == 1:
            found[run] = fitting[0]
        else:
            unpaired[run] = _reason(run, fitting, near, same_seed, run.comparison in compared)
    return found, unpaired


def _narrow(baselines: list[Run], run: Run) -> list[Run]:
    """Of several baselines, those of the run's variant, if there are any."""
    alike = [b for b in baselines if b.variant == run.variant]
    return alike if len(baselines) > 1 and alike else baselines


def _reason(run: Run, fitting: Sequence[Run], near: Sequence[Run], same_seed: Sequence[Run], compared: bool) -> Remark:
    if fitting:
        return Remark("Not paired: several baselines fit", run.name, ", ".join(sorted(b.name for b in fitting)))
    if near:
        detail = f"its target checkpoint is {run.checkpoint_text}, the baseline's {near[0].checkpoint_text}"
        return Remark("Not paired: the baseline started from another checkpoint", run.name, detail)
    if same_seed:
        others = "; ".join(sorted({_where(b, run) for b in same_seed}))
        detail = f"ran on {_where(run, same_seed[0])}; its baseline on {others}"
        return Remark("Not paired: the baseline ran in another environment", run.name, detail)
    if compared:
        return Remark("Not paired: no baseline run of this seed", run.name, f"seed {run.spec.seed}")
    return Remark("Not paired: no baseline run under the same conditions", run.name)


def _reservations(baseline_of: Mapping[Run, Run]) -> list[Remark]:
    """Pairs that count, though one of their two runs, which have code of their arms each, was computed by older code, or
    though the processors beside their GPUs differ, which draw initial weights and noise."""
    return [
        *(Remark("Paired across two versions of the code", run.name, f"{'its baseline' if baseline.stale else 'it'} is older")
          for run, baseline in baseline_of.items() if run.stale != baseline.stale),
        *(Remark("Paired across two processors", run.name, f"its GPU is beside {run.processor}, its baseline's beside "
                 f"{baseline.processor}; random numbers are drawn there, and may differ")
          for run, baseline in baseline_of.items() if run.processor != baseline.processor),
    ]


def time_ratios(pairs: Iterable[tuple[Run, Run]], what: str) -> list[float]:
    """Seconds of `what` over the other run's, of the pairs in which both were timed, each by itself, and by one command: a
    machine is not as busy with another."""
    def seconds(run: Run) -> float:
        alone = what != "train" or run.record.environment.lockstep is None
        return run.record.seconds.get(what, 0.0) if alone else 0.0

    return [seconds(run) / seconds(other) for run, other in pairs
            if run.record.command == other.record.command and min(seconds(run), seconds(other)) >= SHORTEST_S]
