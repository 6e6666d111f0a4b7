"""What the tests of every official data set do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from benchmark.cli import main
from benchmark.data import Batch
from benchmark.data.catalogue import find
from benchmark.data.files import Files
from benchmark.record import Record
from benchmark.seeds import SampleRandom
from benchmark.store import Store


def check_reading(train: Files, batches: Sequence[Sequence[int]], varying: Sequence[str],
                  monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """That altered samples depend on seed, epoch and sample alone, not on workers. Returns the batches.

    The last batch is the beginning of the first; `varying` names the columns that another epoch changes.
    """
    def draw(indices):
        return SampleRandom(3, 1, indices)

    chosen = [torch.tensor(batch) for batch in batches]
    state = torch.get_rng_state()
    monkeypatch.setenv("M2PT_WORKERS", "0")
    alone = list(train.stream(chosen, draw=draw))
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setenv("M2PT_WORKERS", "2")
    for one, other in zip(alone, train.stream(chosen, draw=draw), strict=True):
        assert set(one) == set(other)
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(alone[0][name][: len(chosen[-1])], alone[-1][name]) for name in alone[0])
    again = next(train.stream(chosen, draw=lambda indices: SampleRandom(3, 2, indices)))
    assert not any(torch.equal(alone[0][name], again[name]) for name in varying)
    return alone


def run_paper(target: str, setting: str, results: Path, used: Sequence[str], changes: Mapping[str, object],
              capsys: pytest.CaptureFixture[str]) -> list[Record]:
    """Records of the paper's recipe with `changes` by the command line; the training comes last, of the prepared sets `used`.

    One epoch and no warm-up; changes of pretraining are left out where the setting has none.
    """
    changes = {"recipe.epochs": 1, "recipe.warmup_epochs": 0, "pretrain.epochs": 1} | changes
    small = [f"{name}={value}" for name, value in changes.items() if setting != "scratch" or not name.startswith("pretrain")]
    arm = {"pretrained": "finetune", "fix": "fix", "scratch": "scratch"}[setting]
    assert main(["run", "--matrix", "full", "-t", target, "--arm", arm, "--setting", setting, "--profile", "paper",
                 "--seeds", "0", "-j", "1", "--results", str(results),
                 *(part for value in small for part in ("--set", value))]) == 0, capsys.readouterr()
    records, problems = Store(results).records()
    assert not problems
    records = sorted(records, key=lambda record: record.spec.kind == "train")
    assert [record.spec.kind for record in records][-2:] == (["train"] if setting == "scratch" else ["pretrain", "train"])
    assert records[-1].spec.data == {name: find(name).digest for name in used}
    assert {row.split for row in records[-1].measurements} == {"train", "val", "test"}
    return records
