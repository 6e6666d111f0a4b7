"""Rows of what runs logged in, files that other tools open out: TensorBoard, CSV, Parquet. No torch."""

from __future__ import annotations

import functools
import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from benchmark.records.record import Record, write_whole
from benchmark.records.rows import OF_A_RUN, log_rows, run_columns
from benchmark.records.store import Store
from benchmark.spec.runspec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

Conditions: TypeAlias = Callable[[RunSpec], str | None]
NEEDS = {"tensorboard": ("tensorboard", "tensorboard"), "csv": ("", ""), "parquet": ("pyarrow", "parquet")}  # package, extra
EVENTS = "events.out.tfevents.{seconds}.benchmark"  # TensorBoard reads what has "tfevents" in its name


def check_packages(formats: Sequence[str]) -> None:
    """Raises `ValueError` that names what is to be installed."""
    for name in formats:
        package, extra = NEEDS[name]
        if package and importlib.util.find_spec(package) is None:
            raise ValueError(f"--to {name} needs {package}, which is not installed; pip install 'm2pt-bench[{extra}]', or "
                             f"-e '.[{extra}]' in a clone")


def log_frame(runs: Sequence[tuple[Record, Store]], conditions: Conditions) -> pd.DataFrame:
    """All rows, with the columns before them that say of which run they are."""
    import pandas as pd

    return pd.DataFrame([{**columns, **row} for record, store in runs
                         for columns in [{**run_columns(record), "conditions": conditions(record.spec)}]
                         for row in log_rows(record, store.folder_of(record))],
                        columns=[*OF_A_RUN, "conditions", "tag", "step", "value"])


def write_logs(runs: Sequence[tuple[Record, Store]], conditions: Conditions, formats: Sequence[str],
               out: Path) -> dict[str, Path]:
    """Write `out`/logs.csv, `out`/logs.parquet, and a folder a run below `out`/tensorboard; returns where each format is.

    `conditions` says how a run's recipe and shape differ from its profile's. The same records give the same bytes, over those
    of an earlier call. Raises `OSError` where it cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    frame = functools.cache(lambda: log_frame(runs, conditions))  # of both formats that have it
    writers: Mapping[str, Callable[[], Path]] = {
        "tensorboard": lambda: _write_events(runs, out / "tensorboard"),
        "csv": lambda: _write_frame(frame(), out / "logs.csv"),
        "parquet": lambda: _write_frame(frame(), out / "logs.parquet")}
    return {name: writers[name]() for name in formats}


def _write_frame(frame: pd.DataFrame, path: Path) -> Path:
    held = io.BytesIO()
    if path.suffix == ".csv":
        frame.to_csv(held, index=False)
    else:
        frame.to_parquet(held, engine="pyarrow", index=False)
    write_whole(path, held.getbuffer(), lasting=False)
    return path


def _write_events(runs: Sequence[tuple[Record, Store]], folder: Path) -> Path:
    """A file of events a run. Records know when a run started, and not when an epoch ended: all events are of the start."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.summary.writer.record_writer import RecordWriter

    for record, store in runs:
        began = datetime.fromisoformat(record.started).timestamp()
        held = io.BytesIO()
        writer = RecordWriter(held)
        about = HParamsPluginData(version=0)
        for name, value in run_columns(record).items():
            if isinstance(value, str):
                about.session_start_info.hparams[name].string_value = value
            elif isinstance(value, int):
                about.session_start_info.hparams[name].number_value = value
        described = Summary.Value(tag="_hparams_/session_start_info", metadata=SummaryMetadata(
            plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=about.SerializeToString(deterministic=True))))
        writer.write(Event(wall_time=began, file_version="brain.Event:2").SerializeToString())
        writer.write(Event(wall_time=began, summary=Summary(value=[described])).SerializeToString())
        for row in log_rows(record, store.folder_of(record)):
            value = Summary.Value(tag=row["tag"], simple_value=row["value"])
            writer.write(Event(wall_time=began, step=row["step"], summary=Summary(value=[value])).SerializeToString())
        place = folder / record.spec.name
        place.mkdir(parents=True, exist_ok=True)
        for earlier in place.glob("events.out.tfevents.*.benchmark"):
            earlier.unlink()
        write_whole(place / EVENTS.format(seconds=int(began)), held.getbuffer(), lasting=False)
    return folder
