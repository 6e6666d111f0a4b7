#!/usr/bin/env bash
# Quadratic weighted kappa compares grades on a scale (severity 0 to 4, an essay's 1 to 6) and weighs a disagreement by the square of its
# distance. scikit-learn's cohen_kappa_score makes the scale of the grades that occur in the two lists and takes the distance by place in
# it. A grade that nobody gave, a rare one in a small fold, makes its neighbours one apart: for the same grades kappa is another number.
# Of 1, 2 and 5 on a scale from 1 to 5 a model that takes 5 for 2 in 4 of 24 cases has 0.86, and 0.70 with labels=[1, 2, 3, 4, 5]; one
# that takes 2 for 1 as often has 0.89, and 0.97 with labels. So a gross error counts about as much as a slight one. Of ten folds of 20
# grades each, two of five rare, seven have another kappa, by up to 0.08 up or down. For doses of 1, 10 and 100 the distances are 1 and 2.
# Grades as words are sorted by letter: "high" is next to "low", and to take the one for the other costs least. Nothing is said, and
# "quadratic" and "linear" are all that the page says. labels cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.metrics import cohen_kappa_score

print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}")
SCALE = [1, 2, 3, 4, 5]


def by_hand(first: np.ndarray, second: np.ndarray) -> float:
    """Quadratic weighted kappa of numbers, from the squares of their differences"""
    return 1 - float(np.mean((first - second) ** 2) / np.mean((first[:, None] - second[None]) ** 2))


def both(first: np.ndarray, second: np.ndarray, scale: list[int]) -> tuple[float, float, float]:
    return (float(cohen_kappa_score(first, second, weights="quadratic")),
            float(cohen_kappa_score(first, second, weights="quadratic", labels=scale)), by_hand(first, second))


true = np.repeat([1, 2, 5], 8)
far, near = true.copy(), true.copy()
far[16:20] = 2
near[8:12] = 1
found = {"takes 5 for 2 in 4 of 24": both(true, far, SCALE), "takes 2 for 1 in 4 of 24": both(true, near, SCALE)}
doses = np.repeat([1, 10, 100], 8)
wrong = doses.copy()
wrong[16:20] = 10
found["doses 1, 10, 100, takes 100 for 10"] = both(doses, wrong, list(range(1, 101)))
for name, (plain, whole, hand) in found.items():
    print(f"{name}: kappa {plain:.4f}, with the whole scale as labels {whole:.4f}, by hand {hand:.4f}")
rng = np.random.default_rng(0)
grades = rng.choice(SCALE, 200, p=[0.35, 0.3, 0.03, 0.02, 0.3])
guesses = np.where(rng.random(200) < 0.7, grades, rng.choice(SCALE, 200, p=[0.35, 0.3, 0.03, 0.02, 0.3]))
folds = [both(grades[place:place + 20], guesses[place:place + 20], SCALE) for place in range(0, 200, 20)]
print("ten folds of 20: kappa " + ", ".join(f"{plain:.3f} ({whole:.3f})" for plain, whole, _ in folds) + " (with labels)")
words = np.array(["low", "medium", "high"])
places = np.repeat([0, 1, 2], 8)
slip = places.copy()
slip[16:20] = 0  # high taken for low, which is the worst that can be
spoken = float(cohen_kappa_score(words[places], words[slip], weights="quadratic"))
ordered = float(cohen_kappa_score(words[places], words[slip], weights="quadratic", labels=words))
print(f"high taken for low in 4 of 24: kappa {spoken:.4f} of words, {ordered:.4f} with their order as labels")
differ = sum(abs(plain - whole) > 0.005 for plain, whole, _ in folds)
first, second = list(found.values())[:2]
sys.exit(0 if all(abs(whole - hand) < 1e-9 for _, whole, hand in [*found.values(), *folds]) and abs(first[0] - second[0]) < 0.04
         and first[1] < second[1] - 0.2 and abs(found["doses 1, 10, 100, takes 100 for 10"][0] - first[0]) < 1e-9
         and spoken > ordered + 0.3 and differ >= 3 else 1)
PYTHON
