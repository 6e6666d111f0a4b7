"""What is kept of every sample gives the metrics again; what is kept of pathways is what the gradients say."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from baselines import ARMS
from benchmark.model.weights import export_weights, read_weights
from benchmark.plan.matrix import Cell, Planner
from benchmark.plan.overrides import parse_override
from benchmark.records import outputs, signed
from benchmark.records.outputs import keep_small, read_outputs, write_outputs
from benchmark.records.signed import Signed, read_signed, write_signed
from benchmark.records.store import Store
from benchmark.runner.worker import Work, run_here
from benchmark.spec.runspec import Site
from benchmark.train.evaluate import Kept, evaluate
from benchmark.train.setup import build_model
from tasks import TASKS
from tasks.audioset.metrics import mean_average_precision

SMALL = ["recipe.epochs=2", "pretrain.epochs=1", "recipe.batch_size=16", "pretrain.batch_size=16", "shape.depth=2",
         "recipe.warmup_epochs=0", "pretrain.warmup_epochs=0", "recipe.eval_every=1"]


def plan_of(task: str, arm: str, setting: str, auxiliary: str | None = None, limit: int = 48):
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS, may_fit_nothing=True) for text in SMALL], limit=limit)
    return planner.plan([Cell(TASKS[task], ARMS[arm], setting, auxiliary)], [0])


@pytest.mark.parametrize("task", ["imagenet", "audioset", "shapenet", "modelnet"])
def test_outputs_give_the_metric_again(task, tmp_path):
    spec, split = plan_of(task, "scratch", "scratch").specs[-1], TASKS[task].load("tiny")["test"].take(48)
    model, kept = build_model(spec, TASKS[task]), Kept()
    for parameter in model.head.parameters():  # untrained heads give every sample the same
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    plain = evaluate(model, TASKS[task], split, spec, torch.device("cpu"))
    metrics = evaluate(model, TASKS[task], split, spec, torch.device("cpu"), kept=kept)
    assert metrics == plain
    write_outputs(tmp_path / outputs.FILE, kept.arrays())
    whole = read_outputs(tmp_path / outputs.FILE)
    keep_small(tmp_path, tmp_path / "small")
    small = read_outputs(tmp_path / "small" / outputs.FILE)
    assert (tmp_path / "small" / outputs.FILE).stat().st_size <= (tmp_path / outputs.FILE).stat().st_size
    if task == "audioset":
        assert mean_average_precision(whole["score"], whole["label"])[0] == pytest.approx(metrics["mAP"], abs=0.3)
        assert np.abs(small["score"] - np.clip(whole["score"], -15.9, 15.9)).max() <= outputs.STEP / 2 + 0.01
        assert np.array_equal(whole["label"], split.columns["label"].numpy() > 0.5)
    elif task == "shapenet":
        assert whole["correct"].shape == split.columns["label"].shape
        assert 0 < whole["correct"].mean() < 1
        assert small["correct"] == pytest.approx(whole["correct"].mean(1), abs=1e-3)
    else:
        assert np.array_equal(small["label"], split.columns["label"].numpy())
        hits = 100 * (small["predicted"] == small["label"]).mean()
        assert hits == pytest.approx(metrics[TASKS[task].metric.name])
        assert ((small["probability"] > 0.5) <= (small["predicted"] == small["label"])).all()
        assert small["probability"].dtype == np.float64


def test_a_damaged_file_is_named_in_one_line(tmp_path):
    assert read_outputs(tmp_path / outputs.FILE) is None
    (tmp_path / outputs.FILE).write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match=r"outputs .*outputs.npz cannot be read"):
        read_outputs(tmp_path / outputs.FILE)
    header = io.BytesIO()
    np.save(header, np.zeros(3, np.uint8))
    with zipfile.ZipFile(tmp_path / outputs.FILE, "w") as archive:  # a bracket that is one no more, after one bit has flipped
        archive.writestr("label.npy", header.getvalue().replace(b"(3,)", b"(3,("))
    with pytest.raises(ValueError, match=r"outputs .*outputs.npz cannot be read"):
        read_outputs(tmp_path / outputs.FILE)
    write_outputs(tmp_path / outputs.FILE, {"label": np.zeros(3, np.uint8), "predicted": np.zeros(4, np.uint8)})
    with pytest.raises(ValueError, match="its arrays are not those of outputs"):
        read_outputs(tmp_path / outputs.FILE)


def test_a_look_at_a_later_epoch_replaces_what_an_earlier_attempt_left_of_it(tmp_path):
    row = {name: [0.5, None] for name in signed.SERIES}
    found = Signed(["a", "b"])
    for epoch in (0, 5, 10):
        found.note(epoch, row)
    found.note(0, row)  # continued: the start is looked at again
    assert sorted(found.rows) == [0, 5, 10]
    found.note(5, {name: [1 / 3, 0.25] for name in signed.SERIES})
    write_signed(tmp_path / signed.FILE, found)
    again = read_signed(tmp_path / signed.FILE)
    assert again.layers == ["a", "b"]
    assert sorted(again.rows) == [0, 5]
    assert again.rows[5]["scale"] == [0.33333, 0.25]
    assert again.rows[0]["through"] == [0.5, None]
    (tmp_path / signed.FILE).write_text('{"layers": ["a"], "epochs": [0]}')
    assert read_signed(tmp_path / signed.FILE) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pathways_of_a_training_that_diverges_are_told_with_what_to_do(tmp_path, value):
    found = Signed(["a", "b"])
    found.note(0, {name: [0.5, None] for name in signed.SERIES})
    found.note(3, {name: [0.5, value if name == "scale" else None] for name in signed.SERIES})
    with pytest.raises(signed.NonFinitePathways, match=rf"^scale of b is {value} after epoch 3; lower the learning rate"):
        write_signed(tmp_path / signed.FILE, found)
    assert not (tmp_path / signed.FILE).exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with pathways, through the runner; its store and record."""
    store = Store(tmp_path_factory.mktemp("run"))
    store.prepare()
    plan = plan_of("imagenet", "m2pt", "pretrained", "audio")
    for job in plan.jobs:
        run_here(Work.of(job, store, None), store, Site(results=str(store.folder)), lambda done, total, text: None)
    (record,) = [one for one in store.records()[0] if one.spec.kind == "train"]
    return store, record


def test_a_run_leaves_its_outputs_beside_its_record(run):
    store, record = run
    kept = read_outputs(store.run_folder(record.spec) / outputs.FILE)
    hits = 100 * (kept["predicted"] == kept["label"]).mean()
    assert hits == pytest.approx(record.curve("test", "top1")[-1][1])
    assert not (store.run_folder(next(one.spec for one in store.records()[0] if one.spec.kind == "pretrain"))
                / outputs.FILE).exists()


def test_what_is_said_of_pathways_with_its_sign_agrees_with_what_the_record_says_of_its_size(run):
    store, record = run
    looked = read_signed(store.run_folder(record.spec) / signed.FILE)
    assert sorted(looked.rows) == [0, 1, 2]
    assert looked.layers == [layer.name for layer in record.layers]
    start, end = looked.rows[0], looked.rows[2]
    for place, layer in enumerate(record.layers):
        size = abs(start["gradient_cosine"][place]) * layer.initial_gradient["weight"] * start["auxiliary_norm"][place]
        assert size == pytest.approx(layer.initial_gradient["scale"], rel=1e-3)
        assert start["change_cosine"][place] is None
        assert end["scale"][place] == pytest.approx(layer.scale, rel=1e-4)
        assert abs(end["through"][place]) <= layer.update_share + 1e-6
    signs = [np.sign(value) for value in start["gradient_cosine"]]
    moved = [np.sign(value) for value in looked.rows[1]["scale"]]
    assert np.mean([one != other for one, other in zip(signs, moved, strict=True)]) > 0.6, "scales move against the gradient"
    assert len(set(signs)) == 2


def test_outputs_of_an_exported_model_are_those_that_its_run_left(run, tmp_path):
    store, record = run
    held = read_weights(store.weights(record.spec))
    model = build_model(record.spec, TASKS["imagenet"])
    model.load_state_dict({name: held[name.removeprefix("tokenizer.").removeprefix("head.")] for name in model.state_dict()})
    export_weights(model, tmp_path / "again.safetensors")
    kept = Kept()
    evaluate(model, TASKS["imagenet"], TASKS["imagenet"].load("tiny")["test"].take(48), record.spec, torch.device("cpu"),
             kept=kept)
    left = read_outputs(store.work(record.spec) / outputs.FILE)
    assert np.array_equal(kept.arrays()["predicted"], left["predicted"])
    assert kept.arrays()["probability"].astype(np.float64) == pytest.approx(left["probability"])


def test_a_library_reads_what_is_kept_of_samples_and_pathways(run):
    import benchmark

    store, record = run
    samples, pathways = (benchmark.load(store.folder, kind) for kind in ("outputs", "pathways"))
    assert set(samples["run"]) == set(pathways["run"]) == {record.spec.name}
    hits = 100 * (samples["predicted"] == samples["label"]).mean()
    assert hits == pytest.approx(record.curve("test", "top1")[-1][1])
    assert len(pathways) == 3 * len(record.layers)
    last = pathways[pathways["epoch"] == 2].set_index("layer")["scale"]
    assert last.to_dict() == pytest.approx({layer.name: layer.scale for layer in record.layers}, rel=1e-4)
