"""A record in, what it logged as rows out: one value a row, by tag and step, as experiment trackers take them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.records.record import Record
from benchmark.records.signed import FILE, SERIES, read_signed

OF_A_RUN = ("run", "kind", "profile", "task", "modality", "setting", "arm", "auxiliary", "variant", "role", "seed", "limit")


def run_columns(record: Record) -> dict[str, object]:
    """Which run it is: the first columns of every frame."""
    held = record.spec.model_dump(include=set(OF_A_RUN))
    return {"run": record.spec.name, **{name: held.get(name) for name in OF_A_RUN[1:]}}


def log_rows(record: Record, folder: Path) -> Iterator[dict[str, object]]:
    """`tag`, `step` (epochs done) and `value`, of a record and what lies beside it in `folder`.

    Tags: "test/top1" (split and metric), "pathways/scale/LAYER" and the others of `benchmark.records.signed.SERIES`, by
    evaluation where the run left them, else after the last epoch alone; "seconds/train" and the like, of the whole run.
    """
    last = max((row.step for row in record.measurements), default=0)
    for row in record.measurements:
        yield {"tag": f"{row.split}/{row.metric}", "step": row.step, "value": row.value}
    looked = read_signed(folder / FILE)
    if looked is not None:
        for epoch, held in sorted(looked.rows.items()):
            yield from ({"tag": f"pathways/{name}/{layer}", "step": epoch, "value": value} for name in SERIES
                        for layer, value in zip(looked.layers, held[name], strict=True) if value is not None)
    else:
        yield from ({"tag": f"pathways/scale/{layer.name}", "step": last, "value": layer.scale} for layer in record.layers)
    yield from ({"tag": f"seconds/{name}", "step": last, "value": value} for name, value in record.seconds.items())
