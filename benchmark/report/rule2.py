"""The second rule's numbers in, its table and the digest of its protocol out."""

from __future__ import annotations

import hashlib

import pandas as pd

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.detectable import EACH, MEAN, explain, heading
from benchmark.evidence.frames import rows_of
from benchmark.evidence.means import ALL
from benchmark.evidence.rule import NO_SPREAD
from benchmark.evidence.stats import ALPHA
from benchmark.report.markup import NONE, Table, show_interval, show_p, show_points, text_rows
from benchmark.report.means import POINTS, count, over_plain


def protocol_line(analysis: Analysis) -> str:
    """Which protocol, with its digest, and what these records have of the seeds that it judges."""
    rule, lacks = analysis.study.second_rule, analysis.second_lacks
    if rule is None or (analysis.second.empty and not lacks):
        return ""
    digest = hashlib.sha256(rule.protocol.read_bytes()).hexdigest()
    asked = f"seeds {rule.seeds[0]} to {rule.seeds[-1]}"
    state = f"judged on {asked} and no others, by the last epoch"
    if lacks:
        state = f"{asked} {'cannot be judged' if NO_SPREAD in lacks else 'are not all here'} ({lacks}), and nothing is judged"
    if lacks and not analysis.second.empty:
        seeds = count(len(str(analysis.second["seeds"].iloc[0]).split()), "seed")
        state += f": what follows are planning values of the {seeds} before, which have been seen"
    return f"Protocol {rule.protocol.name}, SHA-256 {digest[:16]}; {state}."


def rule2_table(analysis: Analysis) -> Table:
    """By target and over all: the method against the mean of its controls, against each, and against what was published."""
    rows = []
    for row in rows_of(analysis.second):
        label = "All targets" if row.task == ALL else analysis.data_of(row.section, row.task)
        interval, base = (show_interval(each, POINTS) for each in (row, over_plain(row)))
        published = NONE if pd.isna(row.published) else f"{show_points(row.published)}, p {show_p(row.p_equivalent)}"
        rows.append([label, row.verdict, f"{row.spread:.2f} ({int(row.df)})", f"{row.widened:.2f}", interval,
                     show_p(row.p_holm), f"{row.mean_found_from:.2f}", show_p(row.p_each_holm),
                     f"{row.mean_found_beyond_each_from:.2f}", base, published])
    header = ("Target", "Verdict", "Spread (df)", "Widened by", "Minus the controls' mean", "p (Holm)", heading(MEAN),
              "p, beyond each", heading(EACH), "Minus the plain model", "Published mean, p (within it)")
    notes = (
        "The mean of the method's auxiliaries against the mean of all reference arms, and against each reference. Spread: of "
        "one run around its arm and seed, pooled over arms. Widened: errors, where contrasts scatter over seeds more. "
        f"p: one-sided, Holm-adjusted over targets. {explain(MEAN)} p, beyond each: the largest p over the references, without "
        f"which nothing is another modality's knowledge, as one control may do the same. {explain(EACH)} "
        "p (within it): two one-sided tests that the gain over the plain model is smaller than the published mean; below "
        f"{ALPHA:g}, it is. Intervals: 95 %, two-sided, each by itself.",)
    return Table("The second rule: any other modality", header, text_rows(rows), notes, num_labels=1)
