"""Records in, where their numbers are from and how to get them again out."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence

from benchmark.evidence.claims import cell_command
from benchmark.evidence.collect import Collection
from benchmark.evidence.pairing import processes_text
from benchmark.records.record import Record
from benchmark.report.document import MAX_ITEMS
from benchmark.report.markup import Table, text_rows
from benchmark.report.tables import cell_label
from benchmark.spec.plural import counted

DIGITS = 16  # of a file's digest


def whose_data(collection: Collection, published: str) -> str:
    """What runs of other profiles than the `published` one saw: data that come with the suite, those of tasks of one's own, or
    both"""
    specs = [run.spec for run in collection.paired.runs] + [one.spec for one in collection.problems if one.spec is not None]
    small = [spec for spec in specs if spec.kind == "train" and spec.profile != published]
    own = {spec.task for spec in small if spec.profile not in collection.tasks[spec.task].shipped}
    named = f"data of {', '.join(task for task in collection.tasks if task in own)}" if own else ""
    return " and ".join(filter(None, ["embedded data" if {spec.task for spec in small} - own else "", named]))


def facts(records: Sequence[Record]) -> list[str]:
    """Counts, commits, code, software, hardware, seeds and commands of all records, a line each."""
    environments = [record.environment for record in records]
    by_name = {
        "Commit": (f"{e.commit or 'unknown'}{' (with local changes)' if e.dirty else ''}" for e in environments),
        "Code digest": (record.origin.rpartition("-")[2] for record in records),
        "Torch": (f"{e.torch}, Python {e.python}" for e in environments),
        "Hardware": (f"{e.device} ({e.processor}{f'; arithmetic {e.arithmetic}' if e.arithmetic else ''}), "
                     f"{e.threads} thread(s), {e.platform}"
                     + (f", in lock-step by {e.lockstep}" if e.lockstep else "") + processes_text(e.processes or (1,))
                     for e in environments),
        "Seeds": (str(record.spec.seed) for record in records),
        "Command": (record.command for record in records if record.command),
    }
    notes = [f"{record.spec.task}: {note}" for record in records for note in record.data_notes.values()]
    if notes:
        by_name["To know of the data"] = (note for note in notes)
    given = [text for record in records for text in given_weights(record)]
    if given:
        by_name["Weights from files"] = (text for text in given)
    trainings = sum(record.spec.kind == "train" for record in records)
    wall = sum(record.seconds.get("wall", 0.0) for record in records) / 3600
    points = [f"Runs: {counted(trainings, 'training')}, {counted(len(records) - trainings, 'pretraining')}, {wall:.1f} h"]
    for name, values in by_name.items():
        counts = Counter(values)
        known = sorted(counts, key=lambda v: (int(v), v)) if name == "Seeds" else sorted(counts)
        shown = [v + (f" ({counted(counts[v], 'run')})" if len(known) > 1 else "") for v in known[:MAX_ITEMS]]
        more = f"; and {len(known) - MAX_ITEMS} more" if len(known) > MAX_ITEMS else ""
        points.append(f"{name}: {'; '.join(shown) or 'unknown'}{more}")
    return points


def given_weights(record: Record) -> list[str]:
    """What a run started from that was not trained here: a text for each file, the same for the same file."""
    spec, texts = record.spec, []
    for role in spec.starts:
        if digest := record.given(role):
            name = spec.auxiliary if role == "auxiliary" and spec.auxiliary else spec.modality
            sources = (spec.published or {}).get(role, {})
            known = " and ".join(f"{file}, SHA-256 {own[:DIGITS]}" for file, own in sorted(sources.items()))
            texts.append(f"{name}, SHA-256 {digest[:DIGITS]}" + (f", converted from {known}" if known else ""))
    return texts


def commands_table(collection: Collection) -> Table:
    """Of every cell: its seeds, what computed it, and the command that computes it with its baseline."""
    groups: dict[tuple[int, int, bool, str, str, str], list[Record]] = {}
    for run in collection.paired.runs:
        place = (collection.section_of[run.comparison], list(collection.tasks).index(run.spec.task))
        key = (*place, run.spec.role != "baseline", *run.cell[1:])
        groups.setdefault(key, []).append(run.record)
    rows = []
    for (number, _, _, arm, auxiliary, variant), records in sorted(groups.items(), key=lambda item: item[0]):
        spec, section = records[0].spec, collection.sections[number]
        altered = section.conditions or (variant if variant != spec.variant else "")
        seeds = sorted(record.spec.seed for record in records)
        commits = sorted({(e.commit or "unknown")[:12] + ("+" if e.dirty else "") for e in (r.environment for r in records)})
        devices = sorted({record.environment.device for record in records})
        rows.append([spec.task, cell_label(arm, auxiliary, variant), section.title,
                     " ".join(map(str, seeds)), " ".join(commits), ", ".join(devices), command_of(records, altered)])
    header = ("Target", "Cell", "Conditions", "Seeds", "Commit", "Device", "Command")
    notes = ("The command trains the cell with its baseline and what they start from. Commit: of the suite when the run was "
             "computed; + stands for local changes.",)
    return Table("Where every row is from", header, text_rows(rows), notes, num_labels=3)


def command_of(records: Sequence[Record], conditions: str = "") -> str:
    """What computes the runs of one cell. Under altered conditions, on few samples, or with files that are not of the suite
    (plugins, weights): as it was typed."""
    spec = records[0].spec
    typed = next((record.command for record in records if record.command), "")
    if conditions or spec.limit is not None or re.search(r" --(plugins|start)[ =]", typed):
        return typed or "unknown"
    parts = cell_command(spec.profile, spec.task, spec.setting or "", spec.arm or "", spec.auxiliary)
    changed = [part.partition("=")[0] for part in spec.variant.split(",") if part]
    for name in changed:
        if name in spec.options:
            parts += ["--set", f"arm.{name}={json.dumps(spec.options[name], separators=(',', ':'))}"]
    return shlex.join([*parts, "--seeds", ",".join(str(seed) for seed in sorted(record.spec.seed for record in records))])
