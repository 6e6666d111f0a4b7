"""What a reader of data advises where they are not prepared, in; the same with the task that wants them, out. No torch."""

from __future__ import annotations

UNNAMED = " prepare TASK "  # a reader knows its data set, and not which task asks for it


def with_task(advice: str, task: str) -> str:
    """The advice as it can be typed; the same where it names no command to prepare data"""
    return advice.replace(UNNAMED, f" prepare {task} ")
