"""Alignment of representations agrees with its definition, and is kept beside the records that it compares."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from synthetic import TASKS, make_record, make_spec

from benchmark.cli.main import main
from benchmark.evidence.alignment import FILE, alignments_of, compare_with_baselines, linear_cka
from benchmark.evidence.analysis import Extras, analyse
from benchmark.records.store import Store
from benchmark.report.write import write_report


def features(seed: int, n: int = 50, p: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, p)).astype(np.float32)


def test_alignment_is_that_of_centred_gram_matrices():
    a, b = features(0), features(1, p=5)
    centre = np.eye(50) - 1 / 50
    gram_a, gram_b = centre @ a @ a.T @ centre, centre @ b @ b.T @ centre
    expected = (gram_a * gram_b).sum() / np.linalg.norm(gram_a) / np.linalg.norm(gram_b)
    assert linear_cka(a, b) == pytest.approx(expected, rel=1e-5)


def test_alignment_ignores_rotation_scale_and_shift_and_nothing_else():
    a = features(0)
    rotation, _ = np.linalg.qr(features(2, 8, 8))
    assert linear_cka(a, 3 * a @ rotation + 1) == pytest.approx(1, abs=1e-6)
    assert linear_cka(a, features(3)) < 0.4
    with pytest.raises(ValueError, match="the same for every sample"):
        linear_cka(a, np.ones((50, 3)))


def test_runs_are_compared_with_their_baselines_once_and_shown(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    records = [make_record(make_spec("imagenet", arm, auxiliary, seed), 46.0 + seed)
               for seed in range(2) for arm, auxiliary in (("finetune", None), ("m2pt", "audio"))]
    for number, record in enumerate(records):
        store.save(record)
        if record.spec.seed == 0 or record.spec.arm == "finetune":  # of one run the weights are on another machine
            save_file({"val": np.stack([features(0), features(number)])},
                      store.work(record.spec) / "representations.safetensors")
    assert compare_with_baselines(store) == 1
    content = json.loads((store.run_folder(records[1].spec) / FILE).read_text())
    assert content["baseline"] == records[0].run_id
    assert content["cka"] == pytest.approx([1.0, linear_cka(features(0), features(1))], abs=1e-5)
    assert compare_with_baselines(store) == 0
    alignments = alignments_of(store, records)
    assert set(alignments) == {records[1].identity}
    write_report(analyse(records, [], tasks=TASKS, extras=Extras(alignments=alignments)), tmp_path / "report")
    assert "| imagenet | m2pt(audio) | 1 | 1.000  " in (tmp_path / "report" / "report.md").read_text()


def test_a_baseline_that_was_computed_anew_is_compared_anew_and_its_old_comparison_is_not_shown(tmp_path):
    """It keeps its run's id, and its weights are others."""
    store = Store(tmp_path)
    store.prepare()
    plain, joined = (make_record(make_spec("imagenet", *arm), 46.0, weights={"result": letter * 64})
                     for arm, letter in ((("finetune",), "a"), (("m2pt", "audio"), "b")))
    for number, record in enumerate((plain, joined)):
        store.save(record)
        save_file({"val": np.stack([features(number)])}, store.work(record.spec) / "representations.safetensors")
    assert compare_with_baselines(store) == 1
    first = alignments_of(store, [plain, joined])[joined.identity]
    anew = plain.model_copy(update={"weights": {"result": "c" * 64}})
    store.save(anew)
    save_file({"val": np.stack([features(2)])}, store.work(plain.spec) / "representations.safetensors")
    assert alignments_of(store, [anew, joined]) == {}
    assert compare_with_baselines(store) == 1
    assert alignments_of(store, [anew, joined])[joined.identity] != first
    assert compare_with_baselines(store) == 0


@pytest.mark.parametrize("samples", [features(0, n=1), np.ones((64, 8), np.float32)], ids=["one", "alike"])
def test_of_one_validation_sample_or_of_samples_that_are_alike_no_alignment_is_noted(samples, tmp_path):
    """A matrix of such a task ends as any other, and its report has no row of it."""
    store = Store(tmp_path)
    store.prepare()
    records = [make_record(make_spec("imagenet", *arm), 46.0) for arm in (("finetune",), ("m2pt", "audio"))]
    for record in records:
        store.save(record)
        save_file({"val": np.stack([samples])}, store.work(record.spec) / "representations.safetensors")
    assert compare_with_baselines(store) == 0
    assert alignments_of(store, records) == {}


def test_a_report_of_a_folder_that_cannot_be_written_to_is_made_all_the_same(tmp_path, capsys):
    """After a matrix on a cluster, `report` notes what nobody may have stayed to note."""
    store = Store(tmp_path / "results")
    store.prepare()
    (store.folder / "slurm").mkdir()
    records = [make_record(make_spec("imagenet", *arm), 46.0) for arm in (("finetune",), ("m2pt", "audio"))]
    for number, record in enumerate(records):
        store.save(record)
        save_file({"val": np.stack([features(0), features(number)])}, store.work(record.spec) / "representations.safetensors")
    command = ["report", "--results", str(store.folder), "--only", "matrix", "--format", "md", "--out", str(tmp_path / "out")]
    (store.run_folder(records[1].spec) / FILE).mkdir()  # in the way
    assert main(command) == 0
    assert f"note: {store.folder} cannot be written to (Is a directory), so what is noted there" in capsys.readouterr().err
    (store.run_folder(records[1].spec) / FILE).rmdir()
    assert main(command) == 0
    assert "note: " not in capsys.readouterr().err
    assert set(alignments_of(store, records)) == {records[1].identity}
