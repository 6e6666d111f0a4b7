"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. "error": results would be wrong or none; "note": a person should look at it."""

    level: Literal["ok", "note", "error"]
    what: str
    stop: bool = False  # whether nothing that needs it can be looked at, such as one step of an arm
