"""Planned or recorded runs in, whether their results are those of today's code and data out. The one judge of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmark.provenance.certificates import Certificates, Step, class_of, load_certificates, place_of
from benchmark.provenance.code import PARTS, used_code
from benchmark.records.beside import altered_beside
from benchmark.records.earlier import WHOLE
from benchmark.records.headers import Header, spare_folders
from benchmark.records.record import Record, names_under
from benchmark.records.store import Store
from benchmark.spec.plural import counted, worded
from benchmark.spec.runspec import Form, RunSpec

State = Literal["up to date", "carried", "other code", "other data", "failed", "missing"]
GOOD: tuple[State, ...] = ("up to date", "carried")
AGAIN: tuple[State, ...] = ("other code", "other data")  # what is computed again where nobody says
STATES: tuple[State, ...] = ("up to date", "carried", "other code", "other data", "failed", "missing")


@dataclass(frozen=True)
class Standing:
    """How a run stands to today's code and data.

    "up to date": computed by today's code. "carried": by other code, and certificates show that what
    changed since alters no bit (`steps`). "other code", "other data": computed by, or from, other.
    "failed": no result, or a record that cannot be read. "missing": never computed.
    """

    state: State
    detail: str = ""  # which part moved, or why there is no result
    steps: tuple[Step, ...] = ()
    place: str = ""  # packages that computed it, one name for those that certificates show to be alike

    @property
    def holds(self) -> bool:
        """Whether the result counts as one of today's."""
        return self.state in GOOD

    @property
    def extent(self) -> str:
        """Of what is carried, by the size of the replays: "whole" where each step had one at the recorded size, "mixed"
        where some had, "short" where none had.
        """
        extents = {step.extent for step in self.steps}
        return "mixed" if len(extents) > 1 else next(iter(extents), "")


UP_TO_DATE = Standing("up to date")


class Judge:
    """Judges with the certificates at hand."""

    def __init__(self, certificates: Certificates):
        self.certificates = certificates
        self._ways: dict[tuple[str, str, str], Standing] = {}

    @classmethod
    def beside(cls, *stores: Store) -> Judge:
        """With the suite's certificates, and those beside the stores."""
        return cls(load_certificates([store.folder for store in stores]))

    def of_code(self, form: Form, recorded: Mapping[str, str], today: Mapping[str, str], device: str,
                lockstep: int, processes: Sequence[int] = (1,)) -> Standing:
        """Of a result that `recorded` code computed, in a stack of so many and by so many processes."""
        today = used_code(today, lockstep > 1, max(processes) > 1)
        if recorded == today:
            return UP_TO_DATE
        group = class_of(form, device, lockstep, processes)
        key = (group, str(sorted(recorded.items())), str(sorted(today.items())))
        if key not in self._ways:
            way = self.certificates.way(group, recorded, today)
            self._ways[key] = (Standing("other code", _moved(recorded, today)) if way is None
                               else Standing("carried", steps=tuple(way)))
        return self._ways[key]

    def of_record(self, record: Record, today: Mapping[str, str] | None, data: Mapping[str, str] | None) -> Standing:
        """Of a record; `today`, `data`: digests of what would compute it now, None where that is not here to compare."""
        environment, spec = record.environment, record.spec
        standing = self.of_header(Header.of(record), today, data)
        group = class_of(spec.form, environment.device, environment.lockstep or 1, environment.processes or (1,))
        return replace(standing, place=self.certificates.place(group, place_of(environment, spec)))

    def of_header(self, header: Header, today: Mapping[str, str] | None, data: Mapping[str, str] | None) -> Standing:
        """As `of_record`, of what is kept of a record, without the packages that computed it."""
        if data is not None and header.data != data:
            return Standing("other data", ", ".join(name for name in header.data if header.data[name] != data.get(name)))
        if today is None:
            return UP_TO_DATE
        return self.of_code(header.form, header.code, today, header.device, header.lockstep, header.processes)

    def of_plan(self, store: Store, planned: Sequence[tuple[RunSpec, Mapping[str, str]]],
                headers: Mapping[str, Header] | None = None) -> list[Standing]:
        """Of planned runs, each with today's code, what others start from before them, as they stand no better than that does;
        `headers`: of the folder's records, where they are read already.
        """
        present = names_under(store.folder)
        of_cell: dict[str, list[str]] = {}
        for name in present:
            of_cell.setdefault(name.rpartition("-")[0], []).append(name)
        known = set(present)
        own = [spec.name for spec, _ in planned if spec.name in known]
        near = [other for spec, _ in planned if spec.name not in known
                for other in of_cell.get(spec.name.rpartition("-")[0], [])]
        headers = headers if headers is not None else store.headers(dict.fromkeys([*own, *near]))
        found: dict[str, Standing] = {}
        for spec, code in planned:
            own_standing = self._of_one(spec, code, headers, store, known, of_cell.get(spec.name.rpartition("-")[0], []))
            moved = next((found[start].state for start in spec.starts.values()
                          if start in found and found[start].state in AGAIN), None)
            found[spec.run_id] = Standing(moved, "what it starts from") if moved and own_standing.holds else own_standing
        return [found[spec.run_id] for spec, _ in planned]

    def _of_one(self, spec: RunSpec, code: Mapping[str, str], headers: Mapping[str, Header], store: Store,
                known: set[str], others: Sequence[str]) -> Standing:
        near = [headers[other] for other in others if other in headers]
        earlier = (one for one in near if one.run_id == spec.run_id)  # under the name of an earlier release
        header = headers.get(spec.name) or next(earlier, None)
        if header is not None and not header.fault and header.run_id != spec.run_id:
            return Standing("failed", f"its folder has the record of another run, {header.run_id}, whose name it must have")
        if header is not None and not header.fault:
            return self.of_code(spec.form, header.code, code, header.device, header.lockstep, header.processes)
        if header is not None:
            return Standing("failed", f"its record cannot be read: {header.fault}")
        if spec.name in known and (failure := store.failure(spec)) is not None:
            return Standing("failed", failure.error)
        if any(one.asked == spec.asked for one in near):
            return Standing("other data")
        return Standing("missing")


def started_otherwise(starts: Mapping[str, str], began: Mapping[str, str], left: Mapping[str, Collection[str]]) -> list[str]:
    """The roles in which a run started from other weights than those that the recorded run left which it names.

    By role, `starts` are run ids and `began` digests of weights; `left` are those that each run left, "" where none is known.
    """
    return [role for role, start in sorted(starts.items())
            if start in left and "" not in left[start] and began.get(role, "") not in {"", *left[start]}]


def doubts_of(store: Store, names: Iterable[str], headers: Mapping[str, Header]) -> dict[str, list[str]]:
    """What of these runs' results should be known though nothing is to be computed for it, each with the runs that it is of.

    `headers`: of all records of their folder, in which those that do not count are in no doubt.
    """
    left: dict[str, set[str]] = {}
    for header in headers.values():
        left.setdefault(header.run_id, set()).add(header.weights)
    spare = spare_folders(headers)
    counted = {name: headers[name] for name in names if name in headers and not headers[name].fault and name not in spare}
    altered = altered_beside(store.folder, {name: header.beside for name, header in counted.items()})
    found: dict[str, list[str]] = {}
    for name, header in counted.items():
        for role in started_otherwise(header.starts, header.began, left):
            doubt = f"started from weights (of its {role}) that were computed anew since, and are others now"
            found.setdefault(doubt, []).append(name)
        for file, what in altered.get(name, {}).items():
            found.setdefault(f"{file} beside the record {what}", []).append(name)
    return found


def carried_note(standings: Sequence[Standing]) -> str:
    """How many results are carried over from other code, and by which evidence; "" where none is"""
    extents = [standing.extent for standing in standings if standing.state == "carried"]
    if not extents:
        return ""
    certificates = sorted({step.certificate for standing in standings for step in standing.steps})
    many = len(extents)
    whole, mixed, short = (extents.count(extent) for extent in ("whole", "mixed", "short"))
    return (f"{many} of {counted(len(standings), 'run')} {worded(many, 'was', 'were')} computed by earlier code and "
            f"{worded(many, 'is', 'are')} carried over: replays of one run of each class ({whole} by replays at their full "
            f"size, {mixed} by such and then by short ones, {short} by short ones) were equal to the last bit, which is "
            f"evidence and no proof ({', '.join(certificates)})")


def _moved(recorded: Mapping[str, str], today: Mapping[str, str]) -> str:
    """The parts of the code that are not as they were"""
    if WHOLE in recorded or not recorded:
        return "some part"
    return ", ".join(part for part in PARTS if recorded.get(part) != today.get(part))
