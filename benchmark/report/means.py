"""Mean effects, null pairs and likeness of scales in; the headline, and their tables, out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.collect import sign_of
from benchmark.evidence.detectable import ALONE, explain, heading
from benchmark.evidence.estimates import known
from benchmark.evidence.frames import first_row, rows_of
from benchmark.evidence.means import ALL
from benchmark.evidence.rule import BASELINE
from benchmark.evidence.rule2 import AHEAD, HELPS, NO_EVIDENCE
from benchmark.evidence.stats import ALPHA
from benchmark.report.markup import MINUS, NONE, Table, as_gain, show_interval, show_p, show_points, show_spread, text_rows
from benchmark.spec.contracts import Metric

POINTS = Metric("points")  # of a mean over targets
DRAWN = {  # how noise is drawn: what its cells differ in, and how many draws there are
    "shared": ("the same noise, scaled for one auxiliary and for another",
               "A draw is named by seed and arm, so that all targets, auxiliaries and settings of a seed share it"),
    "own": ("noise of its own for one auxiliary and for another",
            "A draw is named by seed, arm, target, auxiliary and setting, so that each has noise of its own"),
    "mixed": ("noise for one auxiliary and for another, of some the same and of some their own",
              "Some runs have a draw of their own; the others of a seed and arm share one"),
}
JUDGED = {  # by the second rule, over all pairs
    HELPS: "helps on average, beyond each of its controls",
    AHEAD: "is ahead of its controls' mean, but not shown to help beyond each of them",
    NO_EVIDENCE: "is not shown to help beyond its controls",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def headline_section(analysis: Analysis) -> int | None:
    """The first section in which the method was run on several targets; None without one"""
    means = analysis.means
    whole = means[(means["task"] == ALL) & (means["reference"] == BASELINE) & (means["arm"] == analysis.study.method)]
    return None if whole.empty else int(whole["section"].iloc[0])


def headline(analysis: Analysis) -> str:
    """One sentence: what the treatment is, what it is worth on average, what was published, and what controls are worth.

    Where all seeds of the second rule are there, it is that rule's verdict over all pairs, with its numbers; where a part of
    them is, it says that it is no verdict of that rule, and what is missing.
    """
    section = headline_section(analysis)
    if section is None:
        return ""
    study = analysis.study
    second = judged(analysis, section)
    if second is not None:
        return _sentence(analysis, second)
    rows = {name: first_row(analysis.means, {"section": section, "task": ALL, "arm": name, "reference": BASELINE})
            for name in (study.method, *study.rivals.get(study.method, ()))}
    ours = rows.pop(study.method)
    assert ours is not None  # else it would have no section
    if ours.n == 1:
        return (f"One seed is there of all {ours.pairs} pairs, which tells nothing of chance{_left_out(ours)}"
                f"{_part(analysis, ours)}.")
    if pd.isna(ours.low):
        text = count(ours.n, "seed")
        return (f"{text[0].upper()}{text[1:]} are there of all {ours.pairs} pairs, and the mean gain over the plain model is "
                f"{show_points(ours.difference)} points in each: without spread, nothing is told of chance{_left_out(ours)}"
                f"{_part(analysis, ours)}.")
    found = "helps on average" if ours.low > 0 else "hurts on average" if ours.high < 0 else "is not shown to help"
    where = analysis.collection.sections[section]
    text = (f"{study.treatment[0].upper()}{study.treatment[1:]} {found}: over {ours.pairs} pairs of modalities and "
            f"{count(ours.n, 'seed')} the gain over the plain model averages {_points(ours)}")
    if not pd.isna(ours.published):
        text += f", where the published gains of these pairs average {show_points(ours.published)}"
    for name, row in rows.items():
        if row is not None:
            text += f"; {study.called.get(name, name)} averages {_points(row)}{_fewer(row, ours)}"
    return f"{text} (profile {where.profile}, setting {where.setting}{_left_out(ours)}){_part(analysis, ours)}."


def judged(analysis: Analysis, section: int) -> Any:
    """What the second rule says over all pairs of a section; None where it judges nothing there"""
    row = first_row(analysis.second, {"section": section, "task": ALL})
    return row if row is not None and row.verdict in JUDGED else None


def over_plain(row: Any) -> Any:
    """A row of the second rule with the difference to the plain model in place of that to the mean of all controls"""
    return row._replace(difference=row.over_baseline, low=row.over_low, high=row.over_high)


def _sentence(analysis: Analysis, row: Any) -> str:
    """The verdict over all pairs by the rule that was written down before these seeds were run"""
    study, where = analysis.study, analysis.collection.sections[row.section]
    controls = ", ".join(["the plain model", *(study.called.get(name, name) for name in study.rivals.get(study.method, ()))])
    published = "" if pd.isna(row.published) else (
        f" (shown to be smaller than the published mean of {show_points(row.published)})" if row.p_equivalent < ALPHA else
        f" (published for these pairs: {show_points(row.published)})")
    return (f"{study.treatment[0].upper()}{study.treatment[1:]} {JUDGED[row.verdict]}: over {row.pairs} pairs of modalities "
            f"and {count(len(row.seeds.split()), 'seed')}, by a rule that was written down before they were run, the mean gain "
            f"is {_points(over_plain(row))} over the plain model{published} and "
            f"{_points(row)} over the mean of its controls: {controls} (95 % intervals; "
            f"profile {where.profile}, setting {where.setting}, last epoch).")


def count(number: int, what: str) -> str:
    """E.g. "six seeds", "one seed", "14 seeds" """
    return f"{NUMBERS[number] if number < len(NUMBERS) else number} {what}{'' if number == 1 else 's'}"


def _fewer(row: Any, beside: Any) -> str:
    """Of how many pairs and seeds a row is, where the one beside it is of others"""
    if (row.pairs, row.n) == (beside.pairs, beside.n):
        return ""
    return f" ({row.pairs} pair{'' if row.pairs == 1 else 's'}, {count(row.n, 'seed')})"


def _left_out(row: Any) -> str:
    return f"; left out, for lack of seeds that the others have: {row.left_out}" if row.left_out else ""


def _part(analysis: Analysis, row: Any) -> str:
    """That the seeds of a mean are a part of those that the second rule judges, where they are"""
    rule, place = analysis.study.second_rule, analysis.collection.sections[row.section]
    here = set(map(int, row.seeds.split()))
    if (rule is None or not here & set(rule.seeds) or not analysis.second_lacks
            or (place.profile, place.setting) != (rule.profile, rule.setting)):
        return ""
    missing = spans(seed for seed in rule.seeds if seed not in here)
    lacks = f"{missing} {'are' if ' ' in missing else 'is'} missing" if missing else analysis.second_lacks
    return (f"; this is no verdict of the rule that was written down before seeds {spans(rule.seeds)} were run, "
            f"which judges all of them together: {lacks}")


def spans(numbers: Iterable[int]) -> str:
    """E.g. "1, 2 and 4 to 7" of 1, 2, 4, 5, 6 and 7"""
    held: list[list[int]] = []
    for number in sorted(numbers):
        if held and number == held[-1][-1] + 1:
            held[-1].append(number)
        else:
            held.append([number])
    told = [text for each in held for text in (map(str, each) if len(each) < 3 else [f"{each[0]} to {each[-1]}"])]
    *most, last = told or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _points(row: Any) -> str:
    return show_interval(row, POINTS).replace(" [", " points [", 1)


def means_table(analysis: Analysis, section: int) -> Table:
    """Gains of the method by target and over all, over each reference, and the published mean beside them."""
    study, ours = analysis.study, analysis.means[analysis.means["section"] == section]
    columns = [(study.method, BASELINE),
               *((study.method, name) for name in dict.fromkeys(ours["reference"]) if name != BASELINE),
               *((name, BASELINE) for name in study.rivals.get(study.method, ()) if name in set(ours["arm"]))]
    rows = []
    for task in dict.fromkeys(ours["task"]):
        found = [first_row(ours, {"task": task, "arm": arm, "reference": reference}) for arm, reference in columns]
        first = next(row for row in found if row is not None)
        metric = POINTS if task == ALL else analysis.collection.tasks[task].metrics[0]
        label = "All targets" if task == ALL else analysis.data_of(section, task)
        published = NONE if pd.isna(first.published) else show_points(sign_of(metric) * first.published)
        value = None if found[0] is None else known(found[0].found_alone_from)
        alone = NONE if value is None else show_spread(value, metric)
        rows.append([label, str(first.pairs), str(first.n), published, alone,
                     *(NONE if row is None else f"{show_interval(as_gain(row, metric), metric)}, p {show_p(row.p)}"
                       f"{_fewer(row, first)}" for row in found)])
    header = ("Target", "Pairs", "Seeds", "Published mean gain", heading(ALONE), *(
        f"{study.called.get(arm, arm)}: gain over the plain model" if reference == BASELINE and arm != study.method else
        "Gain over the plain model" if reference == BASELINE else f"Beyond {study.called.get(reference, reference)}"
        for arm, reference in columns))
    gone = dict.fromkeys(part for row in rows_of(ours) for part in row.left_out.split(", ") if part)
    left_out = [f"Left out, for lack of seeds that the others have: {', '.join(gone)}."] if gone else []
    notes = ("Each seed gives one value: the mean over the pairs of a row, so that what pairs share counts once. Their mean "
             "over seeds with its 95 % t-interval, and the p of a two-sided t-test, unadjusted: a row by itself is no "
             f"verdict. {explain(ALONE)} Here it is of the gain over the plain model. Published: the mean of the gains that "
             "are printed for the same pairs, on other data and at another scale.", *left_out)
    return Table(f"Mean effect: {analysis.collection.sections[section].title}", header, text_rows(rows), notes, num_labels=1)


def null_table(analysis: Analysis) -> Table:
    """How often a test finds what is not there."""
    study = analysis.study
    rows, compared = [], set[bool]()
    for row in rows_of(analysis.null):
        arms = row.arms.split()
        same = not set(arms) - set(study.noise)
        compared.add(same)
        what = "; ".join("the plain model" if arm == BASELINE else study.called.get(arm, arm) for arm in arms)
        label = f"{what}: {DRAWN.get(row.drawn, DRAWN['shared'])[0]}" if same else f"any two of {what}"
        rows.append([analysis.collection.sections[row.section].title, label, str(row.comparisons), str(row.significant),
                     f"{row.expected:.1f}", NONE if pd.isna(row.draws) else str(int(row.draws))])
    kinds = set(analysis.null["drawn"].dropna())
    header = ("Section", "Compared", "Comparisons", "p < 0.05", "Expected by chance", "Independent draws of noise")
    notes = ["Paired t-tests by seed, unadjusted, of cells that are no method (A/A).",
             *(["Cells of one noise differ in nothing that is known to matter."] if True in compared else []),
             *(["Any two cells are null only as far as no reference does anything."] if False in compared else []),
             *([f"{DRAWN[kinds.pop() if len(kinds) == 1 else 'mixed'][1]}: that many draws, not that many comparisons, stand "
                "behind what is said of noise."] if kinds else [])]
    return Table("How often these tests find what is not there", header, text_rows(rows), tuple(notes), num_labels=2)


def scales_table(analysis: Analysis) -> Table:
    """How alike learned scales are, over seeds and between arms."""
    study, rows = analysis.study, []
    for row in rows_of(analysis.scales):
        cosine = NONE if pd.isna(row.cosine) else f"{show_points(row.cosine)} ({show_points(row.cosine_low)} to " \
                                                 f"{show_points(row.cosine_high)})"
        likeness = [NONE if pd.isna(value) else f"{value:z.3f}".replace("-", MINUS)
                    for value in (row.correlation, row.correlation_within)]
        rows.append([analysis.collection.sections[row.section].title, study.called.get(row.arm, row.arm), str(row.cells),
                     str(row.seeds), f"{row.rms:.3f}", cosine, *likeness])
    header = ("Section", "Arm", "Cells", "Seeds", "Size (rms)", "Same sign over seeds? Cosine (smallest to largest cell)",
              f"Sizes against those of {study.called.get(study.method, study.method)}", "without the targets' levels")
    notes = ("Cosine of the signed scales of two seeds, mean over pairs of seeds, then over cells: what an auxiliary knows "
             "would ask for the same sign under every seed. Against the method: correlation over targets and layers of "
             "log|s|, |s| averaged over seeds and its logarithm over auxiliaries.",)
    return Table("Learned scales: do they tell an auxiliary from noise?", header, text_rows(rows), notes, num_labels=2)
