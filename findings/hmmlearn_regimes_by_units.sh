#!/usr/bin/env bash
# A hidden Markov model of calm and wild times is fitted to returns, accelerations or currents, and in which unit they are does not
# matter: deviations grow with it, and the states are the same. hmmlearn's GaussianHMM has two numbers for it that have a unit: variances
# begin at 0.001 or more (min_covar) and are drawn to a prior of 0.01 (covars_prior). Of 2,000 values whose deviation is 1 and 4 by turns
# it finds deviations of 1.01 and 3.94, and 99.95 % of the states. Divided by 100, as daily returns are, still so, with 1.06 for 1;
# divided by 1,000, as those of an hour are, or a signal in volts, one of the two states takes all values, the other none and a deviation
# of 31, and half of the states are right, which is chance. Divided by 10,000 it is the same. Multiplied by 1,000 all is right. Nothing is
# said: the fit has converged. Standardised before, or with min_covar and covars_prior made as small, the states are found. Exits with 1
# where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q hmmlearn==0.3.3 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import hmmlearn
import numpy as np
from hmmlearn.hmm import GaussianHMM

print(f"hmmlearn {hmmlearn.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
states = np.repeat([0, 1, 0, 1], 500)
values = rng.normal(0, np.where(states == 0, 1.0, 4.0))[:, None]
right = {}
for unit in (1e3, 1.0, 1e-2, 1e-3, 1e-4):
    cases = {"": {}}
    if unit < 1e-2:
        cases[", min_covar and covars_prior by unit"] = {"min_covar": 1e-3 * unit**2, "covars_prior": 1e-2 * unit**2}
    for name, options in cases.items():
        model = GaussianHMM(2, n_iter=200, random_state=0, **options).fit(values * unit)
        found = model.predict(values * unit)
        right[unit, bool(options)] = max(float((found == states).mean()), float((found != states).mean()))
        deviations = np.sqrt(model.covars_.ravel())
        print(f"deviations {unit:g} and {4 * unit:g}{name}: found {deviations[0]:.3g} and {deviations[1]:.3g}, "
              f"{right[unit, bool(options)]:.2%} of the states right, values in each "
              f"{np.bincount(found, minlength=2).tolist()}, converged {model.monitor_.converged}")
sys.exit(0 if all((share < 0.6) == (unit < 1e-2 and not options) for (unit, options), share in right.items())
         and all(share > 0.98 or share < 0.6 for share in right.values()) else 1)
PYTHON
