"""A step of a check in; what it finds out, and what stopped it, as one more finding."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from benchmark.check.finding import Finding
from benchmark.data.embedded import DataError
from benchmark.plan.plugins import Unfit

Found = TypeVar("Found")
ENGINE = Path(__file__).parents[1]


def attempt(step: Generator[Finding, None, Found], place: str, *owners: object) -> Generator[Finding, None, Found | None]:
    """What a step finds and returns; None where it was stopped, by whatever the methods of the `owners` raised.

    Raises `DataError`: data that are not prepared are no fault of a task.
    """
    try:
        return (yield from step)
    except DataError:
        raise
    except Exception as error:  # of whatever kind, it is what is looked for
        yield Finding("error", told(error, place, *owners), stop=True)
        return None


def told(error: Exception, place: str, *owners: object) -> str:
    """An exception in one line, with the method that raised it and the line of the file that one of the `owners` is defined in,
    or, where none of theirs did, with the `place` at which it came."""
    text = " ".join(str(error).split())
    if isinstance(error, Unfit):
        return text
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    own = [(frame.f_code.co_qualname.rpartition("<locals>.")[2], frame.f_code.co_filename, line)
           for frame, line in traceback.walk_tb(error.__traceback__) if _is_of(Path(frame.f_code.co_filename), owners)]
    if not own:
        return f"{place}: {what}"
    _, file, line = own[-1]
    return f"{place}: {own[0][0]}() raised {what} (line {line} of {file})"


def _is_of(file: Path, owners: tuple[object, ...]) -> bool:
    """Whether a file lies beside one of the owners', or below, and is no part of the engine or of a package"""
    folders = [Path(module).parent for owner in owners if (module := inspect.getsourcefile(type(owner)))]
    return (any(file.is_relative_to(folder) for folder in folders) and not file.is_relative_to(ENGINE)
            and "site-packages" not in file.parts)


def expect(given: Found, method: str, wanted: str, fits: Callable[[Any], bool]) -> Found:
    """What a method gave back; raises `Unfit` where it does not fit."""
    if not fits(given):
        said = "None" if given is None else f"an object of {type(given).__name__}"
        raise Unfit(f"{method} returned {said}; return {wanted}")
    return given
