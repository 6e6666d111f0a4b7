"""An analysis in, the sentences of the first screen out: what was found, and what to hold against it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.collect import sign_of
from benchmark.evidence.detectable import PAIR, heading
from benchmark.evidence.doubts import FRACTIONS
from benchmark.evidence.frames import rows_of
from benchmark.evidence.means import main_sections
from benchmark.evidence.rule import HELPS, NO_EVIDENCE, NO_SPREAD, NOT_JUDGED, NOT_PAIRED, ONE_SEED, shared_sources
from benchmark.evidence.sanity import WRONG
from benchmark.evidence.sections import has_few_labels
from benchmark.evidence.stats import ALPHA
from benchmark.provenance.currency import carried_note
from benchmark.report.markup import NONE, Table, as_gain, show_interval, show_spread, text_rows
from benchmark.report.means import headline
from benchmark.report.provenance import whose_data
from benchmark.report.tables import cell_label
from benchmark.spec.contracts import Metric
from benchmark.spec.plural import counted, worded

FEW = 3  # pairs that are told one by one
PAIR_OF, ALONE_OF = "target x auxiliary pair", "target"  # what an arm is counted by, with auxiliaries and without
FIRST = "A first answer, by another recipe than the profile's own: it settles nothing."


def opening(analysis: Analysis) -> str:
    """The first sentence: what the study's method is worth; or, where that stands without its controls beside other methods
    that have theirs, what is shown of these. "" where there is neither."""
    asked = methods_asked(analysis)
    if not asked:
        return headline(analysis)
    whole = analysis.verdicts[analysis.verdicts["section"].isin(main_sections(analysis.collection))]
    ours = whole[whole["arm"].isin(asked) & ~whole["tuned"].astype(bool)]
    judged = ours[ours["verdict"].isin([HELPS, NO_EVIDENCE])]
    helps, left = int((judged["verdict"] == HELPS).sum()), len(ours) - len(judged)
    more = f"; {left} more {worded(left, 'is', 'are')} not judged" if left else ""
    return (f"By the first rule, {helps or 'none'} of {counted(len(judged), 'comparison')} "
            f"{worded(helps or 1, 'shows', 'show')} an arm ({', '.join(asked)}) to help beyond the plain model and each of its "
            "controls (a comparison: a target, and an auxiliary where the arm takes one, in one setting and variant, adjusted "
            f"for the others of its arm{more}).")


def methods_asked(analysis: Analysis) -> list[str]:
    """The methods beside the study's own that are judged against their controls, on all samples and by the profile's recipe,
    where that one is not; else none"""
    effects, judged = analysis.effects, analysis.verdicts[analysis.verdicts["verdict"].isin([HELPS, NO_EVIDENCE])]
    judged = judged[judged["section"].isin(main_sections(analysis.collection))]
    if (judged["arm"] == analysis.study.method).any():
        return []
    methods = set(effects.loc[effects["role"] == "method", "arm"])
    return sorted(methods & set(judged["arm"]))


def control_verdicts(analysis: Analysis, section: int) -> list[tuple[str, str]]:
    """Each arm and variant of a section, and the variants that validation chose, with their sentence"""
    ours = analysis.verdicts[analysis.verdicts["section"] == section]
    return [(name, summarise_verdicts(same)) for name, same in _by_variant(ours).items()]


def _by_variant(verdicts: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each arm and variant, and of each arm those that validation chose, which need not be of one variant"""
    found: dict[str, pd.DataFrame] = {}
    for arm, variant, tuned in dict.fromkeys(zip(verdicts["arm"], verdicts["variant"], verdicts["tuned"], strict=True)):
        name = f"{arm}, each in the variant chosen on val" if tuned else cell_label(arm, "", variant)
        found.setdefault(name, verdicts[(verdicts["arm"] == arm) & (verdicts["tuned"] == tuned)
                                        & (tuned | (verdicts["variant"] == variant))])
    return found


def positive_verdicts(analysis: Analysis, section: int) -> list[tuple[str, str]]:
    """A question about each arm of a section that has a positive control, and on which targets that control gains."""
    ours = analysis.verdicts[analysis.verdicts["section"] == section]
    said = []
    for arm, control in analysis.study.positive.items():
        if not (ours["arm"] == arm).any():
            continue
        controls = ours[ours["arm"] == control]
        texts = []
        for name, same in _by_variant(controls).items():
            judged = same[same["verdict"].isin([HELPS, NO_EVIDENCE])]
            found = judged[judged["verdict"] == HELPS]
            several = same["task"].duplicated().any()  # auxiliaries of a target
            where = ", ".join(analysis.data_of(section, str(task)).partition(" (")[0] + (f" + {auxiliary}" if several else "")
                              for task, auxiliary in zip(found["task"], found["auxiliary"], strict=True))
            what, left = worded(len(judged), "pair" if several else "target"), len(same) - len(judged)
            if len(judged):
                texts.append(f"{name}{',' if same['tuned'].any() else ''} gains beyond its controls on {len(found)} of "
                             f"{len(judged)} {what}{f' ({where})' if where else ''}{f', {left} not judged' if left else ''}")
        said.append((f"Could a gain of {arm} have been seen?",
                     f"{'; '.join(texts)}. Where its positive control does not, that {arm} shows no gain says nothing." if texts
                     else f"Not known, as {control} was not run." if controls.empty
                     else f"{summarise_verdicts(controls).removesuffix('.')} ({control})."))
    return said


@dataclass(frozen=True)
class Counts:
    """What came out of the pairs of one arm in one complete section."""

    title: str
    noun: str  # what `pairs` are: of a method without auxiliaries, targets
    pairs: int
    gain: int
    lose: int
    apart: tuple[int, int, int] | None  # the same three of the pairs that share no data source; None: none does
    edges: tuple[tuple[str, float, float, Metric], ...]  # its data, from what pairs are found: least, most; of what
    single: int  # pairs of one seed, which are not counted
    judged: str  # what the rule says of them; "" where it says nothing
    each: tuple[str, ...]  # the difference of every pair


def count_pairs(analysis: Analysis, *, altered: bool = False) -> list[Counts]:
    """Of every section of all samples and method, the study's own first, or last where others are asked: by the profile's own
    recipe, or else by an `altered` one."""
    collection, effects, asked = analysis.collection, analysis.effects, bool(methods_asked(analysis))
    main = {task: info.metrics[0] for task, info in collection.tasks.items()}
    counts = []
    methods = effects[(effects["role"] == "method") & (effects["variant"] == "")]
    for number, arm in dict.fromkeys(sorted(zip(methods["section"], methods["arm"], strict=True),
                                            key=lambda place: (place[0], (place[1] == analysis.study.method) == asked))):
        section, ours = collection.sections[number], methods[(methods["section"] == number) & (methods["arm"] == arm)]
        ours = ours[[metric == main[task].name for task, metric in zip(ours["task"], ours["metric"], strict=True)]]
        if bool(section.conditions) != altered or section.limit is not None or ours.empty:
            continue
        named = asked or arm != (analysis.study.method or arm)
        title = section.title[0].upper() + section.title[1:] + (f", {arm}" if named else "")
        noun = PAIR_OF if (ours["auxiliary"] != "").any() else ALONE_OF
        single = int((ours["n"].astype(float) < 2).sum())
        ours = ours[ours["n"].astype(float) >= 2]
        sign = [sign_of(main[task]) for task in ours["task"]]
        found, better = ours["p_holm"].astype(float) < ALPHA, ours["difference"] * sign > 0
        edges = {str(task): column.astype(float).dropna() for task, column in ours.groupby("task", sort=False)["found_from"]}
        apart = [not shared_sources(collection, str(task), str(name)) for task, name in zip(ours["task"], ours["auxiliary"],
                                                                                            strict=True)]
        each = [f"{analysis.data_of(number, str(row.task)).partition(' (')[0]}{row.auxiliary and f' + {row.auxiliary}'} "
                f"{show_interval(as_gain(row, main[str(row.task)]), main[str(row.task)])}" for row in rows_of(ours)]
        gain, judged = int((found & better).sum()), dict(control_verdicts(analysis, number)).get(str(arm), "")
        if judged.startswith("Not judged"):  # which is to be said where there is something to judge
            whose = "Whether that is another modality's knowledge" if noun == PAIR_OF else "Whether a control does the same"
            judged = f"{whose} is {judged[0].lower()}{judged[1:]}" if gain else ""
        counts.append(Counts(
            title, noun, len(ours), gain, int((found & ~better).sum()),
            None if all(apart) else (sum(apart), int((found & better)[apart].sum()), int((found & ~better)[apart].sum())),
            tuple((analysis.data_of(number, task).partition(" (")[0], float(column.min()), float(column.max()), main[task])
                  for task, column in edges.items() if len(column)),
            single, judged, tuple(each)))
    return counts


def answer(analysis: Analysis) -> list[str]:
    """The first thing that a reader sees: what the complete sections say, a sentence each."""
    if not analysis.collection.records:
        return ["There is no finished run."]
    lines = []
    counts = count_pairs(analysis)
    first = not counts  # such as what the matrix quick gives: the question is answered, and nothing is settled
    for found in counts or count_pairs(analysis, altered=True):
        if not found.pairs:
            lines.append(f"{found.title}: {counted(found.single, found.noun)} ran in one seed, which tells "
                         "nothing of chance.")
            continue
        text = (f"{found.title}: of {counted(found.pairs, found.noun)}, {_gain(found.gain)} over "
                f"{worded(found.pairs, 'its', 'their')} baseline and "
                f"{_lose(found.lose)} beyond chance (paired by seed, Holm-adjusted")
        edges = ", ".join(f"{data} {_with_unit(show_spread(high, metric), metric)}" for data, _, high, metric in found.edges)
        whole = "every pair of a target" if found.noun == PAIR_OF else "every target"
        text += f"; {whole} is {PAIR}: {edges})." if edges else ")."
        if found.apart:
            apart, gain, lose = found.apart
            text += (f" Of the {apart} that {worded(apart, 'shares', 'share')} no data source, {_gain(gain)} and {_lose(lose)}."
                     if apart else " Every pair shares a data source.")
        if first and len(found.each) <= FEW:
            text += f" Gain over the plain model: {'; '.join(found.each)}."
        if found.single:
            text += f" {found.single} more ran in one seed, which tells nothing of chance."
        lines.append(" ".join(filter(None, [text, found.judged, FIRST if first else ""])))
    return lines or _without_pairs(analysis)


def _gain(number: int) -> str:
    return f"{number} {worded(number, 'gains', 'gain')}"


def _lose(number: int) -> str:
    return f"{number} {worded(number, 'loses', 'lose')}"


def _without_pairs(analysis: Analysis) -> list[str]:
    """What there is to say where no pair of a method, under its options as they are, is there to count"""
    effects, sections = analysis.effects, analysis.collection.sections
    methods = effects[(effects["role"] == "method") & (effects["auxiliary"] != "")]
    altered = any(sections[number].limit is None for number in methods["section"])
    beside = [*_beside_pairs(analysis), *([] if altered else _pretraining(analysis))]
    return [" ".join([_not_measured(analysis), *beside])] if altered else beside or [_not_measured(analysis)]


def _pretraining(analysis: Analysis) -> list[str]:
    """Of each profile, what masked pretraining of the targets themselves is worth, where that was run on all samples"""
    lines, main = [], {task: info.metrics[0] for task, info in analysis.collection.tasks.items()}
    frame = analysis.pretraining[analysis.pretraining["limit"].isna() & analysis.pretraining["p_holm"].notna()]
    for profile, ours in frame.groupby("profile", sort=False):
        found = ours["p_holm"].astype(float) < ALPHA
        better = ours["difference"].astype(float) * [sign_of(main[task]) for task in ours["task"]] > 0
        lines.append(f"Profile {profile}: masked pretraining gains over scratch on {int((found & better).sum())} of "
                     f"{counted(len(ours), 'target')} and loses on {int((found & ~better).sum())} beyond chance (paired by "
                     "seed, Holm-adjusted).")
    return lines


def _not_measured(analysis: Analysis) -> str:
    """That there is no pair to count; with what there is of a method under other options than its own"""
    effects, sections = analysis.effects, analysis.collection.sections
    others = effects[(effects["role"] == "method") & (effects["auxiliary"] != "") & (effects["variant"] != "")]
    others = others[[sections[number].limit is None for number in others["section"]]]
    names = list(dict.fromkeys(cell_label(row.arm, "", row.variant) for row in rows_of(others)))
    if not names:
        paired = analysis.collection.paired
        alone = sum(run.spec.role == "method" and bool(run.spec.auxiliary) and run.spec.limit is None
                    and run not in paired.baseline_of for run in paired.runs)
        return (f"No target x auxiliary pair can be compared yet: {counted(alone, 'run')} of a method "
                f"{worded(alone, 'has', 'have')} no baseline to be paired with; what is left out says why." if alone else
                "No target x auxiliary pair has been measured on all data yet.")
    more = f" and {counted(len(names) - 1, 'other')}" if len(names) > 1 else ""
    return (f"No target x auxiliary pair has been measured on all data with a method's options as they are; {names[0]}{more} "
            f"{worded(len(names), 'has', 'have')} been: what came out is below, in the matrix of each.")


def _with_unit(text: str, metric: Metric) -> str:
    """Points need not be told"""
    return text if metric.unit == "%" else f"{text} {metric.unit}".strip()


def _ends(found: Counts) -> str:
    """Of each unit of the targets' metrics, the least and the most that a pair is found from; "" where that is not known"""
    by_unit: dict[str, list[tuple[float, float, Metric]]] = {}
    for _, low, high, metric in found.edges:
        by_unit.setdefault(metric.unit, []).append((low, high, metric))
    return ", ".join(_with_unit(" to ".join(dict.fromkeys(show_spread(end, each[0][2]) for end in (
        min(low for low, *_ in each), max(high for _, high, _ in each)))), each[0][2]) for each in by_unit.values())


def _beside_pairs(analysis: Analysis) -> list[str]:
    """What the first rule says of arms whose auxiliaries are no other modality, by section"""
    return [f"{section.title[0].upper()}{section.title[1:]}: {text}"
            for number, section in enumerate(analysis.collection.sections) if (text := first_rule_text(analysis, number))]


def first_rule_text(analysis: Analysis, section: int) -> str:
    """Of each arm of a section that the first rule judges, a sentence; "" of a part of the data, or another recipe than the
    profile's, but for fewer labels."""
    place = analysis.collection.sections[section]
    if place.limit is not None or (place.conditions and not has_few_labels(place)):
        return ""
    said = []
    for name, text in control_verdicts(analysis, section):
        arm, *_ = re.split(r"[ ,]", name, maxsplit=1)  # before a variant
        called = analysis.study.called.get(arm, arm)
        if not text.startswith("Not judged"):
            said.append(f"{called[0].upper()}{called[1:]}{name.removeprefix(arm)}: {text}")
    return " ".join(said)


def answer_table(analysis: Analysis) -> Table | None:
    """The sentences of `answer` as a table, a row each; None where they say that nothing is known."""
    counts = count_pairs(analysis) if analysis.collection.records else []
    if not counts or not all(found.pairs for found in counts):
        return None
    rows = []
    for found in counts:
        gain, lose = str(found.gain), str(found.lose)
        if found.apart:
            gain, lose = (f"{text} ({apart} of {found.apart[0]})" for text, apart in zip((gain, lose), found.apart[1:],
                                                                                       strict=True))
        beyond = re.match(r"(\d+) of", found.judged)
        rows.append([found.title.removeprefix("Profile "), str(found.pairs), gain, lose, beyond[1] if beyond else "not judged",
                     _ends(found) or NONE])
    header = ("Profile", "Pairs", "Gain over the plain model", "Lose", "Gain beyond every control", heading(PAIR))
    notes = ("Paired by seed, Holm-adjusted, level 0.05. "
             f"{heading(PAIR)}: the smallest and the largest of what stands in the cells of the pairs; a smaller gain may be "
             "there and missed.",
             *(["In brackets: of the pairs that share no data source."] if any(found.apart for found in counts) else []),
             *([f"{counted(single, 'more pair')} ran in one seed, which tells nothing of chance."]
               if (single := sum(found.single for found in counts)) else []))
    return Table("How many pairs", header, text_rows(rows), notes)


def badges(analysis: Analysis) -> list[str]:
    """Reservations about all that follows"""
    collection = analysis.collection
    published = analysis.study.profile
    profiles = sorted({section.profile for section in collection.sections} - {published})
    found = [f"Profile {', '.join(profiles)}: {whose_data(collection, published)} at a small scale, not comparable with "
             "published numbers"] if profiles else []
    if any(section.limit is not None for section in collection.sections):
        found.append("Some rows saw a few samples only: they show that everything runs, and nothing else")
    stale = sum(run.stale for run in collection.paired.runs)
    wrong = int((analysis.sanity["outcome"] == WRONG).sum())
    if wrong:
        found.append(f"{wrong} of {len(analysis.sanity)} sanity checks failed: nothing here is to be relied on")
    found += [f"{remark.kind}: {remark.name} ({remark.detail})" for remark in collection.remarks if remark.kind == FRACTIONS]
    if same := analysis.extras.unchanged:
        names = ", ".join(f"{cell} ({seeds} seed{'s' * (seeds > 1)})" for cell, seeds in same.items())
        found.append(f"Answers as its baseline does on every test sample and seed: {names}")
    if stale:
        found.append(f"{stale} of {counted(len(collection.paired.runs), 'run')} {worded(stale, 'was', 'were')} not computed by "
                     "the current code")
    if note := carried_note([run.standing for run in collection.paired.runs]):
        found.append(note)
    return found


def summarise_verdicts(verdicts: pd.DataFrame) -> str:
    """The answer for one section and arm in a sentence, with and without pairs that share a source."""
    judged = verdicts[verdicts["verdict"].isin([HELPS, NO_EVIDENCE])]

    def named(verdict: str, column: str, between: str) -> str:
        told = verdicts.loc[verdicts["verdict"] == verdict, column]
        return ", ".join(dict.fromkeys(text for each in told for text in each.split(between)))

    reasons = {NOT_JUDGED: f"controls are missing ({named(NOT_JUDGED, 'missing', ' ')})",
               NOT_PAIRED: f"controls were run, but not together with the arm ({named(NOT_PAIRED, 'not_paired', ', ')})",
               ONE_SEED: "one seed tells nothing of chance",
               NO_SPREAD: "a difference that is the same in every seed tells nothing of chance"}
    lacking = " or ".join(text for verdict, text in reasons.items() if (verdicts["verdict"] == verdict).any())
    if judged.empty:
        return f"Not judged: {lacking}."
    apart = judged[judged["shared_sources"] == ""]
    noun, verb = ("pair", "help") if judged["auxiliary"].any() else ("target", "gain")

    def count(frame: pd.DataFrame) -> str:
        what = f"{noun} {verb}s" if len(frame) == 1 else f"{noun}s {verb}"
        return f"{int((frame['verdict'] == HELPS).sum())} of {len(frame)} {what} beyond every control"

    text = count(judged)
    if len(apart) < len(judged):
        text += ("; every pair shares a data source" if apart.empty
                 else f"; without pairs that share a data source: {count(apart)}")
    left = len(verdicts) - len(judged)
    return text + (f"; {left} not judged, as {lacking}." if left else ".")
