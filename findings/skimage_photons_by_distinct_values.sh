#!/usr/bin/env bash
# Photons are counted, and how noisy a picture is follows from how many there were, so whoever adds Poisson noise says how many.
# scikit-image's random_noise(mode="poisson") cannot be told; its page says "generated from the data". It counts how many distinct values
# the picture has, and the next power of two is the number of photons at white. So one picture of 256 by 256 pixels gets the noise of 256
# photons as uint8 (27 dB), of 32,768 as uint16 (48 dB) and of 65,536 as float (51 dB, 16 times less noise than as uint8), and rounded to 16
# grey levels that of 16 (15 dB). A float picture has about as many values as pixels, so a part of 64 by 64 pixels gets four times the noise
# of the whole picture, and one of 8 by 8 pixels 34 times. Denoisers that are trained on crops, resized or normalised pictures so see
# another noise than they are tested on. Nothing is said. rng.poisson(picture * photons) / photons is the same with a number. Asked of
# scikit-image in issue 4885. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import skimage
from skimage.util import random_noise

print(f"scikit-image {skimage.__version__}, numpy {np.__version__}")
row, column = np.mgrid[:256, :256]
picture = 0.5 + 0.3 * np.sin(column / 20) * np.cos(row / 31)  # smooth, from 0.2 to 0.8
CASES = {"float32": picture.astype(np.float32), "float64": picture, "uint16": (picture * 65_535).round().astype(np.uint16),
         "uint8": (picture * 255).round().astype(np.uint8), "16 grey levels": (picture * 15).round() / 15,
         "float64, a part of 64 by 64": picture[:64, :64], "float64, a part of 8 by 8": picture[:8, :8]}
photons = {}
for name, image in CASES.items():
    clean = image / np.iinfo(image.dtype).max if image.dtype.kind == "u" else image.astype(float)
    noise = random_noise(image, mode="poisson", rng=0) - clean
    photons[name] = clean.mean() / noise.var()
    print(f"{name}: {len(np.unique(image)):,} values, noise with a deviation of {noise.std():.4f} "
          f"({-20 * np.log10(noise.std()):.1f} dB below white), "
          f"as of {photons[name]:,.0f} photons at white")
EXPECTED = {"float32": 65_536, "float64": 65_536, "uint16": 32_768, "uint8": 256, "16 grey levels": 16,
            "float64, a part of 64 by 64": 4_096}
sys.exit(0 if all(abs(photons[name] / number - 1) < 0.1 for name, number in EXPECTED.items())
         and photons["float64, a part of 8 by 8"] < 120 else 1)
PYTHON
