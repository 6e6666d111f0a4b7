"""Frames in, their rows out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def first_row(frame: pd.DataFrame, keys: Mapping[str, Any]) -> Any | None:
    """The first row with these values, as a named tuple; None without one."""
    places = np.flatnonzero(_have(frame, keys))[:1]
    return next(iter(rows_of(frame.iloc[places])), None)


def rows_with(frame: pd.DataFrame, keys: Mapping[str, Any]) -> pd.DataFrame:
    """The rows with these values by column"""
    return frame[_have(frame, keys)]


def _have(frame: pd.DataFrame, keys: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which rows have these values; all of them at once, as to take rows of many columns is what costs time"""
    found = np.ones(len(frame), np.bool_)
    for column, value in keys.items():
        found &= (frame[column] == value).to_numpy(np.bool_, na_value=False)
    return found


def rows_of(frame: pd.DataFrame) -> Iterable[Any]:
    """Rows as named tuples"""
    return frame.itertuples(index=False, name="Row")
