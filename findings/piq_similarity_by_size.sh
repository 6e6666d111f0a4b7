#!/usr/bin/env bash
# Structural similarity (SSIM) is a mean over windows of 11 by 11 pixels, so a larger piece of the same kind of picture has the same. piq's
# ssim first makes a picture smaller, by means over blocks, where its shorter side is 384 pixels or more: by 2 from there on, by 3 from 641,
# by 4 from 896. That takes away noise, and structure of a few pixels. Of a smooth picture with noise of a tenth of its range the similarity
# is 0.09 up to 383 pixels, 0.32 at 384, 0.56 at 641 and 0.73 at 896, where scikit-image and torchmetrics have 0.09 of each. So a crop of
# 383 pixels and one of 384 around it compare as a bad model and a better one would, pictures of several sizes have a mean of several
# measures, and beside numbers of scikit-image's or torchmetrics' large pictures are too good. Its page names the means, not from which size
# on, and says "To match performance with skimage and tensorflow set 'downsample' = True", where False does; True is the default. Nothing is
# said. downsample=False cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q piq==0.8.0 torchvision==0.29.2 torch==2.14.1 torchmetrics==1.9.0 scikit-image==0.26.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import piq
import skimage
import torch
import torchmetrics
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

print(f"piq {piq.__version__}, torchmetrics {torchmetrics.__version__}, scikit-image {skimage.__version__}, torch {torch.__version__}")
SAID = "To match performance with skimage and tensorflow set ``'downsample' = True``"
generator = np.random.default_rng(0)
side = np.linspace(0, 24, 1024)
smooth = 0.5 + 0.2 * np.sin(side)[:, None] * np.cos(side)
noisy = np.clip(smooth + 0.1 * generator.normal(size=smooth.shape), 0, 1)
seen = {}
for size in (256, 383, 384, 640, 641, 895, 896, 1024):
    right, found = smooth[:size, :size], noisy[:size, :size]
    pair = [torch.from_numpy(picture)[None, None] for picture in (found, right)]
    seen[size] = (float(piq.ssim(*pair)), float(piq.ssim(*pair, downsample=False)),
                  float(structural_similarity(found, right, data_range=1, gaussian_weights=True, use_sample_covariance=False)),
                  float(structural_similarity_index_measure(*pair, data_range=1.0)))
    print(f"{size} by {size} pixels: piq {seen[size][0]:.3f}, with downsample=False {seen[size][1]:.3f}, scikit-image {seen[size][2]:.3f}, "
          f"torchmetrics {seen[size][3]:.3f}")
large = [each[0] for each in seen.values()]
sys.exit(0 if SAID in piq.ssim.__doc__ and seen[384][0] > 2 * seen[383][0] and seen[641][0] > 1.3 * seen[640][0]
         and seen[896][0] > 1.1 * seen[895][0] and max(large) > 5 * min(large)
         and all(abs(way - each[1]) < 0.003 for each in seen.values() for way in each[2:])
         and all(abs(seen[size][0] - seen[size][1]) < 1e-9 for size in (256, 383)) else 1)
PYTHON
