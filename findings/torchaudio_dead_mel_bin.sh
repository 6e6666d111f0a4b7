#!/usr/bin/env bash
# Audio transformers read 128 mel bins of Kaldi's kind, from windows of 25 ms at 16 kHz. At its lower end that scale is finer than the
# spectrum that it sums: the filter of bin 3 (counted from 0) lies between two of its frequencies and takes none. Kaldi refuses such a
# number of bins. torchaudio.compliance.kaldi.fbank says nothing and gives a bin that is log(eps) = -15.94 in every frame of every
# sound, louder or softer: three and more standard deviations below the rest, an input that says nothing, and part of the mean and
# the deviation with which features are normalised. torchaudio's own MelSpectrogram warns of empty filters. With 80 bins all have
# something. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchaudio==2.11.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import torch
import torchaudio
from torchaudio.compliance.kaldi import fbank

warnings.simplefilter("error")
torch.manual_seed(0)
dead = {}
for bins in (40, 64, 80, 128):
    for loud in (0.01, 0.3):
        features = fbank(loud * torch.randn(1, 160_000), htk_compat=True, sample_frequency=16_000, use_energy=False,
                         window_type="hanning", num_mel_bins=bins, dither=0.0, frame_shift=10)
        dead[bins, loud] = (features.std(dim=0) == 0).nonzero().flatten().tolist()
        print(f"torchaudio {torchaudio.__version__}, 10 s of noise of {loud}: {bins} bins, of which {dead[bins, loud]} never change"
              + "".join(f" (all {features[0, one]:.2f}; mean of all bins {features.mean():.2f})" for one in dead[bins, loud]))
try:
    torchaudio.transforms.MelSpectrogram(16_000, n_fft=512, n_mels=128, mel_scale="htk")
    warned = False
except UserWarning as warning:
    warned = True
    print(f"MelSpectrogram: {str(warning)[:80]}")
sys.exit(0 if warned and all(found == ([3] if bins == 128 else []) for (bins, _), found in dead.items()) else 1)
PYTHON
