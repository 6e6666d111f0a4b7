"""Weights that runs left in; how much auxiliaries have in common with what fine-tuning adds, a file beside the record, out.

Only where everything is here: what a run with an auxiliary started from, and a training of the same target, from the same
weights, that other runs start from. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.evidence.alignment import of_what_is_there
from benchmark.records.record import Record, write_json
from benchmark.records.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "cosine.json"
DIGITS = 6


def note_cosines(store: Store, method: str) -> int:
    """Write, for each run of the arm `method`, which takes its auxiliary as it is, cos(A, tau) by layer, and of all layers as
    one vector.

    The file names the training that tau is of, and its weights. Returns how many were written.
    """
    by_id = {record.run_id: record for record in store.records()[0]}
    trained = {record.spec.starts["target"]: by_id[run_id] for record in by_id.values() if "target" in record.spec.starts
               for run_id in record.spec.starts.values() if run_id in by_id and by_id[run_id].spec.kind == "train"}
    written = 0
    for record in by_id.values():
        starts = record.spec.starts
        if record.spec.arm != method or record.spec.variant or not {"target", "auxiliary"} <= starts.keys() <= by_id.keys() \
                | {"target", "auxiliary"} or starts["target"] not in trained:
            continue
        solution, target = trained[starts["target"]], store.folder_of(record) / FILE
        specs = [by_id[run_id].spec for run_id in (starts["auxiliary"], starts["target"], solution.run_id) if run_id in by_id]
        known, files = read_cosines(target), [store.weights(spec) for spec in specs]
        left, noted = solution.weights.get("result", ""), (known or {}).get("weights", "")
        if len(specs) < 3 or not all(map(store.has_weights, specs)) or (
                known and (known["solution"], noted) == (solution.run_id, left)):
            continue
        layers, cosines, whole = cosines_of(*files)
        content = {"solution": solution.run_id, "weights": left, "layers": layers,
                   "cosine": [round(value, DIGITS) for value in cosines], "all": round(whole, DIGITS),
                   "numbers": _numbers(files[0])}
        write_json(target, json.dumps(content) + "\n")
        written += 1
    return written


def cosines_of(auxiliary: Path, start: Path, trained: Path) -> tuple[list[str], list[float], float]:
    """Names of the blocks' linear layers, cos(A, trained - start) of each, and of all as one vector; 0 where one is nothing,
    as after a training whose only step has a rate of 0"""
    import numpy as np

    one, before, after = (_linears(file) for file in (auxiliary, start, trained))
    inner, sizes = [], []
    for name, values in one.items():
        tau = after[name] - before[name]
        inner.append(float((values * tau).sum()))
        sizes.append((float(np.linalg.norm(values)), float(np.linalg.norm(tau))))
    whole = np.sqrt([sum(size[side] ** 2 for size in sizes) for side in (0, 1)])
    cosines = [value / (a * b) if a * b else 0.0 for value, (a, b) in zip(inner, sizes, strict=True)]
    return list(one), cosines, sum(inner) / float(whole.prod()) if whole.prod() else 0.0


def _linears(file: Path) -> dict[str, NDArray[Any]]:
    import numpy as np
    from safetensors.numpy import load_file

    return {name.removesuffix(".weight"): tensor.astype(np.float64) for name, tensor in sorted(load_file(file).items())
            if name.startswith("blocks.") and name.endswith(".weight") and tensor.ndim == 2}


def _numbers(file: Path) -> list[int]:
    return [tensor.size for tensor in _linears(file).values()]


def read_cosines(path: Path) -> dict[str, Any] | None:
    """The content of a file that `note_cosines` wrote; None where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    needed = {"solution", "layers", "cosine", "all", "numbers"}
    return content if isinstance(content, dict) and needed <= content.keys() else None


def noted_cosines(store: Store, records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """By the record's identity: what was noted of a run, and not of a training that was computed anew since. `records` are the
    folder's own."""
    records = list(records)
    found = {record.identity: read_cosines(store.folder_of(record) / FILE) for record in records}
    return of_what_is_there(found, records, "solution")
