#!/usr/bin/env bash
# An angle is brought to -180 to 180 degrees by Mod(x + pi, 2*pi) - pi, and a phase to 0 to 1 by Mod(x, 1): Mod is never below 0 where the
# modulus is positive, in SymPy, in what lambdify makes for Python, numpy and torch, and in what SymPy writes for JavaScript, Julia, Octave
# and Fortran. For C and C++ (ccode, cxxcode, codegen) it writes fmod, which has the sign of its first argument. So -4 rad is 2.28 by
# all of these and -4 in C, and of angles from -10 to 10 rad a third is off, each by a whole turn, the error of a controller or a filter that
# takes the difference of two headings; phases come out from -1 to 1. Of symbols that are integers C's code is right, by
# ((n % 3) + 3) % 3, so that a formula tested with counts, by lambdify, or with positive numbers says that all is well. Nothing is said.
# x - 2*pi*floor((x + pi)/(2*pi)) in place of Mod is the same in C, too. C's expressions are evaluated by Python here, with the fmod of
# Python's math, which is C's; compiled code gave the same. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q sympy==1.14.0 mpmath==1.3.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys

import numpy as np
import sympy
from sympy.printing.pytorch import TorchPrinter

print(f"sympy {sympy.__version__}, numpy {np.__version__}")
x = sympy.symbols("x", real=True)
count = sympy.symbols("count", integer=True)
formulas = {"angle": sympy.Mod(x + sympy.pi, 2 * sympy.pi) - sympy.pi, "phase": sympy.Mod(x, 1),
            "angle by floor": x - 2 * sympy.pi * sympy.floor((x + sympy.pi) / (2 * sympy.pi))}
values = np.linspace(-10, 10, 2001)
off = {}
for name, formula in formulas.items():
    written = sympy.ccode(formula)
    in_c = np.array([eval(written, {"fmod": math.fmod, "floor": math.floor, "M_PI": math.pi, "x": value}) for value in values.tolist()])
    by_numpy = sympy.lambdify(x, formula, "numpy")(values)
    by_python = np.array([sympy.lambdify(x, formula, "math")(value) for value in values.tolist()])
    exact = np.array([float(formula.subs(x, sympy.Rational(str(value))).evalf(30)) for value in values.round(2)[::100]])
    at = [int(np.abs(values - value).argmin()) for value in (-4, -1, 4)]
    off[name] = {"share": float(np.mean(np.abs(in_c - by_numpy) > 1e-6)), "most": float(np.abs(in_c - by_numpy).max()),
                 "least": (float(by_numpy.min()), float(in_c.min())),
                 "SymPy": float(np.maximum(np.abs(by_numpy[::100] - exact), np.abs(by_python[::100] - exact)).max())}
    print(f"{name} of -4, -1 and 4: lambdify {', '.join(f'{by_numpy[place]:.3f}' for place in at)}, C "
          f"{', '.join(f'{in_c[place]:.3f}' for place in at)}; of values from -10 to 10 {off[name]['share']:.1%} differ, by up to "
          f"{off[name]['most']:.3f}; least {off[name]['least'][0]:.3f} and {off[name]['least'][1]:.3f}; lambdify off from SymPy's own value "
          f"by {off[name]['SymPy']:.1g}")
angle = formulas["angle"]
for language, text in (("C", sympy.ccode(angle)), ("C++", sympy.cxxcode(angle)), ("JavaScript", sympy.jscode(angle)),
                       ("Julia", sympy.julia_code(angle)), ("Octave", sympy.octave_code(angle)),
                       ("Fortran", sympy.fcode(angle, standard=95, source_format="free").splitlines()[-1]),
                       ("torch", TorchPrinter().doprint(angle))):
    print(f"    {language}: {text}")
print(f"of a whole number in C: {sympy.ccode(sympy.Mod(count, 3))}")
sys.exit(0 if off["angle"]["share"] > 0.3 and abs(off["angle"]["most"] - 2 * math.pi) < 1e-6 and off["phase"]["least"][1] < -0.5
         and off["phase"]["least"][0] >= 0 and off["angle by floor"]["share"] == 0 and off["angle"]["SymPy"] < 1e-9
         and "fmod" in sympy.cxxcode(angle) and "fmod" not in sympy.ccode(sympy.Mod(count, 3)) else 1)
PYTHON
