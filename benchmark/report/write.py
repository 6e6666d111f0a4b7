"""Records and problems in, a folder with report.md, tables and figures out. No torch; equal input gives equal bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as AbstractCollection
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmark.claims import Claim, Verdict
from benchmark.record import Record, Selection
from benchmark.report import figures
from benchmark.report.canvas import house_style, save_figure
from benchmark.report.collect import Collection, collect
from benchmark.report.estimates import estimate_cells, estimate_effects, estimate_pretraining
from benchmark.report.evidence import BASELINE, estimate_contrasts, judge_claims, judge_contrasts, summarise_verdicts
from benchmark.report.inputs import Problem, Remark, TaskInfo
from benchmark.report.markup import Table, escape_markdown, plain, text_rows, to_csv, to_latex, to_markdown
from benchmark.report.sections import slugify, unique_slugs
from benchmark.report.tables import (
    SELECTED,
    cells_table,
    claims_table,
    contrasts_table,
    effects_table,
    list_matrices,
    matrix_frame,
    matrix_table,
    pretraining_table,
)

QUESTION = "Does a transformer trained on one modality help a transformer of another, and by how much?"
MAX_NAMED = 20  # runs named under one reason in report.md; remarks.csv names them all
MAX_ROWS = 80  # of a table in report.md; its own file has them all


def write_report(
    records: Iterable[Path | Record],
    problems: Iterable[Problem],
    out: Path,
    select: Selection = "last",
    *,
    tasks: Mapping[str, TaskInfo],
    current: AbstractCollection[str] | None = None,
    command: str = "benchmark report",
    rivals: Mapping[str, Sequence[str]] | None = None,
    claims: Sequence[Claim] = (),
) -> list[Path]:
    """Write `out`/report.md, tables/ and figures/, and return what was written, report.md first.

    `tasks` says what records do not: modality, metrics and chance, in the order of the tables. `current` holds the run
    ids that the current code would compute, if known; all other runs are marked as stale. `rivals` are the controls by arm
    that a gain must beat; `claims` the ledger to judge. `command` is what regenerates the report. Raises OSError where
    `out` cannot be written.
    """
    collection = collect(records, problems, tasks, current)
    cells, effects = estimate_cells(collection), estimate_effects(collection, select)
    pretraining = estimate_pretraining(collection, select)
    contrasts = estimate_contrasts(collection, rivals or {}, select)
    verdicts = judge_contrasts(collection, contrasts)
    writer = _Writer(out)
    slugs = unique_slugs(collection.sections)
    lines = [f"# {QUESTION}", "", f"Test split, {SELECTED[select]}; selection on the validation split only.", ""]
    with house_style():
        for number, section in enumerate(collection.sections):
            title = section.title[0].upper() + section.title[1:]
            lines += [f"## {escape_markdown(title)}", ""]
            lines += _write_section(writer, collection, cells, effects, number, slugs[section])
            lines += _write_contrasts(writer, collection, contrasts, verdicts, number, slugs[section])
    if len(pretraining):
        lines += ["## Pretraining against scratch", ""]
        lines += writer.table("pretraining", pretraining_table(collection, pretraining))
    lines += _write_claims(writer, judge_claims(collection, claims, cells, effects))
    for name, frame in (("cells", cells), ("differences", effects), ("pretraining", pretraining), ("contrasts", contrasts),
                        ("verdicts", verdicts)):
        writer.text(f"tables/{name}.csv", to_csv(_with_sections(frame, collection)))
    writer.text("tables/pairs.csv", to_csv(_with_sections(collection.pairs, collection)))
    lines += _pretraining_losses(writer, collection)
    lines += _remarks(writer, collection)
    lines += _provenance(collection, command)
    if not collection.records:
        lines.insert(4, "There is no finished run.\n")
    writer.text("report.md", "\n".join(lines).rstrip("\n") + "\n", first=True)
    return writer.written


class _Writer:
    """Writes below one folder and remembers what it wrote."""

    def __init__(self, out: Path):
        self.out, self.written = out, list[Path]()
        for folder in (out / "tables", out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)

    def text(self, name: str, text: str, first: bool = False) -> None:
        path = self.out / name
        path.write_text(text, encoding="utf-8", newline="\n")
        self.written.insert(0 if first else len(self.written), path)

    def table(self, name: str, table: Table) -> list[str]:
        """Write as Markdown and LaTeX; the lines to embed, none for an empty table."""
        if not table.rows:
            return []
        self.text(f"tables/{name}.md", to_markdown(table))
        self.text(f"tables/{name}.tex", to_latex(table))
        if len(table.rows) > MAX_ROWS:
            return [f"[{escape_markdown(table.title)}](tables/{name}.md): {len(table.rows)} rows.", ""]
        return [*to_markdown(table).splitlines(), "", f"[Markdown](tables/{name}.md), [LaTeX](tables/{name}.tex)", ""]

    def figure(self, name: str, figure: Figure | None, description: str) -> list[str]:
        """Write as PNG and SVG; the lines to embed."""
        if figure is None:
            return []
        self.written += save_figure(figure, self.out / "figures" / name)
        return [f"![{escape_markdown(description)}](figures/{name}.png)", ""]


def _write_section(
    writer: _Writer, collection: Collection, cells: pd.DataFrame, effects: pd.DataFrame, section: int, slug: str
) -> list[str]:
    lines: list[str] = []
    scales: list[str] = []
    for index, (arm, variant) in enumerate(list_matrices(collection, section)):
        what = (collection, cells, effects, section, arm, variant)
        name = f"{slug}-{slugify(f'{arm} {variant}')}" + (f"-{index}" if index else "")
        title = f"{arm} {variant}".strip()
        lines += writer.table(f"matrix-{name}", matrix_table(*what))
        writer.text(f"tables/matrix-{name}.csv", to_csv(matrix_frame(*what)))
        description = f"Heat map of the paired differences of {title} for every target and auxiliary"
        lines += writer.figure(f"matrix-{name}", figures.draw_matrix(*what), description)
        description = f"Learned cross-modal scales of {title} by layer, a panel per target"
        scales += writer.figure(
            f"scales-{name}", figures.draw_scales(collection, section, arm, variant), description
        )
    forest = figures.draw_forest(collection, effects, section)
    lines += writer.figure(f"forest-{slug}", forest, "Paired differences to the baseline with 95 % intervals")
    lines += writer.table(f"differences-{slug}", effects_table(collection, effects, section))
    curves = figures.draw_curves(collection, section)
    lines += writer.figure(f"curves-{slug}", curves, "Main metric on val and test by epoch, every seed and the mean")
    return lines + scales + writer.table(f"cells-{slug}", cells_table(collection, cells, section))


def _write_contrasts(
    writer: _Writer, collection: Collection, contrasts: pd.DataFrame, verdicts: pd.DataFrame, section: int, slug: str
) -> list[str]:
    """What the arms are worth beyond their controls; nothing where no control was run."""
    measured = contrasts[(contrasts["section"] == section) & (contrasts["n"].astype(float) > 0)]
    if set(measured["reference"]) <= {BASELINE}:
        return []
    lines = ["### Beyond every control?", ""]
    ours = verdicts[verdicts["section"] == section]
    for arm, variant, tuned in dict.fromkeys(zip(ours["arm"], ours["variant"], ours["tuned"], strict=True)):
        same = ours[(ours["arm"] == arm) & (ours["tuned"] == tuned) & (tuned | (ours["variant"] == variant))]
        name = f"{arm}, each in the variant chosen on val" if tuned else f"{arm} [{variant}]" if variant else arm
        line = f"**{escape_markdown(name)}**: {summarise_verdicts(same)}"
        lines += [line, ""] if line not in lines else []
    return lines + writer.table(f"controls-{slug}", contrasts_table(collection, contrasts, verdicts, section))


def _write_claims(writer: _Writer, claims: pd.DataFrame) -> list[str]:
    """The ledger: counts in the page, every claim in a file."""
    if claims.empty:
        return []
    writer.table("claims", claims_table(claims))
    writer.text("tables/claims.csv", to_csv(claims.convert_dtypes()))
    counts = Counter(claims["verdict"])
    shown = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    wrong = int((~claims["consistent"]).sum())
    return ["## Published claims", "", f"{len(claims)} published numbers: {shown}. Of the gains that the paper prints in "
            f"percent, {wrong} do not follow from its own values. Every one with its verdict and the command that tests it: "
            "[Markdown](tables/claims.md), [LaTeX](tables/claims.tex), [CSV](tables/claims.csv).", ""]


def _with_sections(frame: pd.DataFrame, collection: Collection) -> pd.DataFrame:
    """The index of the section replaced by what it stands for."""
    if "section" not in frame:
        return frame.convert_dtypes()
    keys = {
        name: [getattr(collection.sections[int(i)], name) for i in frame["section"]]
        for name in ("profile", "setting", "limit", "conditions")
    }
    return pd.concat([pd.DataFrame(keys, index=frame.index), frame.drop(columns="section")], axis=1).convert_dtypes()


def _pretraining_losses(writer: _Writer, collection: Collection) -> list[str]:
    """Masked pretraining: first and last training loss, by run."""
    rows = []
    for record in collection.records:
        spec, curve = record.spec, record.curve("train", "loss")
        if spec.kind == "pretrain" and curve:
            (_, first), (epoch, last) = min(curve), max(curve)
            limit = "all" if spec.limit is None else str(spec.limit)
            labels = [spec.modality, spec.profile, limit, spec.variant]
            rows.append([*labels, str(spec.seed), str(epoch), f"{first:.4g}", f"{last:.4g}"])
    header = ("Modality", "Profile", "Samples", "Variant", "Seed", "Epochs", "First loss", "Last loss")
    lines = writer.table("pretraining-losses", Table("Masked pretraining", header, text_rows(rows), num_labels=4))
    return ["## Masked pretraining", "", *lines] if lines else []


def _remarks(writer: _Writer, collection: Collection) -> list[str]:
    """What was left out or needs a reservation, and why: by reason in the page, run by run in a file."""
    remarks = [Remark(f"No result: {p.state}", p.name, p.reason) for p in collection.problems]
    remarks += collection.remarks
    stale = [run.name for run in collection.paired.runs if run.stale]
    remarks += [Remark("Shown, though not computed by the current code", name) for name in stale]
    frame = pd.DataFrame([(r.kind, r.name, r.detail) for r in remarks], columns=["reason", "name", "detail"])
    writer.text("tables/remarks.csv", to_csv(frame))
    lines = ["## Left out, and shown with a reservation", ""]
    groups: dict[str, list[Remark]] = {}
    for remark in remarks:
        groups.setdefault(remark.kind, []).append(remark)
    for kind, group in groups.items():
        lines += [f"- **{escape_markdown(kind)}** ({len(group)})"]
        for remark in group[:MAX_NAMED]:
            detail = f": {escape_markdown(remark.detail)}" if remark.detail else ""
            lines.append(f"  - {escape_markdown(remark.name)}{detail}")
        if len(group) > MAX_NAMED:
            lines.append(f"  - and {len(group) - MAX_NAMED} more in [remarks.csv](tables/remarks.csv)")
    return [*lines, *([] if groups else ["Nothing was left out."]), ""]


def _provenance(collection: Collection, command: str) -> list[str]:
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
    runs = f"{trainings} trainings, {len(records) - trainings} pretrainings, {wall:.1f} h"
    lines = ["## Provenance", "", f"- Runs: {runs}"]
    for name, values in facts.items():
        counts = Counter(values)
        known = sorted(counts, key=lambda v: (int(v), v)) if name == "Seeds" else sorted(counts)
        shown = [escape_markdown(v) + (f" ({counts[v]} runs)" if len(known) > 1 else "") for v in known[:MAX_NAMED]]
        more = f"; and {len(known) - MAX_NAMED} more" if len(known) > MAX_NAMED else ""
        lines += [f"- {name}: {'; '.join(shown) or 'unknown'}{more}"]
    return [*lines, "", "## Regenerate", "", "From the records alone, in seconds, to the same bytes:", "",
            f"    {plain(command)}", ""]  # fmt: skip
