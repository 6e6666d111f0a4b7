#!/usr/bin/env bash
# How faithful a picture is to another does not hang on whether white is 1 or 255. torchmetrics' VisualInformationFidelity has a variance of
# visual noise of 2.0 (sigma_n_sq), which is meant for 0 to 255, takes no range, and its page names none. Of pictures from 0 to 1, which is
# what networks give, all that is in them lies below that noise, and what is left is how much contrast there is. Noise of 0.3 on a picture
# from 0 to 1 has a fidelity of 0.97 where the same times 255 has 0.12, and ranks above a blur (0.62, and 0.50 times 255), which it should
# be far below; half the contrast has 0.25 in place of 0.78, and twice the contrast 3.9 in place of 1.2: a network that exaggerates scores
# four times what the truth does. Nothing is said. Pictures times 255, or sigma_n_sq=2 / 255**2, give the right ones. piq's vif_p takes a
# data_range for it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import torch
import torchmetrics
from torchmetrics.image import VisualInformationFidelity

print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
generator = torch.Generator().manual_seed(0)
coarse = torch.rand(1, 1, 24, 24, generator=generator)
picture = torch.nn.functional.interpolate(coarse, (192, 192), mode="bicubic").clamp(0, 1) * 0.8 + 0.1
picture = (picture + 0.03 * torch.randn(picture.shape, generator=generator)).clamp(0, 1)
places = torch.arange(-8.0, 9.0)
bell = torch.exp(-(places**2) / 8)
bell /= bell.sum()
wide = torch.nn.functional.pad(picture, (8, 8, 8, 8), mode="reflect")
blurred = torch.nn.functional.conv2d(torch.nn.functional.conv2d(wide, bell[None, None, None]), bell[None, None, :, None])


def fidelity(given: torch.Tensor, truth: torch.Tensor, **options: float) -> float:
    metric = VisualInformationFidelity(**options)
    metric.update(given, truth)
    return float(metric.compute())


found = {}
for name, given in {"itself": picture, "noise of 0.3": picture + 0.3 * torch.randn(picture.shape, generator=generator),
                    "blur of 2 pixels": blurred, "half the contrast": 0.5 * picture + 0.25,
                    "twice the contrast": 2 * picture - 0.5}.items():
    found[name] = [fidelity(given, picture), fidelity(255 * given, 255 * picture),
                   fidelity(given, picture, sigma_n_sq=2 / 255**2)]
    print(f"{name}: from 0 to 1 {found[name][0]:.3f}, from 0 to 255 {found[name][1]:.3f}, "
          f"from 0 to 1 with sigma_n_sq of 2 / 255**2 {found[name][2]:.3f}")
sys.exit(0 if found["noise of 0.3"][0] > 0.9 > found["blur of 2 pixels"][0] and found["noise of 0.3"][1] < 0.2
         and found["blur of 2 pixels"][1] > 0.4 and found["twice the contrast"][0] > 3 > 1.5 > found["twice the contrast"][1]
         and found["half the contrast"][0] < 0.3 < 0.7 < found["half the contrast"][1]
         and all(abs(by_255 - by_option) < 0.01 for _, by_255, by_option in found.values()) else 1)
PYTHON
