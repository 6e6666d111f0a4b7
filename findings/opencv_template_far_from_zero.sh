#!/usr/bin/env bash
# A correlation coefficient takes the mean of both sides away, so brightness does not matter, which is why TM_CCOEFF_NORMED is taken to
# find a small picture in a large one: where it was cut out, it gives 1. OpenCV's matchTemplate takes 8 bits and float32, and correlates
# the large picture as it comes, by a Fourier transform in float32, with the mean's share taken off after. Thermal cameras give
# hundredths of a kelvin, about 30,000, in which a scene at room temperature varies by 20: there a part cut out of its own picture is
# found in 5 of 40 cases, its own place has scores down to 0, and others have more. Of the same scenes less 30,000 all are found, with
# 1.000 each. At 10,000, as of many microscopes and radars, scores at the right place fall to 0.94. TM_CCOEFF is off as well. Of 8 bits
# all is well. Nothing is said. Subtracting any value near the mean first cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import cv2
import numpy as np

SIZE, SCENES = 32, 40
print(f"opencv {cv2.__version__}, numpy {np.__version__}; {SCENES} scenes of 240 by 320 with a deviation of 20, parts of {SIZE} by {SIZE}")


def coefficients(picture: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Correlation of the part with every window, in float64 with means taken away first"""
    windows = np.lib.stride_tricks.sliding_window_view(picture.astype(float), part.shape).reshape(-1, part.size)
    windows = windows - windows.mean(axis=1, keepdims=True)
    centred = part.astype(float).ravel() - part.astype(float).mean()
    return windows @ centred / np.linalg.norm(windows, axis=1) / np.linalg.norm(centred)


found, least, farthest = {}, {}, {}
for level in (0, 1000, 10_000, 30_000):
    for method in ("TM_CCOEFF_NORMED", "TM_CCOEFF"):
        places = []
        for seed in range(SCENES):
            generator = np.random.default_rng(seed)
            scene = cv2.GaussianBlur(generator.normal(size=(240, 320)), (0, 0), 2)
            picture = np.round(scene / scene.std() * 20 + level).astype(np.float32)  # whole numbers, which float32 holds
            row, column = generator.integers(0, 200), generator.integers(0, 280)
            part = picture[row:row + SIZE, column:column + SIZE].copy()
            scores = cv2.matchTemplate(picture, part, getattr(cv2, method))
            places.append((np.unravel_index(scores.argmax(), scores.shape) == (row, column), scores[row, column], scores.max()))
            if seed == 0 and method == "TM_CCOEFF_NORMED":
                right = coefficients(picture[:64, :64], picture[8:40, 8:40])
                given = cv2.matchTemplate(picture[:64, :64].copy(), picture[8:40, 8:40].copy(), cv2.TM_CCOEFF_NORMED).ravel()
                farthest[level] = float(abs(given - right).max())
        hits, own, best = np.array(places, float).T
        found[method, level] = hits.sum()
        if method == "TM_CCOEFF_NORMED":
            least[level] = own.min()
            print(f"level {level}, {method}: {hits.sum():.0f} of {SCENES} found; scores at the right place {own.mean():.4f} on average, "
                  f"{own.min():.4f} at least; best scores anywhere {best.mean():.4f} on average; off by up to {farthest[level]:.1g} from "
                  "float64 in a picture of 64 by 64")
        else:
            print(f"level {level}, {method}: {hits.sum():.0f} of {SCENES} found")
bytes_ = np.clip(np.round(scene / scene.std() * 20 + 200), 0, 255).astype(np.uint8)
scores = cv2.matchTemplate(bytes_, bytes_[row:row + SIZE, column:column + SIZE].copy(), cv2.TM_CCOEFF_NORMED)
print(f"8 bits at a level of 200: {scores[row, column]:.4f} at the right place, {scores.max():.4f} at most")
sys.exit(0 if found["TM_CCOEFF_NORMED", 30_000] < 20 and least[30_000] < 0.5 and least[0] > 0.99999 and least[10_000] < 0.98
         and found["TM_CCOEFF_NORMED", 0] == SCENES and farthest[0] < 1e-4 and scores[row, column] > 0.999 else 1)
PYTHON
