"""Long tables of runs in, tables of estimates out: cells, differences to the baseline, pretraining against scratch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from benchmark.evidence.collect import CELL, SELECTIONS, Collection, sign_of
from benchmark.evidence.stats import (
    ALPHA,
    Estimate,
    PairedDifference,
    holm,
    mean_interval,
    minimal_detectable_effect,
    paired_difference,
    pooled_sd,
)
from benchmark.records.record import Selection

ESTIMATE = ["n", "mean", "sd", "low", "high"]
DIFFERENCE = ["n", "difference", "sd", "low", "high", "p", "found_alone_from", "seeds"]
ADJUSTED = ["p_holm", "tests", "found_from"]  # by `adjust`
CELL_COLUMNS = [*CELL, "role", "stale", "metric"]
CELL_COLUMNS += [f"{name}_{key}" for name in (*SELECTIONS, "optimism") for key in ESTIMATE]
CONSTANT = "every run has the same value"  # of a metric: nothing is tested
EFFECT_COLUMNS = [*CELL, "role", "stale", "metric", "select", *DIFFERENCE, "untested", *ADJUSTED]
PRETRAINING_COLUMNS = ["profile", "limit", "task", "metric", "select", "pretrained", "scratch"]
PRETRAINING_COLUMNS += [*DIFFERENCE, *ADJUSTED]


def estimate_cells(collection: Collection) -> pd.DataFrame:
    """One row per cell and metric: mean, sd, 95 % interval and n under every selection, and the selection optimism.

    Optimism is what selection on the test split would have bought: oracle minus last, in the better direction.
    """
    signs = {(task, m.name): sign_of(m) for task, info in collection.tasks.items() for m in info.metrics}
    rows = []
    for key, group in collection.values.groupby([*CELL, "role", "metric"], sort=False):
        *cell, role, metric = key
        row = dict(zip(CELL, cell, strict=True)) | {"role": role, "metric": metric, "stale": bool(group["stale"].any())}
        sign = signs[str(row["task"]), str(metric)]
        columns = {name: group[name] for name in SELECTIONS} | {"optimism": sign * (group["oracle"] - group["last"])}
        for name, column in columns.items():
            present = [float(value) for value in column.dropna()]
            if present:
                row |= {f"{name}_{field}": value for field, value in _estimate(mean_interval(present)).items()}
        rows.append(row)
    return _in_order(pd.DataFrame(rows, columns=CELL_COLUMNS), collection)


def estimate_effects(collection: Collection, select: Selection = "last") -> pd.DataFrame:
    """One row per cell and metric that is paired with a baseline: the mean difference, its interval, p values and MDE.

    The family of Holm's adjustment is one section and arm: every target and auxiliary of that matrix. All variants of an
    arm are a family of their own, as who tries eight has eight chances; so are main metrics, second ones, and so on. A
    metric that has one value in all runs of its section and task (a count of what the data hold, say) is in no family: it
    has no p, and `untested` says so.
    """
    ranks = {(task, m.name): i for task, info in collection.tasks.items() for i, m in enumerate(info.metrics)}
    sides = collection.pairs[["section", "task", "metric", f"treated_{select}", f"baseline_{select}"]]
    constant = {key for key, group in sides.groupby(["section", "task", "metric"])
                if group.iloc[:, 3:].stack().nunique() == 1}
    rows = []
    for key, group in collection.pairs.groupby([*CELL, "role", "metric"], sort=False):
        *cell, role, metric = key
        known = group.dropna(subset=[select]).sort_values("seed")
        if known.empty:
            continue
        row = dict(zip(CELL, cell, strict=True)) | {"role": role, "metric": metric, "select": select}
        row["stale"] = bool(known["stale"].any())
        row |= difference_of(known["seed"], known[f"treated_{select}"], known[f"baseline_{select}"])
        still = (row["section"], row["task"], metric) in constant
        rows.append(row | ({"p": None, "untested": CONSTANT} if still else {"untested": ""}))
    frame = _in_order(pd.DataFrame(rows, columns=EFFECT_COLUMNS), collection)
    rank = [ranks[key] for key in zip(frame["task"], frame["metric"], strict=True)]
    frame = frame.assign(rank=rank, altered=frame["variant"] != "")
    return adjust(frame, ["section", "arm", "altered", "rank"]).drop(columns=["rank", "altered"])


def estimate_pretraining(collection: Collection, select: Selection = "last") -> pd.DataFrame:
    """What masked pretraining of the target itself is worth: arm `finetune` minus arm `scratch`, paired by seed.

    Pairs share profile, limit, model shape, data and environment; their recipes differ, each being that setting's own.
    """
    sides: dict[str, dict[tuple[object, ...], float]] = {"finetune": {}, "scratch": {}}
    values = collection.values[collection.values["role"] == "baseline"]
    by_run = {(row.run, row.metric): getattr(row, select) for row in values.itertuples(index=False, name="Row")}
    for run in collection.paired.runs:
        spec, section = run.spec, collection.sections[collection.section_of[run.comparison]]
        main = collection.tasks[spec.task].metrics[0].name
        setting = {"finetune": "pretrained", "scratch": "scratch"}.get(spec.arm or "")
        if spec.role != "baseline" or spec.variant or section.conditions or spec.setting != setting:
            continue
        value = by_run.get((run.record.run_id, main))
        if value is not None and not pd.isna(value):
            shared = (spec.shape, spec.num_classes, *sorted(spec.data.items()), run.environment)
            sides[str(spec.arm)][(spec.profile, spec.limit, spec.task, main, spec.seed, str(shared))] = float(value)
    groups: dict[tuple[object, ...], dict[int, tuple[float, float]]] = {}
    for key in sorted(sides["finetune"].keys() & sides["scratch"].keys(), key=str):
        *group, seed, _ = key
        groups.setdefault(tuple(group), {})[int(str(seed))] = (sides["finetune"][key], sides["scratch"][key])
    rows = []
    for (profile, limit, task, metric), pairs in groups.items():
        seeds, (treated, reference) = sorted(pairs), zip(*(pairs[seed] for seed in sorted(pairs)), strict=True)
        row = {"profile": profile, "limit": limit, "task": task, "metric": metric, "select": select}
        row |= {"pretrained": mean_interval(treated).mean, "scratch": mean_interval(reference).mean}
        rows.append(row | difference_of(seeds, treated, reference))
    frame = pd.DataFrame(rows, columns=PRETRAINING_COLUMNS)
    order = frame["task"].map({task: i for i, task in enumerate(collection.tasks)})
    frame = frame.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
    return adjust(frame, ["profile", "limit"])


def _estimate(estimate: Estimate) -> dict[str, object]:
    low, high = estimate.interval or (None, None)
    return dict(zip(ESTIMATE, (estimate.n, estimate.mean, estimate.sd, low, high), strict=True))


def difference_of(seeds: Iterable[int], treated: Iterable[float], reference: Iterable[float]) -> dict[str, object]:
    """The columns `DIFFERENCE` of values paired by seed"""
    seeds = list(seeds)
    sides = [dict(zip(seeds, map(float, side), strict=True)) for side in (treated, reference)]
    result: PairedDifference = paired_difference(*sides)
    low, high = result.interval or (None, None)
    values = (result.n, result.mean, result.sd, low, high, result.p_value, result.minimal_detectable_effect)
    return dict(zip(DIFFERENCE, (*values, " ".join(map(str, seeds))), strict=True))


def adjust(frame: pd.DataFrame, family: Sequence[str]) -> pd.DataFrame:
    """`p_holm` from `p`, over the `tests` rows with a p that share the columns `family`, and `found_from`: what a test of so
    many finds where it finds nothing else, as it is then held to ALPHA over their number."""
    groups = frame["p"].astype(float).groupby([frame[name] for name in family], sort=False, dropna=False)
    tests = groups.transform("count")
    found = [None if pd.isna(p) else minimal_detectable_effect(float(sd), int(n), ALPHA / of, spread_df=int(n) - 1)
             for n, sd, p, of in zip(frame["n"], frame["sd"], frame["p"], tests, strict=True)]
    return frame.assign(p_holm=groups.transform(holm_of), tests=tests,
                        found_from=pd.Series(found, frame.index, dtype="float64"))


def holm_of(p_values: pd.Series) -> pd.Series:
    """Holm's adjustment of a column, as of `stats.holm`"""
    return pd.Series(holm([known(p) for p in p_values]), p_values.index, dtype="float64")


def pooled_spread(effects: pd.DataFrame) -> tuple[float, int] | None:
    """Spread of the differences and its degrees of freedom, where all rows scatter alike; None where none has any."""
    return pooled_sd([(sd, int(n)) for sd, n in zip(effects["sd"].astype(float), effects["n"], strict=True)])


def known(value: object) -> float | None:
    """A number out of a frame; None where it has none"""
    return None if pd.isna(value) else float(str(value))  # type: ignore[call-overload]


def _in_order(frame: pd.DataFrame, collection: Collection) -> pd.DataFrame:
    """Sections, then tasks in their order, the baseline first, then arms, auxiliaries in the order of modalities."""
    tasks = {task: i for i, task in enumerate(collection.tasks)}
    metrics = {(task, m.name): i for task, info in collection.tasks.items() for i, m in enumerate(info.metrics)}
    modalities = {name: i for i, name in enumerate(["", *collection.modalities])}
    roles = {"baseline": 0, "method": 1, "control": 2}

    def rank(row: tuple[object, ...]) -> tuple[object, ...]:
        section, task, arm, auxiliary, variant, role, metric = row
        name = str(task)
        return (section, tasks[name], metrics[name, str(metric)], roles.get(str(role), 3), str(arm), str(variant),
                modalities[str(auxiliary)])  # fmt: skip

    keys = list(frame[[*CELL, "role", "metric"]].itertuples(index=False, name=None))
    order = sorted(range(len(keys)), key=lambda i: rank(keys[i]))
    return frame.iloc[order].reset_index(drop=True)
