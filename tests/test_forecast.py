"""What a dry run promises is what earlier runs have shown."""

from __future__ import annotations

import pytest
from synthetic import TASKS, make_matrix, make_pretraining, make_record, make_spec

from benchmark.evidence.collect import collect
from benchmark.evidence.detectable import ALONE, show_points
from benchmark.evidence.estimates import estimate_effects
from benchmark.evidence.forecast import forecast_effects, forecast_time
from benchmark.evidence.lengths import known_lengths
from benchmark.evidence.stats import minimal_detectable_effect
from benchmark.report.console import detectable_text, time_text
from benchmark.runner.budget import Budget


def lines_of(specs, records, tasks):
    return [detectable_text(found) for found in forecast_effects(specs, records, tasks)]


def test_time_is_that_of_runs_of_the_same_kind():
    records = [make_pretraining("image"), *make_matrix(["imagenet"], seeds=[0])]
    todo = [make_spec("imagenet", seed=seed) for seed in range(1, 5)]
    assert time_text(forecast_time(todo, records), 2) == "about 0:04:04 of computing left, 0:02:02 with 2 at once"
    longer = make_spec("imagenet", seed=9, epochs=99)
    assert time_text(forecast_time([*todo, longer], records), 1).endswith("with 1 at once, and 1 run of unknown length")
    assert time_text(forecast_time([longer], records), 2).startswith("1 run to do; how long it takes is not known")
    assert time_text(forecast_time([], records), 2) == "nothing left to compute"


def test_processes_that_share_a_run_take_its_time_each():
    shared = make_record(make_spec("imagenet"), environment={"processes": (8,)})
    (alone,), (of_all,) = (known_lengths([shared], of_all_processes=of_all).values() for of_all in (False, True))
    assert (alone, of_all) == ([61.0], [488.0])


def test_a_pretraining_that_stops_early_takes_its_part_of_a_whole_one():
    whole = make_pretraining("image")
    long = whole.spec.model_copy(update={"recipe": whole.spec.recipe.model_copy(update={"epochs": 300})})
    early = long.model_copy(update={"recipe": long.recipe.model_copy(update={"stop_epoch": 20})})
    records = [whole.model_copy(update={"spec": long, "run_id": long.run_id, "seconds": {"wall": 300.0}})]
    for here, elsewhere in ((records, []), ([], records)):
        assert forecast_time([early], here, elsewhere).seconds == pytest.approx(20.0)
        assert forecast_time([long], here, elsewhere).seconds == pytest.approx(300.0)
    budget = Budget(100.0, records)
    assert budget.forecast(early) == pytest.approx(20.0)
    assert budget.allows(early)
    stopped = records[0].model_copy(update={"spec": early, "run_id": early.run_id, "seconds": {"wall": 25.0}})
    assert forecast_time([early, long], [*records, stopped]).seconds == pytest.approx(325.0), "each as it was recorded"


def test_runs_on_few_labels_take_as_long_as_those_on_all():
    few = make_spec(seed=1, recipe=make_spec().recipe.model_copy(update={"label_share": 0.01}))
    found = forecast_time([few, make_spec(seed=1)], [make_record(make_spec())])
    assert (found.seconds, found.known, found.unknown) == (122.0, 2, 0)


def test_effects_follow_the_measured_spread_and_the_chosen_seeds():
    records = make_matrix(["imagenet"], seeds=range(4), scratch=False)
    effects = estimate_effects(collect(records, tasks=TASKS))
    main = effects[effects["metric"] == "top-1"]
    spread, freedom = (main["sd"] ** 2).mean() ** 0.5, int((main["n"] - 1).sum())
    (line,) = lines_of([make_spec("imagenet", seed=seed) for seed in range(10)], records, TASKS)
    effect = minimal_detectable_effect(spread, 10, spread_df=freedom)
    assert f"with 10 seeds a pair is {ALONE} {show_points(effect)} points (power 0.8" in line
    (line,) = lines_of([make_spec("imagenet")], records, TASKS)
    assert "one seed tells nothing of chance" in line
    assert forecast_effects([make_spec("audioset")], records, TASKS) == []


def test_cells_of_one_seed_show_no_spread_and_hide_none():
    one = make_matrix(["imagenet"], seeds=range(1), scratch=False)
    assert forecast_effects([make_spec("imagenet", seed=seed) for seed in range(4)], one, TASKS) == []
    three = make_matrix(["imagenet"], seeds=range(3), scratch=False)
    spread = {record.spec.auxiliary for record in three if record.spec.arm == "m2pt"}
    some = [record for record in three if record.spec.seed == 0 or record.spec.auxiliary not in sorted(spread, key=str)[:1]]
    (line,) = lines_of([make_spec("imagenet", seed=seed) for seed in range(4)], some, TASKS)
    assert f"in {len(spread) - 1} cells" in line
