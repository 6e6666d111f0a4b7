"""Runs on shares of the labels in; what an arm is worth by how many labels there are (section 4.4.2), out."""

from __future__ import annotations

import pandas as pd

from benchmark.evidence.collect import Collection
from benchmark.evidence.estimates import (
    EFFECT_COLUMNS,
    adjust,
)
from benchmark.evidence.frames import rows_of
from benchmark.evidence.sections import share_of

SHARE_COLUMNS = ["profile", "setting", "share", *EFFECT_COLUMNS]


def estimate_shares(collection: Collection, effects: pd.DataFrame) -> pd.DataFrame:
    """The rows of `effects`, main metrics and arms without options, of sections that differ in the share of labels alone.

    Holm's adjustment is over every target, auxiliary and share of an arm: five shares are five chances. Left out are
    arms that a target has on one share only, and tasks of which it is not known what their profile states.
    """
    shares = {number: share for number, section in enumerate(collection.sections)
              if section.limit is None and (share := share_of(section.conditions)) is not None}
    main = {task: info.metrics[0].name for task, info in collection.tasks.items()}
    rows = []
    for row in rows_of(effects):
        section = collection.sections[row.section]
        known = (section.profile, section.setting) in collection.tasks[row.task].conditions  # else "" is any share
        if known and row.section in shares and row.metric == main[row.task] and not row.variant:
            rows.append({"profile": section.profile, "setting": section.setting, "share": shares[row.section], **row._asdict()})
    frame = pd.DataFrame(rows, columns=SHARE_COLUMNS)
    several = frame.groupby(["profile", "setting", "arm", "task"])["share"].transform("nunique") > 1
    return adjust(frame[several].reset_index(drop=True), ["profile", "setting", "arm"])
