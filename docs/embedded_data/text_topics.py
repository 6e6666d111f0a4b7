"""The topics of Python's manual in, `text_topics.npz` out: passages of 160 characters, each with the chapter it is from.

Source: `pydoc_data.topics` of CPython 3.11.7, which `help()` shows (PSF-2.0). It is in every Python, but not the same in each.
"""

from __future__ import annotations

import hashlib
import os
import pydoc_data.topics
import re
from collections.abc import Iterator

import numpy as np

DIGEST = "766a411ff9257ee0d3c790de12136c1ee6449c75844e37b80404792b5b4020e3"
LENGTH = 160  # characters of a passage
SECTION = 10  # passages that stay in one split: what follows each other shares its names
SPLITS = ("train", "val", "test")
FOLDED = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-",
                        "\u2026": "...", "\u00df": "ss", "\u00b0": "o"})
CHAPTERS = {  # the largest topic of each first, so that a paragraph which stands in several is that one's
    "special methods": "specialnames customization attribute-access callable-types context-managers",
    "compound statements": "compound async class else for function if try while with",
    "standard types": "types specialattrs typesmethods typesmodules typesfunctions bltin-code-objects bltin-type-objects "
                      "bltin-null-object bltin-ellipsis-object objects",
    "format of strings": "formatstrings",
    "methods of strings": "string-methods",
    "sequences": "typesseq typesseq-mutable",
    "debugger": "debugger",
    "mappings": "typesmapping",
    "statements": "assignment import raise assert augassign break continue del global nonlocal pass return yield",
    "expressions": "comparisons operator-summary calls binary subscriptions dict slicings booleans power atom-identifiers "
                   "atom-literals exprlists truth attribute-references unary bitwise await conversions in lambda lists "
                   "shifting sequence-types numeric-types",
    "names and literals": "strings identifiers integers floating imaginary numbers id-classes",
    "execution": "execmodel naming dynamic-features exceptions",
}


def chapters(topics: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(chapter, its text), printable ASCII and line ends alone; a paragraph that comes again is dropped.

    Of more than two equal marks in a row, as rules of tables and indents have them, two are left.
    """
    missing = set(topics) ^ {name for names in CHAPTERS.values() for name in names.split()}
    if missing:
        raise SystemExit(f"topics that are in no chapter, or not there: {', '.join(sorted(missing))}")
    seen: set[str] = set()
    for chapter, names in CHAPTERS.items():
        kept = []
        for name in names.split():
            for paragraph in topics[name].translate(FOLDED).split("\n\n"):
                words = " ".join(paragraph.split())
                if words not in seen:
                    seen.add(words)
                    kept.append(re.sub(r"([^0-9A-Za-z])\1{2,}", r"\1\1", paragraph.strip("\n")))
        yield chapter, "\n\n".join(kept)


def passages(text: str) -> np.ndarray:
    """(n, LENGTH) codes: 0 to 94 for the printable characters of ASCII, 95 for the end of a line; what is over is left out"""
    codes = np.frombuffer(text.encode("ascii"), np.uint8)
    if not (((codes >= 32) & (codes < 127)) | (codes == 10)).all():
        raise SystemExit("a character is neither printable ASCII nor the end of a line")
    codes = np.where(codes == 10, 95, codes - 32).astype(np.uint8)
    return codes[:len(codes) // LENGTH * LENGTH].reshape(-1, LENGTH)


def main(root: str, seed: int = 0) -> None:
    """Write `text_topics.npz` into `root`: whole sections, 27 % of each chapter to test, 10 % to val."""
    topics = pydoc_data.topics.topics
    digest = hashlib.sha256("\x1f".join(f"{name}\x1f{topics[name]}" for name in sorted(topics)).encode()).hexdigest()
    if digest != DIGEST:
        raise SystemExit(f"these topics have the digest {digest[:12]}...; those of CPython 3.11.7 have {DIGEST[:12]}...")
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[np.ndarray, int, str]]] = {split: [] for split in SPLITS}
    for label, (chapter, text) in enumerate(chapters(topics)):
        own = passages(text)
        sections = np.arange(-(-len(own) // SECTION))
        rng.shuffle(sections)
        num_test, num_val = max(1, round(0.27 * len(sections))), max(1, round(0.1 * len(sections)))
        for place, section in enumerate(sections):
            split = "test" if place < num_test else "val" if place < num_test + num_val else "train"
            found[split] += [(row, label, f"{chapter}:{section}")
                             for row in own[section * SECTION:(section + 1) * SECTION]]
    arrays = {"classes": np.array(list(CHAPTERS))}
    for split, rows in found.items():
        arrays[f"x_{split}"] = np.stack([row for row, _, _ in rows])
        arrays[f"y_{split}"] = np.array([label for _, label, _ in rows], np.uint8)
        arrays[f"src_{split}"] = np.array([source for _, _, source in rows])
        print(split, arrays[f"x_{split}"].shape, np.bincount(arrays[f"y_{split}"]))
    np.savez_compressed(os.path.join(root, "text_topics.npz"), **arrays)


if __name__ == "__main__":
    main(os.environ.get("EMBEDDED_BUILD", "work"))
