#!/usr/bin/env bash
# How much a heart's rate swings with breathing is its high-frequency power, in ms^2: who swings ten times as far has 100 times as much, and
# patients are told from the healthy by it. neurokit2's hrv_frequency, and hrv() with it, divide by the spectrum's greatest value before they
# add up a band. Of hearts whose beats swing by 5, 20 and 50 ms HRV_HF is 0.0096, 0.0097 and 0.0097, where it should be 12.5, 200 and 1,250
# ms^2; HRV_TP, "the total spectral power", and HRV_LnHF, "the log transformed HF", are alike. And one band moves the other: where breathing
# swings by 20 ms, HF falls from 0.0100 to 0.0004 as slow swings grow from 10 to 100 ms. What RMSSD and SDNN in the same table say, 5, 20
# and 50 ms, is right, and so is LF/HF. normalize, whose page has "allows comparison between different PSD methods", is True; with False HF
# is right to 5 %. Nothing is said, and the table has no units. Reported to NeuroKit as issue 878. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q neurokit2==0.3.0 scipy==1.17.1 pandas==2.3.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import neurokit2
import numpy as np

print(f"neurokit2 {neurokit2.__version__}, numpy {np.__version__}")


def beats(breathing: float, slow: float) -> np.ndarray:
    """Times in ms of the beats of five minutes, 900 ms apart, which swing by so many ms at 0.25 Hz and at 0.1 Hz"""
    times = [0.0]
    while times[-1] < 300_000:
        seconds = times[-1] / 1000
        times.append(times[-1] + 900 + breathing * np.sin(2 * np.pi * 0.25 * seconds) + slow * np.sin(2 * np.pi * 0.1 * seconds))
    return np.round(times).astype(int)


seen = {}
for breathing, slow in ((5, 5), (20, 20), (50, 50), (20, 0), (20, 10), (20, 40), (20, 100)):
    peaks = beats(breathing, slow)
    told = neurokit2.hrv_frequency(peaks, sampling_rate=1000).iloc[0]
    absolute = neurokit2.hrv_frequency(peaks, sampling_rate=1000, normalize=False).iloc[0]
    time = neurokit2.hrv_time(peaks, sampling_rate=1000).iloc[0]
    seen[breathing, slow] = told["HRV_HF"], absolute["HRV_HF"], told["HRV_TP"], time["HRV_SDNN"], told["HRV_LnHF"]
    print(f"breathing swings by {breathing} ms, slow swings {slow} ms: HF {told['HRV_HF']:.4f}, TP {told['HRV_TP']:.4f}, "
          f"LnHF {told['HRV_LnHF']:.2f}, LF/HF {told['HRV_LFHF']:.2f}; normalize=False HF {absolute['HRV_HF']:.1f} "
          f"(half a square of the swing {breathing**2 / 2:.1f}), TP {absolute['HRV_TP']:.1f}; SDNN {time['HRV_SDNN']:.1f}, "
          f"RMSSD {time['HRV_RMSSD']:.1f}")
powers = [seen[swing, swing] for swing in (5, 20, 50)]
moved = [seen[20, slow][0] for slow in (0, 10, 20, 40, 100)]
sys.exit(0 if max(power[0] for power in powers) < 1.05 * min(power[0] for power in powers)
         and max(power[2] for power in powers) < 1.05 * min(power[2] for power in powers)
         and all(abs(power[1] / (swing**2 / 2) - 1) < 0.08 and abs(power[3] / swing - 1) < 0.05
                 for power, swing in zip(powers, (5, 20, 50), strict=True))
         and moved[1:] == sorted(moved[1:], reverse=True) and moved[0] > 20 * moved[-1] else 1)
PYTHON
