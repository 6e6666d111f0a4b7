"""Several results folders in one report: each record is taken with its own packages and its own files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import TASKS, make_record, make_spec

from baselines import ARMS
from baselines.m2pt.study import STUDY
from benchmark.evidence.analysis import analyse
from benchmark.evidence.collect import collect
from benchmark.evidence.estimates import estimate_effects
from benchmark.evidence.frames import first_row
from benchmark.evidence.inputs import gather
from benchmark.evidence.means import estimate_means
from benchmark.evidence.rule import BASELINE, estimate_contrasts
from benchmark.evidence.secondary import PROBABILITY, estimate_secondary, kept_endpoints
from benchmark.records.outputs import FILE
from benchmark.records.record import Record
from benchmark.records.store import Store
from tasks import TASKS as REAL_TASKS

OLD, NEW = "2024-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
ALONE = replace(STUDY, claims=None, second_rule=None)


def store_of(folder, records) -> Store:
    store = Store(folder)
    store.prepare()
    for record in records:
        store.save(record)
    return store


def both(seed: int, plain: float, treated: float, torch: str, dates: tuple[str, str] = (OLD, OLD)) -> list[Record]:
    """The plain model and the method of one seed, as a torch of this version gave them"""
    return [make_record(make_spec(seed=seed), plain, torch=torch, started=dates[0]),
            make_record(make_spec("imagenet", "m2pt", "audio", seed=seed), treated, torch=torch, started=dates[1])]


def test_runs_of_two_versions_of_torch_are_compared_within_each(tmp_path):
    """Each version gives a gain of 1; the newest plain model is one's, the newest run of the method the other's."""
    stores = [store_of(tmp_path / "a", [one for seed in range(3) for one in both(seed, 50.0, 51.0, "2.11.0", (NEW, OLD))]),
              store_of(tmp_path / "b", [one for seed in range(3) for one in both(seed, 40.0, 41.0, "2.12.0", (OLD, NEW))])]
    found = gather(stores, {}, {})
    assert len(found.standings) == len(found.records) == 12
    effects = estimate_effects(collect(found.records, tasks=TASKS, standings=found.standings))
    assert first_row(effects, {"arm": "m2pt", "metric": "top-1"}).difference == pytest.approx(1.0)


def test_every_table_compares_with_the_baseline_of_the_runs_own_environment():
    """That need not be the plain model which is shown, of the environment in which most was run."""
    records = []
    for seed in range(3):
        records += both(seed, 50.0, 50.5, "2.11.0")
        records += [make_record(make_spec("imagenet", arm, seed=seed), 50.0, torch="2.11.0")
                    for arm in ("random-norm", "self-copy", "permuted")]
        plain, treated = both(seed, 40.0, 41.0, "2.12.0")
        records += [plain, treated.model_copy(update={"spec": (spec := make_spec("imagenet", "m2pt", "video", seed=seed)),
                                                      "run_id": spec.run_id})]
    collection = collect(records, tasks=TASKS)
    wanted = {"arm": "m2pt", "auxiliary": "video"}
    assert first_row(estimate_effects(collection), {**wanted, "metric": "top-1"}).difference == pytest.approx(1.0)
    contrasts = estimate_contrasts(collection, {"m2pt": ("random-norm",)})
    assert first_row(contrasts, {**wanted, "reference": BASELINE}).difference == pytest.approx(1.0)
    means = estimate_means(collection, "m2pt", (), [])
    assert first_row(means, {"arm": "m2pt", "reference": BASELINE}).difference == pytest.approx((0.5 + 1.0) / 2)


def test_files_beside_a_record_are_those_of_its_own_folder(tmp_path):
    """The newer runs count, whichever folder is named first; what others left of the same runs is theirs."""
    stores = []
    for name, date, sure in (("old", OLD, (0.9, 0.1)), ("new", NEW, (0.4, 0.5))):
        records = both(0, 40.0, 45.0, "2.11.0", (date, date))
        stores.append(store_of(tmp_path / name, records))
        for record, probability in zip(records, sure, strict=True):
            np.savez(stores[-1].run_folder(record.spec) / FILE, predicted=np.zeros(4, np.uint8), label=np.zeros(4, np.uint8),
                     probability=np.full(4, probability, np.float16))
    for order in (stores, stores[::-1]):
        found = gather(order, {}, {})
        kept, problems = kept_endpoints(found.by_store)
        assert not problems
        collection = collect(found.records, tasks=TASKS, standings=found.standings)
        row = first_row(estimate_secondary(collection, kept, {}), {"arm": "m2pt", "endpoint": PROBABILITY})
        assert row.difference == pytest.approx(10.0, abs=0.05)


def test_a_run_that_failed_in_one_folder_and_is_recorded_in_another_has_not_failed(tmp_path):
    plain, treated = both(0, 40.0, 45.0, "2.11.0")
    broken = store_of(tmp_path / "broken", [plain])
    broken.save_failure(treated.spec, "it failed", "")
    assert [problem.state for problem in gather([broken], {}, {}).problems] == ["failed"]
    assert not gather([broken, store_of(tmp_path / "whole", [treated])], {}, {}).problems
    again = store_of(tmp_path / "again", [plain])
    again.save_failure(treated.spec, "it failed, too", "")
    (problem,) = gather([broken, again], {}, {}).problems
    assert problem.reason == "it failed", "one run, that failed in both"


def test_outputs_that_give_no_endpoint_are_named_and_the_report_goes_on(tmp_path):
    (plain, _) = both(0, 40.0, 45.0, "2.11.0")
    store = store_of(tmp_path, [plain])
    np.savez(store.run_folder(plain.spec) / FILE, score=np.zeros((4, 2), np.float16), label=np.zeros((4, 2), bool))
    kept, problems = kept_endpoints([(store, [plain])])
    assert not kept
    assert [problem.reason for problem in problems] == ["no sample has a tag: average precision is undefined"]
    found = gather([store], REAL_TASKS, ARMS)
    assert analyse(found.records, problems, tasks=TASKS, study=ALONE).collection.problems == tuple(problems)
