#!/usr/bin/env bash
# How far particles move in a time, their mean squared displacement, does not hang on where zero is: displacements are differences. In freud
# it does. Its default, mode "window", takes it from squares of positions less their autocorrelation by a Fourier transform, of float32
# (what comes out is float64), so that it is what is left of two large numbers. Of random steps of 1 in each direction, whose mean square
# is 3.0 after one step, it has 3.0 about zero, 2.7 at 1,000 from it, 0.1 at 3,000, and -20 at 10,000, though a square is never negative.
# Zero need not lie oddly for that: particles that flow by 5 steps a frame are 50,000 away after 10,000 frames, and have 64 in place of 28
# after one. It is the short times that go wrong, from which one reads how diffusion begins and how exact positions are. Nothing is said.
# mode="direct", which has no window, is right. Subtracting each particle's mean over time cures a far place, but not a flow; differences
# by numpy are right in both. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q freud-analysis==3.4.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error::RuntimeWarning -W error::UserWarning - <<'PYTHON'
import sys

import freud
import numpy as np

print(f"freud {freud.__version__}, numpy {np.__version__}")
LAGS = (1, 10, 100)


def windowed(positions: np.ndarray) -> np.ndarray:
    """The mean squared displacement by its formula, from (frames, particles, 3)"""
    return np.array([np.mean(np.sum((positions[lag:] - positions[:-lag]) ** 2, axis=2)) for lag in LAGS])


def show(name: str, positions: np.ndarray) -> dict[str, np.ndarray]:
    centred = positions - positions.mean(axis=0)
    found = {"freud": freud.msd.MSD(mode="window").compute(positions).msd[list(LAGS)],
             "less each one's mean": freud.msd.MSD(mode="window").compute(centred).msd[list(LAGS)], "by numpy": windowed(positions)}
    print(f"{name}: after {LAGS} frames " + "; ".join(f"{way} {values.round(3).tolist()}" for way, values in found.items()))
    return found


generator = np.random.default_rng(0)
walk = np.cumsum(generator.normal(size=(1000, 50, 3)), axis=0)
at = {place: show(f"at {place:,} from zero", walk + place) for place in (0, 1000, 3000, 10_000)}
direct = [freud.msd.MSD(mode="direct").compute(walk + place).msd[list(LAGS)] for place in (0, 10_000)]
print(f"mode direct at 0 and 10,000: {direct[0].round(3).tolist()}, {direct[1].round(3).tolist()}")
steps = np.cumsum(np.random.default_rng(0).normal(size=(10_000, 10, 3)) + [5.0, 0, 0], axis=0)
flow = show("a flow of 5 steps a frame, 10,000 frames", steps)
sys.exit(0 if at[10_000]["freud"][0] < 0 and abs(at[3000]["freud"][0] / 3 - 1) > 0.3 and abs(flow["freud"][0] / flow["by numpy"][0] - 1) > 0.2
         and all(np.allclose(found["less each one's mean"], found["by numpy"], rtol=0.01) for found in at.values())
         and np.allclose(at[0]["freud"], at[0]["by numpy"], rtol=0.01) and np.allclose(*direct, rtol=0.01) else 1)
PYTHON
