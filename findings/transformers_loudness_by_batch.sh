#!/usr/bin/env bash
# Models of speech take a clip with mean 0 and deviation 1, and Wav2Vec2FeatureExtractor of transformers brings it there; shorter ones in
# a batch get zeros behind them. By default, which is what the models without an attention mask use (wav2vec2-base, HuBERT base), it adds
# the zeros first and then takes mean and deviation over clip and zeros. So a clip's samples depend on the longest beside it: half a
# second alone has a deviation of 1, beside one of a second 1.41, beside one of 30 seconds 7.74, or wherever padding="max_length" asks for
# as much. With a constant offset as large as the deviation, as microphones have one, its mean is 5.4 then, and the zeros are -0.09. Its
# page says that inputs are simply to be padded with 0. With return_attention_mask=True each clip is by itself, as it is in a batch of
# one. A model judged with a batch of 1 and of 16 so hears two loudnesses. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.24.0 numpy==2.4.6
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import transformers
from transformers import Wav2Vec2FeatureExtractor

RATE = 16_000
rng = np.random.default_rng(0)
clip = (0.1 * rng.normal(size=RATE // 2)).astype(np.float32)
print(f"transformers {transformers.__version__}; a clip of 0.5 s, deviation {clip.std():.3f}")


def prepared(beside: float, masked: bool, offset: float = 0.0, **options: object) -> np.ndarray:
    """The clip as the model gets it, beside one of so many seconds (0: alone), zeros behind it included"""
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True) if masked else Wav2Vec2FeatureExtractor()
    batch = [clip + np.float32(offset)]
    if beside:
        batch.append((0.1 * rng.normal(size=int(RATE * beside))).astype(np.float32))
    return extractor(batch, sampling_rate=RATE, return_tensors="np", **({"padding": True} | options))["input_values"][0]


deviations = {}
for masked in (False, True):
    for beside in (0, 1, 5, 30):
        values = prepared(beside, masked)
        deviations[masked, beside] = float(values[:len(clip)].std())
        print(f"attention mask {masked}, {f'beside one of {beside} s' if beside else 'alone'}: deviation {deviations[masked, beside]:.3f}, "
              f"from {values.min():.2f} to {values.max():.2f}")
filled = float(prepared(0, False, padding="max_length", max_length=30 * RATE)[:len(clip)].std())
print(f"attention mask False, alone, padding='max_length' of 30 s: deviation {filled:.3f}")
shifted = {masked: prepared(30, masked, offset=0.1) for masked in (False, True)}
for masked, values in shifted.items():
    print(f"attention mask {masked}, offset 0.1, beside one of 30 s: the clip's mean {values[:len(clip)].mean():.3f}, the zeros behind it "
          f"{values[-1]:.3f}")
sys.exit(0 if all(abs(deviations[True, beside] - 1) < 1e-3 for beside in (0, 1, 5, 30)) and abs(deviations[False, 0] - 1) < 1e-3
         and abs(deviations[False, 1] - 2**0.5) < 0.01 and abs(deviations[False, 30] - 60**0.5) < 0.1 and abs(filled - 60**0.5) < 0.1
         and shifted[False][-1] < -0.05 and shifted[False][:len(clip)].mean() > 1 and abs(shifted[True][-1]) < 1e-6 else 1)
PYTHON
