"""What two trained models make of the same samples in, how alike it is out: a file beside the record. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.evidence.pairing import pair_records
from benchmark.records.record import Record, write_json
from benchmark.records.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "alignment.json"


class SameForAll(ValueError):
    """Features are the same for every sample, so that they align with nothing."""


def linear_cka(a: NDArray[Any], b: NDArray[Any]) -> float:
    """(n, p), (n, q) features of the same n samples -> centred kernel alignment with linear kernels, 0 to 1
    (Kornblith et al., ICML 2019). Raises `SameForAll` where one side is constant."""
    import numpy as np

    a, b = (x.astype(np.float64) - x.astype(np.float64).mean(0) for x in (a, b))
    sizes = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    if sizes == 0:
        raise SameForAll("features that are the same for every sample align with nothing")
    return float(np.linalg.norm(a.T @ b) ** 2 / sizes)


def compare_with_baselines(store: Store) -> int:
    """Write, for each run whose representations and whose baseline's are here, their alignment after every block.

    The file names the baseline and its weights, so that another's replaces it, or the same one's that was computed anew. There
    is none where the validation split is one sample, or all of it alike. Returns how many were written.
    """
    records, _ = store.records()
    paired = pair_records(records)
    written = 0
    for run, baseline in paired.baseline_of.items():
        target = store.folder_of(run.record) / FILE
        files = [store.weights(one.spec).with_name("representations.safetensors") for one in (run, baseline)]
        known = read_alignment(target)
        here = all(file.is_file() for file in files) and not any(store.is_begun(one.spec) for one in (run, baseline))
        weights = baseline.record.weights.get("result", "")
        if not here or (known and (known["baseline"], known.get("weights", "")) == (baseline.record.run_id, weights)):
            continue
        from safetensors.numpy import load_file

        by_depth = zip(*(load_file(file)["val"] for file in files), strict=True)
        try:
            values = [round(linear_cka(a, b), 6) for a, b in by_depth]
        except SameForAll:
            continue
        write_json(target, json.dumps({"baseline": baseline.record.run_id, "weights": weights, "cka": values}) + "\n")
        written += 1
    return written


def read_alignment(path: Path) -> dict[str, Any] | None:
    """The content of a file that `compare_with_baselines` wrote; None where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) and {"baseline", "cka"} <= content.keys() else None


def alignments_of(store: Store, records: Iterable[Record]) -> dict[str, list[float]]:
    """By the record's identity: the alignment of a run with its baseline after every block, first to last, where it was
    measured, and not with a baseline that was computed anew since. `records` are the folder's own."""
    records = list(records)
    found = {record.identity: read_alignment(store.folder_of(record) / FILE) for record in records}
    return {identity: [float(value) for value in content["cka"]]
            for identity, content in of_what_is_there(found, records, "baseline").items()}


def of_what_is_there(noted: Mapping[str, dict[str, Any] | None], records: Iterable[Record],
                     other: str) -> dict[str, dict[str, Any]]:
    """Of what was noted of runs beside another one each, which it names under the key `other`, that whose "weights" are those
    that the other run has left, as far as both are known."""
    left = {record.run_id: record.weights.get("result", "") for record in records}

    def holds(content: dict[str, Any]) -> bool:
        said, there = content.get("weights"), left.get(str(content[other]))
        return not said or not there or said == there

    return {identity: content for identity, content in noted.items() if content and holds(content)}
