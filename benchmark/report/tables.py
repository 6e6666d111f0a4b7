"""Estimates in, the report's tables as text out. Full precision stays in the frames, which are written as CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.evidence.collect import SELECTIONS, Collection, chance_of, find_metric
from benchmark.evidence.detectable import BEYOND, PAIR, explain, heading
from benchmark.evidence.frames import first_row, rows_of
from benchmark.evidence.matrix import MISSING, SAME, UNPAIRED, list_auxiliaries, list_targets, state_of
from benchmark.evidence.rule import ABSENT
from benchmark.evidence.sections import has_few_labels
from benchmark.evidence.stats import ALPHA
from benchmark.records.record import Selection
from benchmark.report.markup import (
    NONE,
    Entry,
    Table,
    entry,
    show_difference,
    show_estimate,
    show_interval,
    show_p,
    show_spread,
    show_value,
    text_rows,
)
from benchmark.spec.contracts import Metric, add_up

SELECTED = {"last": "last epoch", "best_val": "epoch chosen on val", "oracle": "best test epoch (selects on test)"}
READ_MEAN = "Mean over seeds ± half width of its 95 % t-interval (n seeds)."
READ_DIFFERENCE = (
    "Difference to {reference}, paired by the seeds that both have, with its 95 % t-interval (each by itself); p: paired "
    "t-test, Holm-adjusted over every {family}. "
)
READ_DIFFERENCE += explain(PAIR)
READ_EFFECT = READ_DIFFERENCE.format(reference="the baseline", family=(
    "target and auxiliary of the arm; its variants are one family, apart from the arm as it is"))
READ_SHORTCUT = "Below chance: what shortcuts reach on the test split without learning the task."
READ_BOLD = f"Bold: adjusted p < {ALPHA:g}."
CONTRAST = ("task", "arm", "auxiliary", "variant", "tuned")  # what one row of the controls' table is about
READ_PAPER = "Paper: what it prints, of its own data and scale, without seeds or intervals."
READ_WORSE = (f"p is two-sided, so that no evidence may stand beside a p below {ALPHA:g}: a difference of the rule is then in "
              "the worse direction. ")
LOWER = "lower is better"
READ_STALE = "†: not computed by the current code."


def matrix_table(
    collection: Collection, cells: pd.DataFrame, effects: pd.DataFrame, section: int, arm: str, variant: str,
    published: Mapping[tuple[str, str, str], str] | None = None, data: Mapping[str, str] | None = None
) -> Table:
    """Targets by auxiliaries: the mean, and under it the difference to the baseline, of the main metric.

    `published` are lines to add by task, auxiliary ("" for the baseline) and metric; `data` says of a task what its data are.
    """
    printed = published or {}
    select: Selection = effects["select"].iloc[0] if len(effects) else "last"
    auxiliaries = list_auxiliaries(collection, section)
    rows = []
    for task in list_targets(collection, section):
        metric = collection.tasks[task].metrics[0]
        ours = cells[(cells["section"] == section) & (cells["task"] == task) & (cells["metric"] == metric.name)]
        differences = effects[(effects["section"] == section) & (effects["metric"] == metric.name)]
        baseline = [_mean_text(row, metric, select) for row in rows_of(ours[ours["role"] == "baseline"])]
        row: list[Entry] = [_target_cell(collection, section, task, (data or {}).get(task))]
        row.append(entry(*baseline or [state_of(collection, section, task)], *_printed(printed, task, "", metric)))
        for auxiliary in auxiliaries:
            paper = _printed(printed, task, auxiliary, metric)
            key = {"task": task, "arm": arm, "variant": variant, "auxiliary": auxiliary}
            mean, effect = first_row(ours, key), first_row(differences, key)
            if mean is None:
                state = state_of(collection, section, task, arm, variant, auxiliary)
                row.append(entry(NONE if state == SAME else state, *paper))
            elif effect is None:
                row.append(entry(_mean_text(mean, metric, select), UNPAIRED, *paper))
            else:
                significant = not pd.isna(effect.p_holm) and effect.p_holm < ALPHA
                lines = (_mean_text(mean, metric, select), *_evidence(effect, metric, getattr(mean, f"{select}_n")))
                row.append(entry(lines[0], lines[1], bold=significant) + entry(*lines[2:], *paper))
        rows.append(tuple(row))
    title = f"{cell_label(arm, '', variant)}: {collection.sections[section].title}, {SELECTED[select]}"
    header = ("Target", "Baseline", *(f"+ {auxiliary}" for auxiliary in auxiliaries))
    stale = [READ_STALE] if cells.loc[cells["section"] == section, "stale"].any() else []
    profile = collection.sections[section].profile
    known = any(collection.tasks[task].shortcuts.get(profile) for task in list_targets(collection, section))
    is_printed = any(_printed(printed, task, name, collection.tasks[task].metrics[0])
                     for task in list_targets(collection, section) for name in ("", *auxiliaries))
    more = [*([READ_SHORTCUT] if known else []), *([READ_PAPER] if is_printed else []), *stale]
    return Table(title, header, tuple(rows), (READ_MEAN, READ_EFFECT, READ_BOLD, *more))


def cells_table(collection: Collection, cells: pd.DataFrame, section: int) -> Table:
    """Every cell and metric of a section under every selection."""
    rows = []
    for row in rows_of(cells[cells["section"] == section]):
        metric = find_metric(collection, row.task, row.metric)
        texts = [show_estimate(row, metric, f"{name}_", with_n=False) for name in SELECTIONS]
        optimism = NONE if pd.isna(row.optimism_mean) else show_difference(row.optimism_mean, metric)
        count = max(int(n) for n in (row.last_n, row.best_val_n, row.oracle_n) if not pd.isna(n))
        label = cell_label(row.arm, row.auxiliary, row.variant) + (" †" if row.stale else "")
        rows.append([row.task, label, unit_label(metric), str(count), *texts, optimism])
    header = ("Target", "Cell", "Metric", "n", "Last", "Best val", "Oracle", "Optimism")
    notes = (
        READ_MEAN,
        "Last: after the last epoch. Best val: at the epoch that the validation split chose by the main metric. "
        "Oracle: each metric's best test epoch, never used for a result. Optimism: oracle minus last, in the better "
        f"direction: what selecting on the test split would have added. {_seen(collection, section)}",
    )
    title = f"All cells: {collection.sections[section].title}"
    return Table(title, header, text_rows(rows), notes, num_labels=3)


def _seen(collection: Collection, section: int) -> str:
    """Out of how many epochs the best was chosen, without which an optimism says little."""
    counts = sorted(len(run.record.curve("test", collection.tasks[run.spec.task].metrics[0].name))
                    for run in collection.runs_of(section))
    if not counts:
        return ""
    shown = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else str(counts[0])
    return f"Each run was tested after {shown} of its epochs; the more, the larger the optimism."


def effects_table(collection: Collection, effects: pd.DataFrame, section: int) -> Table:
    """Every paired difference of the main metrics of a section."""
    rows = []
    for row in rows_of(effects[effects["section"] == section]):
        metric = find_metric(collection, row.task, row.metric)
        if metric == collection.tasks[row.task].metrics[0]:
            label = cell_label(row.arm, row.auxiliary, row.variant) + (" †" if row.stale else "")
            found = NONE if pd.isna(row.found_from) else show_spread(row.found_from, metric)
            p_values = (row.untested or show_p(row.p), show_p(row.p_holm))
            rows.append([row.task, label, unit_label(metric), str(row.n), show_interval(row, metric), *p_values, found])
    header = ("Target", "Cell", "Metric", "n", "Difference to baseline", "p", "p (Holm)", heading(PAIR))
    title = f"Paired differences: {collection.sections[section].title}"
    return Table(title, header, text_rows(rows), (READ_EFFECT,), num_labels=3)


def contrasts_table(collection: Collection, contrasts: pd.DataFrame, verdicts: pd.DataFrame, section: int) -> Table:
    """Each cell of an arm against its baseline and every control that it must beat, with the verdict."""
    frame = contrasts[contrasts["section"] == section]
    beside = set(frame.loc[~frame["in_rule"].astype(bool), "reference"])
    references = sorted(set(frame["reference"]), key=lambda name: (name in beside, name != "baseline", name))
    found = {(*(getattr(row, name) for name in CONTRAST), row.reference): row for row in rows_of(frame)}
    rows, metrics = [], set[Metric]()
    for verdict in rows_of(verdicts[verdicts["section"] == section]):
        metric = find_metric(collection, verdict.task, verdict.metric)
        metrics.add(metric)
        texts = []
        for reference in references:
            row = found.get((*(getattr(verdict, name) for name in CONTRAST), reference))
            texts.append(entry(NONE) if row is None else entry(*_without_pairs(row.unpaired)) if row.n == 0 else
                         entry(show_interval(row, metric), f"p {show_p(row.p)} (n={row.n})"))
        label = cell_label(verdict.arm, verdict.auxiliary, verdict.variant) + (", chosen on val" if verdict.tuned else "")
        shared = entry(*(verdict.shared_sources.split(", ") if verdict.shared_sources else [NONE]))
        edges = [NONE if pd.isna(verdict.found_beyond_all_from) else show_spread(verdict.found_beyond_all_from, metric),
                 NONE if pd.isna(verdict.excluded_above) else show_difference(verdict.excluded_above, metric)]
        left = (verdict.task, label, verdict.verdict, show_p(verdict.p_holm), *edges, unit_label(metric))
        rows.append((*map(entry, left), *texts, shared))
    header = ("Target", "Cell", "Verdict", "p (Holm)", heading(BEYOND), "Excluded above", "Metric",
              *(f"Minus {name}" + (" (not in the rule)" if name in beside else "") for name in references), "Shared sources")
    shares = " on all smaller shares of the labels" if has_few_labels(collection.sections[section]) else ""
    notes = (
        "Differences paired by seed, each with its 95 % t-interval and the p of its own test. Helps: every difference of the "
        "rule is in the better direction, and the largest p, Holm-adjusted over all targets and auxiliaries of the arm"
        f"{shares} (of its variants together), is below {ALPHA:g}. "
        "Otherwise there is no evidence at this scale, which is no proof that there is no effect. "
        f"{READ_WORSE}"
        f"{explain(BEYOND)} Excluded above: the smallest upper end of the intervals, as what helps must be ahead of every "
        "reference; each interval by itself, unadjusted.",
        *(("Chosen on val: each arm in the variant that the validation split preferred, out of the same variants; "
           "tuned-baseline is the plain model, so chosen out of as many.",) if frame["tuned"].any() else ()),
        *(("Of a metric that is to be low, what is excluded is a gain, in the better direction; differences are as measured.",)
          if not all(metric.higher_is_better for metric in metrics) else ()),
        "Shared sources: makers whose work is in both the target's data and the auxiliary's.",
    )
    return Table(f"Beyond every control: {collection.sections[section].title}", header, tuple(rows), notes, num_labels=3)


def alignment_table(collection: Collection, alignments: Mapping[str, Sequence[float]], section: int) -> Table:
    """How alike the representations of each cell and of its baseline are, by depth; empty where nothing was measured."""
    by_cell: dict[tuple[str, str], list[Sequence[float]]] = {}
    for run in collection.runs_of(section):
        values, spec = alignments.get(run.record.identity), run.spec
        if values is not None and run in collection.paired.baseline_of:
            label = cell_label(spec.arm or "", spec.auxiliary or "", run.variant)
            by_cell.setdefault((spec.task, label), []).append(values)
    rows = []
    tasks = list(collection.tasks)
    for (task, label), runs in sorted(by_cell.items(), key=lambda item: (tasks.index(item[0][0]), item[0][1])):
        means = [add_up(column) / len(column) for column in zip(*runs, strict=True)]
        rows.append([task, label, str(len(runs)), "  ".join(f"{mean:.3f}" for mean in means)])
    notes = ("Centred kernel alignment (linear) of what a run and its baseline of the same seed make of the validation "
             "split, after each block from the first to the last; mean over seeds. 1: the same up to rotation and scale.",)
    title = f"Alignment with the baseline: {collection.sections[section].title}"
    return Table(title, ("Target", "Cell", "n", "After each block"), text_rows(rows), notes, num_labels=2)


def claims_table(claims: pd.DataFrame) -> Table:
    """Every published number with its verdict."""
    rows = [[row.id, row.source, f"{row.target}, {row.setting}, {row.method}",
             row.published + ("" if row.consistent else " (inconsistent in the paper)"), row.verdict, row.reason,
             row.notes or NONE] for row in rows_of(claims)]
    notes = ("Published: the paper's value, against its baseline where it names one. Verdicts are computed from records. "
             "Noted: what to know of the published number, such as where it contradicts another.",)
    header = ("Claim", "Source", "Of what", "Published", "Verdict", "Why", "Noted")
    return Table("Published claims", header, text_rows(rows), notes, num_labels=3)


def pretraining_table(collection: Collection, frame: pd.DataFrame) -> Table:
    """What each target's own masked pretraining is worth, per profile and task."""
    rows = []
    for row in rows_of(frame):
        metric = find_metric(collection, row.task, row.metric)
        limit = "" if pd.isna(row.limit) else f", at most {int(row.limit)} samples"
        found = NONE if pd.isna(row.found_from) else show_spread(row.found_from, metric)
        sides = [show_value(value, metric) for value in (row.pretrained, row.scratch)]
        chance = chance_text(collection, row.task, row.profile)
        labels = [row.task, f"{row.profile}{limit}", unit_label(metric), str(row.n)]
        rows.append([*labels, *sides, chance, show_interval(row, metric), show_p(row.p_holm), found])
    header = ("Target", "Profile", "Metric", "n", "Pretrained", "Scratch", "Chance", "Difference", "p (Holm)", heading(PAIR))
    difference = READ_DIFFERENCE.format(reference="scratch", family="target")
    notes = ("Arm finetune against arm scratch on the test split, each by the recipe of its setting.", difference)
    title = "What masked pretraining on the target's own modality is worth"
    return Table(title, header, text_rows(rows), notes, num_labels=3)


def cell_label(arm: str, auxiliary: str, variant: str) -> str:
    """E.g. "method(audio) [option=0.0001]"; of long numbers three digits, as in tables beside it."""
    variant = re.sub(r"\d+\.\d{6,}(e-?\d+)?", lambda number: f"{float(number[0]):.3g}", variant)
    return arm + (f"({auxiliary})" if auxiliary else "") + (f" [{variant}]" if variant else "")


def unit_label(metric: Metric) -> str:
    """E.g. "top-1 (%)"."""
    unit = ", ".join(part for part in (metric.unit, "" if metric.higher_is_better else LOWER) if part)
    return f"{metric.name} ({unit})" if unit else metric.name


def chance_text(collection: Collection, task: str, profile: str) -> str:
    chance = chance_of(collection, task, profile)
    return NONE if chance is None else show_value(chance, collection.tasks[task].metrics[0])


def _target_cell(collection: Collection, section: int, task: str, data: str | None) -> Entry:
    info, profile = collection.tasks[task], collection.sections[section].profile
    lines = [*([data] if data else []), f"{task} ({info.modality})", unit_label(info.metrics[0])]
    if chance_of(collection, task, profile) is not None:
        lines.append(f"chance {chance_text(collection, task, profile)}")
    lines += [f"{name} {show_value(value, info.metrics[0])}" for name, value in info.shortcuts.get(profile, {}).items()]
    return entry(*lines)


def _without_pairs(why: str) -> tuple[str, ...]:
    return (MISSING,) if why == ABSENT else (UNPAIRED, why)


def _mean_text(row: Any, metric: Metric, select: Selection) -> str:
    return show_estimate(row, metric, f"{select}_") + (" †" if row.stale else "")


def _printed(published: Mapping[tuple[str, str, str], str], task: str, auxiliary: str, metric: Metric) -> list[str]:
    line = published.get((task, auxiliary, metric.name))
    return [] if line is None else [line]


def _evidence(effect: Any, metric: Metric, seeds: int) -> tuple[str, ...]:
    """The difference, of how many pairs where these are not all `seeds` of the mean, and what chance alone would give"""
    details = [f"p {show_p(effect.p_holm)}"] if not pd.isna(effect.p_holm) else [effect.untested] if effect.untested else []
    details += [] if pd.isna(effect.found_from) else [f"{PAIR} {show_spread(effect.found_from, metric)}"]
    pairs = "" if effect.n == seeds else f" ({effect.n} pair{'s' * (effect.n != 1)})"
    return (show_interval(effect, metric) + pairs, *([", ".join(details)] if details else []))
