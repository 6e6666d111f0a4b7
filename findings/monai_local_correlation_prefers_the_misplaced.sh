#!/usr/bin/env bash
# A normalised correlation takes the mean away, so it lies between -1 and 1 and does not hang on where zero is: two scans are registered
# alike in Hounsfield units, in those plus 1,000, or in raw values. MONAI's LocalNormalizedCrossCorrelationLoss, minus the mean square of such
# correlations in windows, does so up to a point, and takes variances as mean squares less squares of means, in float32. Of a volume with a
# deviation of about 1 and its noisy copy the loss is -0.98 in place and -0.46 where the copy is moved by 4 voxels, around 100 and 300; around
# 1,000 it is -2e10 in place and -1e11 where moved by 4, so that whoever minimises it moves scans apart. In float64 it is right. And
# beyond the border it takes zeros for voxels, in both scans: around 0 the moved copy has -0.03, around 10 -0.45, in float64 too, for
# borders alone, which agree. Its GaussianSmooth does the same: a block of air of -1,000 has -331 in its corner after sigma=1 and -215
# after 2, and GaussianSharpen makes -3,110 of it. Nothing is said. Taking the mean away before cures the loss, and moving air to 0 the
# border. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q monai==1.6.1 torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import monai
import numpy as np
import torch
from monai.losses import LocalNormalizedCrossCorrelationLoss
from monai.transforms import GaussianSharpen, GaussianSmooth

print(f"monai {monai.__version__}, torch {torch.__version__}")
generator = torch.Generator().manual_seed(0)
coarse = torch.randn(1, 1, 16, 16, 16, generator=generator)
volume = torch.nn.functional.interpolate(coarse, (48, 48, 48), mode="trilinear")
copy = volume + 0.1 * torch.randn(volume.shape, generator=generator)
loss = LocalNormalizedCrossCorrelationLoss(spatial_dims=3, kernel_size=9)
found = {}
for mean in (0, 10, 100, 300, 1000):
    for dtype in (torch.float32, torch.float64):
        found[mean, dtype] = [float(loss((volume[..., 4:44] + mean).to(dtype), (copy[..., 4 + moved:44 + moved] + mean).to(dtype)))
                              for moved in (0, 4)]
    print(f"mean {mean}: in place and moved by 4 voxels, " + "; ".join(
        f"{dtype} {found[mean, dtype][0]:.4g} and {found[mean, dtype][1]:.4g}" for dtype in (torch.float32, torch.float64)))
air = np.full((1, 32, 32, 32), -1000, np.float32)
corners = {}
for name, transform in {"GaussianSmooth(1)": GaussianSmooth(1.0), "GaussianSmooth(2)": GaussianSmooth(2.0),
                        "GaussianSharpen()": GaussianSharpen()}.items():
    after = np.asarray(transform(air))[0]
    corners[name] = float(after[0, 0, 0])
    print(f"air of -1000 after {name}: corner {after[0, 0, 0]:.0f}, middle of a face {after[0, 16, 16]:.0f}, inside {after[16, 16, 16]:.0f}")
exact = [values for (_, dtype), values in found.items() if dtype == torch.float64]
single = found[1000, torch.float32]
sys.exit(0 if all(-1 <= value <= 0 and place < moved for place, moved in exact for value in (place, moved))
         and single[1] < single[0] < -1e3 and found[0, torch.float64][1] > -0.1 and found[10, torch.float64][1] < -0.4
         and corners["GaussianSmooth(1)"] > -400 and corners["GaussianSmooth(2)"] > -300 and corners["GaussianSharpen()"] < -2500 else 1)
PYTHON
