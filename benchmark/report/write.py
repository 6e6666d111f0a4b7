"""Records and problems in, a folder with a page, tables and figures out. No torch; equal input gives equal bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as AbstractCollection
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.claims import TESTED_PROFILE, Claim, Verdict
from benchmark.record import Record, Selection
from benchmark.report import figures
from benchmark.report.canvas import house_style
from benchmark.report.collect import Collection, collect
from benchmark.report.document import FORMATS, MAX_ITEMS, Code, Document, Heading, Items, Paragraph
from benchmark.report.estimates import estimate_cells, estimate_effects, estimate_pretraining
from benchmark.report.evidence import BASELINE, estimate_contrasts, judge_claims, judge_contrasts, summarise_verdicts
from benchmark.report.inputs import Problem, Remark, TaskInfo
from benchmark.report.markup import Table, text_rows
from benchmark.report.sections import slugify, unique_slugs
from benchmark.report.tables import (
    SELECTED,
    alignment_table,
    cells_table,
    claims_table,
    contrasts_table,
    effects_table,
    list_matrices,
    matrix_frame,
    matrix_table,
    pretraining_table,
    published_table,
)
from benchmark.stats import ALPHA

QUESTION = "Does a transformer trained on one modality help a transformer of another, and by how much?"


FINDINGS = ("contradicted", "not-reproduced", "stale", "missing", "failed", "unreadable")  # what `report --fail-on` knows


@dataclass(frozen=True)
class Analysis:
    """Everything that a report says, before it is written."""

    collection: Collection
    select: Selection
    cells: pd.DataFrame
    effects: pd.DataFrame
    pretraining: pd.DataFrame
    contrasts: pd.DataFrame
    verdicts: pd.DataFrame
    claims: Sequence[Claim]
    judged: pd.DataFrame  # the claims with their verdicts
    alignments: Mapping[str, Sequence[float]]

    def count(self, finding: str) -> int:
        """How often one of `FINDINGS` occurs."""
        if finding in ("contradicted", "not-reproduced"):
            return int((self.judged["verdict"] == finding.replace("-", " ")).sum())
        if finding == "stale":
            return sum(run.stale for run in self.collection.paired.runs)
        return sum(problem.state == finding for problem in self.collection.problems)


def analyse(
    records: Iterable[Path | Record],
    problems: Iterable[Problem],
    select: Selection = "last",
    *,
    tasks: Mapping[str, TaskInfo],
    current: AbstractCollection[str] | None = None,
    rivals: Mapping[str, Sequence[str]] | None = None,
    claims: Sequence[Claim] = (),
    alignments: Mapping[str, Sequence[float]] | None = None,
) -> Analysis:
    """All estimates and verdicts.

    `tasks` says what records do not: modality, metrics and chance, in the order of the tables. `current` holds the run
    ids that the current code would compute, if known; all other runs are marked as stale. `rivals` are the controls by arm
    that a gain must beat; `claims` the ledger to judge; `alignments` of runs with their baselines, by run id.
    """
    collection = collect(records, problems, tasks, current)
    cells, effects = estimate_cells(collection), estimate_effects(collection, select)
    contrasts = estimate_contrasts(collection, rivals or {}, select)
    return Analysis(collection, select, cells, effects, estimate_pretraining(collection, select), contrasts,
                    judge_contrasts(collection, contrasts), claims, judge_claims(collection, claims, cells, effects),
                    alignments or {})


def write_report(
    analysis: Analysis, out: Path, command: str = "benchmark report", formats: AbstractCollection[str] = FORMATS
) -> list[Path]:
    """Write the page, tables/ and figures/ below `out` in the given formats; returns what was written, the page first.

    `command` is what regenerates the report. Raises OSError where `out` cannot be written.
    """
    collection, cells, effects = analysis.collection, analysis.cells, analysis.effects
    contrasts, verdicts = analysis.contrasts, analysis.verdicts
    document = Document(out, formats)
    slugs = unique_slugs(collection.sections)
    note = f"Test split, {SELECTED[analysis.select]}; selection on the validation split only."
    document.add(Heading(QUESTION, 1), Paragraph(note))
    if not collection.records:
        document.add(Paragraph("There is no finished run."))
    with house_style():
        for number, section in enumerate(collection.sections):
            document.add(Heading(section.title[0].upper() + section.title[1:]))
            _add_section(document, collection, cells, effects, analysis.claims, number, slugs[section])
            _add_contrasts(document, collection, contrasts, verdicts, number, slugs[section])
            document.table(f"alignment-{slugs[section]}", alignment_table(collection, analysis.alignments, number))
    if len(analysis.pretraining):
        document.add(Heading("Pretraining against scratch"))
        document.table("pretraining", pretraining_table(collection, analysis.pretraining))
    _add_claims(document, analysis.judged)
    for name, frame in (("cells", cells), ("differences", effects), ("pretraining", analysis.pretraining),
                        ("contrasts", contrasts), ("verdicts", verdicts), ("pairs", collection.pairs)):
        document.frame(name, _with_sections(frame, collection))
    _add_pretraining_losses(document, collection)
    _add_remarks(document, collection)
    _add_provenance(document, collection, command)
    document.pages({"title": "m2pt-bench report", "question": QUESTION, "badges": _badges(collection),
                    "answer": _answer(collection, effects, verdicts)})
    return document.written


def _add_section(
    document: Document, collection: Collection, cells: pd.DataFrame, effects: pd.DataFrame, claims: Sequence[Claim],
    section: int, slug: str
) -> None:
    matrices = list_matrices(collection, section)
    for index, (arm, variant) in enumerate(matrices):
        what = (collection, cells, effects, section, arm, variant)
        name = f"{slug}-{slugify(f'{arm} {variant}')}" + (f"-{index}" if index else "")
        title = f"{arm} {variant}".strip()
        document.table(f"matrix-{name}", matrix_table(*what))
        document.frame(f"matrix-{name}", matrix_frame(*what))
        if not variant:
            document.table(f"published-{slug}", published_table(collection, claims, section))
        document.figure(f"matrix-{name}", figures.draw_matrix(*what),
                        f"Heat map of the paired differences of {title} for every target and auxiliary")
    document.figure(f"forest-{slug}", figures.draw_forest(collection, effects, section),
                    "Paired differences to the baseline with 95 % intervals")
    document.table(f"differences-{slug}", effects_table(collection, effects, section))
    document.figure(f"curves-{slug}", figures.draw_curves(collection, section),
                    "Main metric on val and test by epoch, every seed and the mean")
    for index, (arm, variant) in enumerate(matrices):
        name = f"{slug}-{slugify(f'{arm} {variant}')}" + (f"-{index}" if index else "")
        document.figure(f"scales-{name}", figures.draw_scales(collection, section, arm, variant),
                        f"Learned cross-modal scales of {arm} {variant}".strip() + " by layer, a panel per target")
    document.table(f"cells-{slug}", cells_table(collection, cells, section))


def _add_contrasts(
    document: Document, collection: Collection, contrasts: pd.DataFrame, verdicts: pd.DataFrame, section: int, slug: str
) -> None:
    """What the arms are worth beyond their controls; nothing where no control was run."""
    if not _has_controls(contrasts, section):
        return
    document.add(Heading("Beyond every control?", 3))
    document.add(*(Paragraph(text, f"{name}:") for name, text in _control_verdicts(verdicts, section)))
    document.table(f"controls-{slug}", contrasts_table(collection, contrasts, verdicts, section))


def _has_controls(contrasts: pd.DataFrame, section: int) -> bool:
    measured = contrasts[(contrasts["section"] == section) & (contrasts["n"].astype(float) > 0)]
    return not set(measured["reference"]) <= {BASELINE}


def _control_verdicts(verdicts: pd.DataFrame, section: int) -> list[tuple[str, str]]:
    """Each arm and variant of a section, and the variants that validation chose, with their sentence"""
    ours = verdicts[verdicts["section"] == section]
    found: dict[str, str] = {}
    for arm, variant, tuned in dict.fromkeys(zip(ours["arm"], ours["variant"], ours["tuned"], strict=True)):
        name = f"{arm}, each in the variant chosen on val" if tuned else f"{arm} [{variant}]" if variant else arm
        same = ours[(ours["arm"] == arm) & (ours["tuned"] == tuned) & (tuned | (ours["variant"] == variant))]
        found.setdefault(name, summarise_verdicts(same))
    return list(found.items())


def _answer(collection: Collection, effects: pd.DataFrame, verdicts: pd.DataFrame) -> list[str]:
    """The first thing that a reader sees: what the complete sections say, a sentence each."""
    main = {task: info.metrics[0] for task, info in collection.tasks.items()}
    lines = []
    for number, section in enumerate(collection.sections):
        ours = effects[(effects["section"] == number) & (effects["role"] == "method") & (effects["variant"] == "")]
        ours = ours[[metric == main[task].name for task, metric in zip(ours["task"], ours["metric"], strict=True)]]
        if section.conditions or section.limit is not None or ours.empty:
            continue
        sign = [1 if main[task].higher_is_better else -1 for task in ours["task"]]
        found, better = ours["p_holm"].astype(float) < ALPHA, ours["difference"] * sign > 0
        title = section.title[0].upper() + section.title[1:]
        text = (f"{title}: of {len(ours)} target x auxiliary pairs, {int((found & better).sum())} gain over their baseline and "
                f"{int((found & ~better).sum())} lose beyond chance (paired by seed, Holm-adjusted")
        known = ours["mde"].dropna().astype(float)
        text += f"; effects from {known.min():.1f} to {known.max():.1f} could have been found)." if len(known) else ")."
        judged = dict(_control_verdicts(verdicts, number)).get("m2pt", "")
        lines.append(text + (f" {judged}" if judged and not judged.startswith("Not judged") else ""))
    return lines or ["No target x auxiliary pair has been measured on all data yet."]


def _badges(collection: Collection) -> list[str]:
    """Reservations about all that follows"""
    profiles = sorted({section.profile for section in collection.sections} - {TESTED_PROFILE})
    badges = [f"Profile {', '.join(profiles)}: embedded data at a small scale, not comparable with published numbers"] \
        if profiles else []
    if any(section.limit is not None for section in collection.sections):
        badges.append("Some rows saw a few samples only: they show that everything runs, and nothing else")
    stale = sum(run.stale for run in collection.paired.runs)
    if stale:
        badges.append(f"{stale} of {len(collection.paired.runs)} runs were not computed by the current code")
    return badges


def _add_claims(document: Document, claims: pd.DataFrame) -> None:
    """The ledger: counts on the page, every claim in a table of its own."""
    if claims.empty:
        return
    document.frame("claims", claims.convert_dtypes())
    counts = Counter(claims["verdict"])
    shown = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    wrong = int((~claims["consistent"]).sum())
    document.add(Heading("Published claims"), Paragraph(
        f"{len(claims)} published numbers: {shown}. Of the gains that the paper prints in percent, {wrong} "
        f"{'does' if wrong == 1 else 'do'} not follow from its own values. The table has every one with its verdict and the "
        "command that tests it."))
    document.table("claims", claims_table(claims), searchable=True, on_page=False)


def _with_sections(frame: pd.DataFrame, collection: Collection) -> pd.DataFrame:
    """The index of the section replaced by what it stands for."""
    if "section" not in frame:
        return frame.convert_dtypes()
    keys = {
        name: [getattr(collection.sections[int(i)], name) for i in frame["section"]]
        for name in ("profile", "setting", "limit", "conditions")
    }
    return pd.concat([pd.DataFrame(keys, index=frame.index), frame.drop(columns="section")], axis=1).convert_dtypes()


def _add_pretraining_losses(document: Document, collection: Collection) -> None:
    """Masked pretraining: first and last training loss, by run."""
    rows = []
    for record in collection.records:
        spec, curve = record.spec, record.curve("train", "loss")
        if spec.kind == "pretrain" and curve:
            (_, first), (epoch, last) = min(curve), max(curve)
            limit = "all" if spec.limit is None else str(spec.limit)
            labels = [spec.modality, spec.profile, limit, spec.variant]
            rows.append([*labels, str(spec.seed), str(epoch), f"{first:.4g}", f"{last:.4g}"])
    if rows:
        header = ("Modality", "Profile", "Samples", "Variant", "Seed", "Epochs", "First loss", "Last loss")
        document.add(Heading("Masked pretraining"))
        document.table("pretraining-losses", Table("Masked pretraining", header, text_rows(rows), num_labels=4))


def _add_remarks(document: Document, collection: Collection) -> None:
    """What was left out or needs a reservation, and why: by reason on the page, run by run in a file."""
    remarks = [Remark(f"No result: {p.state}", p.name, p.reason) for p in collection.problems]
    remarks += collection.remarks
    stale = [run.name for run in collection.paired.runs if run.stale]
    remarks += [Remark("Shown, though not computed by the current code", name) for name in stale]
    frame = pd.DataFrame([(r.kind, r.name, r.detail) for r in remarks], columns=["reason", "name", "detail"])
    document.frame("remarks", frame)
    groups: dict[str, list[Remark]] = {}
    for remark in remarks:
        groups.setdefault(remark.kind, []).append(remark)
    document.add(Heading("Left out, and shown with a reservation"))
    points = tuple((f"{kind} ({len(group)})", tuple(": ".join(filter(None, (r.name, r.detail))) for r in group))
                   for kind, group in groups.items())
    if points:
        document.add(Items(points, emphasised=True, rest="tables/remarks.csv"))
    else:
        document.add(Paragraph("Nothing was left out."))


def _add_provenance(document: Document, collection: Collection, command: str) -> None:
    """Where and by what the runs were computed, and how to get the same files again."""
    records = collection.records
    environments = [record.environment for record in records]
    facts = {
        "Commit": (f"{e.commit or 'unknown'}{' (with local changes)' if e.dirty else ''}" for e in environments),
        "Code digest": (record.spec.code[:12] for record in records),
        "Torch": (f"{e.torch}, Python {e.python}" for e in environments),
        "Hardware": (f"{e.device} ({e.processor}), {e.threads} thread(s), {e.platform}" for e in environments),
        "Seeds": (str(record.spec.seed) for record in records),
        "Command": (record.command for record in records if record.command),
    }
    trainings = sum(record.spec.kind == "train" for record in records)
    wall = sum(record.seconds.get("wall", 0.0) for record in records) / 3600
    points = [f"Runs: {trainings} trainings, {len(records) - trainings} pretrainings, {wall:.1f} h"]
    for name, values in facts.items():
        counts = Counter(values)
        known = sorted(counts, key=lambda v: (int(v), v)) if name == "Seeds" else sorted(counts)
        shown = [v + (f" ({counts[v]} runs)" if len(known) > 1 else "") for v in known[:MAX_ITEMS]]
        more = f"; and {len(known) - MAX_ITEMS} more" if len(known) > MAX_ITEMS else ""
        points.append(f"{name}: {'; '.join(shown) or 'unknown'}{more}")
    document.add(Heading("Provenance"), Items(tuple((point, ()) for point in points)), Heading("Regenerate"),
                 Paragraph("From the records alone, in seconds, to the same bytes:"), Code(command))
