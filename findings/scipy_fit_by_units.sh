#!/usr/bin/env bash
# The likelihood of samples has its maximum at one shape, whether they are in metres or in millimetres; place and scale follow the unit. fit
# of scipy.stats searches for it, for many distributions from a start with shape, place or scale near 1, and by steps that are small or
# not as such. Of 500 samples from an extreme value distribution (waves, floods, losses) with shape 0.1 it finds 0.12, times 1,000 it
# finds -6.2, and times 0.001 -0.63. Student's t with 5 degrees of freedom, around 10 with scale 1, comes out with 15,880 of
# them, which is a normal distribution; times 0.001 with 4.3. A lognormal one, times 1e-6, is nearly normal. All of these are
# less likely than the parameters that the samples were drawn from, so none is the maximum. Nothing is raised or warned of. The gamma
# distribution is right in each unit, and the first two are once the mean is subtracted and the deviation is 1. Exits with 1 where that
# has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy import stats

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
short = {}
for name, shape, place in (("genextreme", 0.1, 0), ("t", 5.0, 10), ("lognorm", 0.5, 0), ("gamma", 2.0, 0)):
    distribution = getattr(stats, name)
    samples = place + distribution.rvs(shape, size=500, random_state=np.random.default_rng(3))
    drawn = float(distribution.logpdf(samples, shape, place).sum())
    print(f"{name} drawn with shape {shape}, place {place} and scale 1; logarithm of the likelihood there {drawn:.1f}")
    mean, spread = samples.mean(), samples.std()
    for unit in (1e-6, 1e-3, 1, 60, 1e3, 1e6, "deviations"):
        if unit == "deviations" and name not in ("genextreme", "t"):
            continue  # has a beginning, so the mean cannot be taken away
        if unit == "deviations":
            found, at, scale = distribution.fit((samples - mean) / spread)
            at, scale = mean + spread * at, spread * scale
        else:
            found, at, scale = distribution.fit(samples * unit)
            at, scale = at / unit, scale / unit
        reached = float(distribution.logpdf(samples, found, at, scale).sum())
        short[name, unit] = drawn - reached
        print(f"    samples times {unit}: shape {found:.4g}, place {at:.4g}, scale {scale:.4g}; {reached:.1f}"
              + (", less than where they were drawn" if reached < drawn - 1 else ""))
sys.exit(0 if short["genextreme", 1] < 0 and short["genextreme", 1e3] > 100 and max(short["t", unit] for unit in (1, 60, 1e3)) > 10
         and short["t", 1e-3] < 0 and short["lognorm", 1e-6] > 10 and max(short[name, "deviations"] for name in ("genextreme", "t")) < 0
         and max(value for (name, _), value in short.items() if name == "gamma") < 1 else 1)
PYTHON
