#!/usr/bin/env bash
# The quantile of a response in metres is a thousandth of the one in millimetres, and so are the coefficients of a quantile regression.
# statsmodels' QuantReg finds them step by step, beginning with least squares, and stops when a step changes no coefficient by more than
# 1e-6, whatever they are. Of a response in units of 1 the line for the 90 % quantile has 90 % of the points below it. In units of
# 1e-5 (seconds for tens of microseconds) it has 86 %, in 1e-6 77 %, and below that it is what the second step gives, with 82 %: between
# the line of least squares and the right one, with standard errors a quarter too small. Losses, rates per person and volts of
# a nerve are such numbers. It takes 2 steps in place of 89 and warns of nothing. p_tol in the response's unit does not cure it (3.07
# in place of 3.38), as what is left at a point is taken for 1e-6 where it is less; another unit does. A linear program, which is what
# quantile regression is, gives the line that QuantReg gives in units of 1. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q statsmodels==0.15.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import statsmodels
from scipy.optimize import linprog
from statsmodels.regression.quantile_regression import QuantReg

print(f"statsmodels {statsmodels.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
place = generator.uniform(size=2000)
response = 1 + 2 * place + generator.exponential(size=2000)
table = np.stack([np.ones(2000), place], axis=1)
ends = np.concatenate([[0, 0], np.full(2000, 0.9), np.full(2000, 0.1)])  # costs of what lies above and below the line
program = linprog(ends, A_eq=np.hstack([table, np.eye(2000), -np.eye(2000)]), b_eq=response,
                  bounds=[(None, None)] * 2 + [(0, None)] * 4000, method="highs").x[:2]
print(f"linear program: {program.round(4).tolist()}, {np.mean(response < table @ program):.4f} below")
below, lines, warned = {}, {}, 0
for unit in (1000, 1, 1e-3, 1e-5, 1e-6, 1e-7, 1e-9):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = QuantReg(response * unit, table).fit(q=0.9)
        finer = QuantReg(response * unit, table).fit(q=0.9, p_tol=1e-6 * unit)
    warned += len(caught)
    lines[unit], below[unit] = fitted.params / unit, float(np.mean(response * unit < table @ fitted.params))
    print(f"unit {unit:g}: {lines[unit].round(4).tolist()}, standard errors {(fitted.bse / unit).round(4).tolist()}, {below[unit]:.4f} below, "
          f"{fitted.iterations} iterations; p_tol in the unit: {(finer.params / unit).round(4).tolist()}")
print(f"{warned} warnings")
sys.exit(0 if np.allclose(lines[1], program, atol=0.01) and abs(below[1] - 0.9) < 0.002 and max(
    below[1e-6], below[1e-7], below[1e-9]) < 0.85 and warned == 0 else 1)
PYTHON
