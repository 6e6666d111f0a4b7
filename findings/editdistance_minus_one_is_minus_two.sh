#!/usr/bin/env bash
# An edit distance counts what has to be changed to make one sequence of another, and what may stand in one is anything that can be told
# apart: words, token ids, intervals of a melody, differences of a signal. editdistance takes "any iterable" of what is hashable and compares
# what Python's hash() gives, which is -2 for -1 and for -2. So a melody that falls by semitones and one that falls by whole tones are at
# distance 0, and of random melodies of 40 intervals between -4 and 4 eight pairs in ten are too near, by up to five. Its page says "if object's
# hash is same, it's same", not that -1 and -2 are. rapidfuzz, which jiwer and others stand on, makes an exception for Python's int; of numpy's
# arrays, of floats (-1.0 and -2.0) and of tuples ((-1, 480), an interval and a length) it gives the same 0, and says nothing of hashes.
# Symbols moved by 100, or written as texts, are right in both. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q editdistance==0.8.1 rapidfuzz==3.14.6 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
from importlib.metadata import version

import editdistance
import numpy as np
from rapidfuzz.distance import Levenshtein

print(f"editdistance {version('editdistance')}, rapidfuzz {version('rapidfuzz')}, numpy {np.__version__}; "
      f"hash(-1) is {hash(-1)}")


def by_comparing(first, second) -> int:
    """The table of Wagner and Fischer, which compares symbols themselves"""
    row = list(range(len(second) + 1))
    for place, symbol in enumerate(first):
        above, row[0] = row[0], place + 1
        for at, other in enumerate(second):
            above, row[at + 1] = row[at + 1], min(row[at + 1] + 1, row[at] + 1, above + (symbol != other))
    return row[-1]


ways = {"int": lambda moves: moves.tolist(), "float": lambda moves: moves.astype(float).tolist(),
        "numpy array": lambda moves: moves, "tuple": lambda moves: [(move, 480) for move in moves.tolist()],
        "int, moved by 100": lambda moves: (moves + 100).tolist(),
        "text": lambda moves: [str(move) for move in moves.tolist()]}
generator = np.random.default_rng(0)
pairs = [generator.integers(-4, 5, (2, 40)) for _ in range(500)]
semitones, tones = np.full(12, -1), np.full(12, -2)
seen = {}
for name, written in ways.items():
    scales = [distance(written(semitones), written(tones)) for distance in (editdistance.eval, Levenshtein.distance)]
    right = np.array([by_comparing(*pair.tolist()) for pair in pairs])
    short = [right - np.array([distance(written(pair[0]), written(pair[1])) for pair in pairs])
             for distance in (editdistance.eval, Levenshtein.distance)]
    seen[name] = scales, [float((less > 0).mean()) for less in short]
    print(f"{name}: twelve semitones and twelve whole tones down, distance 12 by comparing: editdistance {scales[0]}, "
          f"rapidfuzz {scales[1]}; of 500 pairs of melodies too near {seen[name][1][0]:.1%} (by up to {short[0].max()}), "
          f"{seen[name][1][1]:.1%}; too far {(short[0] < 0).sum()}, {(short[1] < 0).sum()}")
wrong = {"int": (True, False), "float": (True, True), "numpy array": (True, True), "tuple": (True, True),
         "int, moved by 100": (False, False), "text": (False, False)}
sys.exit(0 if all((scales[way] == 0 and share[way] > 0.3) if wrong[name][way] else (scales[way] == 12 and share[way] == 0)
                  for name, (scales, share) in seen.items() for way in (0, 1)) else 1)
PYTHON
