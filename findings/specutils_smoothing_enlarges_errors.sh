#!/usr/bin/env bash
# Pixels of a spectrum with an error of 1 each, averaged five by five, have an error of 1 over the root of 5, 0.447: that is what one smooths
# for. specutils smooths the error too ("a standard propagation of errors", says its page), and says 2.236. box_smooth and gaussian_smooth
# and all that go through convolution_smooth add up the inverse variances with the squared weights, where the variances are to be added so.
# The error that it tells is too large by the number of pixels that are averaged: 9 for a box of 9, where 0.333 is right and 3 told, and 11
# for gaussian_smooth with 3 pixels; the ratio of signal to noise falls by smoothing, and chi squared of a fit is a hundredth of its own.
# Where errors differ it may be too small as well: one pixel with an error of 100 among four with 1 makes the mean's error 20, and 2.5 is
# told. It does so for all three kinds (StdDevUncertainty, VarianceUncertainty, InverseVariance). Nothing is said. Variances convolved
# with the kernel's squares by hand are right. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q specutils==2.4.0 astropy==8.0.2 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error::RuntimeWarning -W error::UserWarning - <<'PYTHON'
import sys

import astropy.units as u
import numpy as np
import specutils
from astropy.convolution import Box1DKernel, Gaussian1DKernel, convolve
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from specutils import Spectrum
from specutils.manipulation import box_smooth, gaussian_smooth

print(f"specutils {specutils.__version__}, numpy {np.__version__}")
PIXELS, DRAWS = 201, 2000
middle = slice(50, 151)  # away from the ends
generator = np.random.default_rng(0)
wave = np.linspace(500, 600, PIXELS) * u.nm
KINDS = {StdDevUncertainty: (1, lambda error: error), VarianceUncertainty: (2, lambda value: value ** 0.5),
         InverseVariance: (-2, lambda value: value ** -0.5)}


def told(error: np.ndarray, smooth, kind=StdDevUncertainty) -> np.ndarray:
    """The error that the smoothed spectrum has, as a deviation"""
    power, back = KINDS[kind]
    spectrum = Spectrum(spectral_axis=wave, flux=np.full(PIXELS, 10.0) * u.Jy, uncertainty=kind(error ** power))
    return back(smooth(spectrum).uncertainty.array)


def scatter(error: np.ndarray, smooth) -> np.ndarray:
    """How far the smoothed flux is from the true one, by draws with that error"""
    flux = 10 + error * generator.normal(size=(DRAWS, PIXELS))
    return smooth(Spectrum(spectral_axis=wave, flux=flux * u.Jy)).flux.value.std(axis=0)


right = True
even = np.ones(PIXELS)
for name, smooth, kernel in (("box_smooth(3)", lambda one: box_smooth(one, 3), Box1DKernel(3)),
                             ("box_smooth(5)", lambda one: box_smooth(one, 5), Box1DKernel(5)),
                             ("box_smooth(9)", lambda one: box_smooth(one, 9), Box1DKernel(9)),
                             ("gaussian_smooth(3)", lambda one: gaussian_smooth(one, 3), Gaussian1DKernel(3))):
    by_kind = [told(even, smooth, kind)[middle] for kind in KINDS]
    seen = scatter(even, smooth)[middle].mean()
    weights = kernel.array / kernel.array.sum()
    hand = np.sqrt(convolve(even ** 2, weights ** 2, normalize_kernel=False))[middle].mean()
    print(f"{name}: told {by_kind[0].mean():.3f}, seen in {DRAWS} draws {seen:.3f}, by hand {hand:.3f}; told is {by_kind[0].mean() / seen:.2f} "
          f"times too large, signal to noise {10 / by_kind[0].mean():.1f} in place of {10 / seen:.1f}, and 10.0 before")
    right = right and all(np.allclose(one, by_kind[0]) for one in by_kind) and by_kind[0].mean() / seen > 2.5 and abs(hand / seen - 1) < 0.05
bad = even.copy()
bad[100] = 100
five = told(bad, lambda one: box_smooth(one, 5))[100]
seen = scatter(bad, lambda one: box_smooth(one, 5))[100]
print(f"box_smooth(5) about one pixel with an error of 100: told {five:.2f}, seen {seen:.2f}")
sys.exit(0 if right and five < 3 and 18 < seen < 22 else 1)
PYTHON
