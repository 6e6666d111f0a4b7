#!/usr/bin/env bash
# How many independent draws a chain is worth (effective sample size), and so the error of its mean, does not hang on the unit. arviz
# takes a chain for constant where its largest value is less than 1e-15 above its least, in whatever unit, and says that a constant
# chain is worth all of its draws. Four chains of 1,000 draws that wander slowly are worth 91 for their mean. As a cross-section in
# square metres (a barn is 1e-28) they are worth 4,000, and summary's mcse_mean is 0.15 of what it is in barns. Deviations are squared
# before, so that lengths in metres which spread by 1 nm are worth 4,000 draws for their deviation, and mcse_sd is a fifth; ess_bulk,
# ess_tail and r_hat go by ranks and stay as they are, so that columns of one row do not belong together. A chain that never moved has
# an ess_bulk of 4,000 as well, above every threshold, and no r_hat. Of units nothing is said. arviz-stats is alike. Exits with 1 where
# that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q arviz==0.23.4 arviz-stats==0.8.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import numpy as np

warnings.filterwarnings("ignore", category=FutureWarning)  # that arviz is about to change
import arviz
from arviz_stats.base import array_stats

print(f"arviz {arviz.__version__}, arviz-stats {version('arviz-stats')}, numpy {np.__version__}")
generator = np.random.default_rng(0)
steps = generator.normal(size=(4, 1000))
chains = steps.copy()
for draw in range(1, 1000):
    chains[:, draw] = 0.95 * chains[:, draw - 1] + np.sqrt(1 - 0.95**2) * steps[:, draw]
found, other = {}, {}
for unit in (1.0, 1e-3, 1e-9, 1e-28):
    row = arviz.summary({"x": chains * unit}, round_to="none", fmt="wide").iloc[0]
    ess = {method: float(arviz.ess(chains * unit, method=method)) for method in ("mean", "sd")}
    other[unit] = {method: float(array_stats.ess(chains * unit, method=method, chain_axis=0, draw_axis=1)) for method in ess}
    found[unit] = {**ess, "mcse_mean": row["mcse_mean"] / row["sd"], "mcse_sd": row["mcse_sd"] / row["sd"], "ess_bulk": row["ess_bulk"],
                   "r_hat": row["r_hat"]}
    print(f"in units of {unit:g}: draws' worth for the mean {ess['mean']:.0f}, for the deviation {ess['sd']:.0f} (arviz-stats "
          f"{other[unit]['mean']:.0f}, {other[unit]['sd']:.0f}); summary: mcse_mean {found[unit]['mcse_mean']:.4f} sd, mcse_sd "
          f"{found[unit]['mcse_sd']:.4f} sd, ess_bulk {row['ess_bulk']:.0f}, r_hat {row['r_hat']:.3f}")
stuck = arviz.summary({"x": np.full((4, 1000), 0.3)}, round_to="none", fmt="wide").iloc[0]
print(f"chains that stay at 0.3: ess_bulk {stuck['ess_bulk']:.0f}, ess_tail {stuck['ess_tail']:.0f}, r_hat {stuck['r_hat']}")
one, nano, barn = found[1.0], found[1e-9], found[1e-28]
same = all(abs(found[unit][name] / one[name] - 1) < 1e-6 for unit in found for name in ("ess_bulk", "r_hat"))
same = same and all(abs(found[1e-3][name] / one[name] - 1) < 1e-6 for name in one) and abs(nano["mean"] / one["mean"] - 1) < 1e-6
sys.exit(0 if same and barn["mean"] == barn["sd"] == nano["sd"] == 4000 and one["mean"] < 200 and one["sd"] < 400
         and barn["mcse_mean"] < 0.3 * one["mcse_mean"] and nano["mcse_sd"] < 0.4 * one["mcse_sd"] and stuck["ess_bulk"] == 4000
         and other[1e-28]["mean"] == other[1e-9]["sd"] == 4000 and abs(other[1.0]["mean"] / one["mean"] - 1) < 0.05 else 1)
PYTHON
