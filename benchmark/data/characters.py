"""Text as arrays: one code a character, and back.

Codes: 0 to 94 are the printable characters of ASCII in their order, from the space on; 95 is the end of a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHARACTERS = 96
ALPHABET = "".join(map(chr, range(32, 127))) + "\n"


def as_texts(codes: NDArray[Any]) -> list[str]:
    """(n, L) codes -> n texts of L characters; raises `ValueError` for a code that is none."""
    if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < CHARACTERS:
        raise ValueError(f"codes of characters are from 0 to {CHARACTERS - 1}, not {int(codes.min())} to {int(codes.max())}")
    return ["".join(ALPHABET[code] for code in row) for row in codes.tolist()]
