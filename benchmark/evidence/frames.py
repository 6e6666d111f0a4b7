"""Frames in, their rows out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd


def first_row(frame: pd.DataFrame, keys: dict[str, Any]) -> Any | None:
    """The first row with these values, as a named tuple; None without one."""
    return next(iter(rows_of(rows_with(frame, keys))), None)


def rows_with(frame: pd.DataFrame, keys: Mapping[str, Any]) -> pd.DataFrame:
    """The rows with these values by column"""
    for column, value in keys.items():
        frame = frame[frame[column] == value]
    return frame


def rows_of(frame: pd.DataFrame) -> Iterable[Any]:
    """Rows as named tuples"""
    return frame.itertuples(index=False, name="Row")
