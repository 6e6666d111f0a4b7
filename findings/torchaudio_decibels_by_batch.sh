#!/usr/bin/env bash
# A batch is a way to compute faster: what comes out for a sample does not depend on its neighbours. torchaudio's AmplitudeToDB with
# top_db cuts what lies more than so many decibels below the loudest value, and of a batch of one-channel sounds without a channel
# axis, (batch, time), whose spectrograms are (batch, mels, frames), the loudest value is that of the whole batch: the first axis of three
# is taken for channels. A quiet clip beside a loud one then loses all that it holds (here every one of its values is one number),
# and other neighbours give it another spectrogram, so features hang on batch size and shuffling. With (batch, 1, time) it is cut by
# its own. So is a file of several channels right in one form only: its channels share their cut. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchaudio==2.11.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import torch
import torchaudio

torch.manual_seed(0)
time = torch.arange(16_000) / 16_000
quiet = 1e-5 * (torch.sin(2 * torch.pi * 440 * time) + 0.1 * torch.randn(16_000))  # 100 dB below the loud one
loud = 1.0 * torch.sin(2 * torch.pi * 880 * time)
mel = torchaudio.transforms.MelSpectrogram(16_000, n_fft=400, n_mels=64)
decibels = torchaudio.transforms.AmplitudeToDB("power", top_db=80)
alone = decibels(mel(quiet[None]))[0]
beside = decibels(mel(torch.stack([quiet, loud])))[0]
twice = decibels(mel(torch.stack([quiet, quiet])))[0]
channel = decibels(mel(torch.stack([quiet, loud])[:, None]))[0, 0]
print(f"torchaudio {torchaudio.__version__}; a quiet sound, (64 mels, {alone.shape[1]} frames)")
for name, values in {"alone": alone, "beside itself": twice, "beside a loud one": beside,
                     "beside a loud one, with an axis for channels": channel}.items():
    print(f"{name}: {values.min():.1f} to {values.max():.1f} dB, {len(values.unique())} different values, "
          f"up to {(values - alone).abs().max():.1f} dB from alone")
flat = len(beside.unique()) == 1 and (beside - alone).abs().max() > 10
sys.exit(0 if flat and torch.equal(alone, twice) and torch.allclose(alone, channel, atol=1e-3) else 1)
PYTHON
