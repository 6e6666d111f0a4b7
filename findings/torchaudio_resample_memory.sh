#!/usr/bin/env bash
# A second of sound is a few thousand numbers, and to resample it takes a few more. With torchaudio.functional.resample that hangs on
# what the two rates have in common: it writes out its filter for every phase, which is the square of the rate where they share
# nothing. From 8,820 to 8,000 Hz it takes no memory to speak of; from 8,001 to 8,000 Hz, for the same second, a gigabyte and
# seconds of processor time, and from 16,000 to 15,999 Hz three gigabytes: rates as a clock that is a little off leaves them in a
# file's header, or as a change of speed by a little asks for. scipy.signal.resample_poly takes a polyphase filter and milliseconds for
# each. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchaudio==2.11.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import resource
import sys
import time

import numpy as np
import scipy
import torch
import torchaudio

torch.set_num_threads(1)


def cost(work) -> tuple[float, float]:
    """Seconds of processor time, and by how many MiB the most memory that the process had has grown"""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    work()
    return time.process_time() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


sound = np.random.default_rng(0).normal(size=8000).astype(np.float32)
costs = {}
for before, after in ((8820, 8000), (8001, 8000)):
    for name, work in ((f"scipy {scipy.__version__}", lambda: scipy.signal.resample_poly(sound, after, before)),
                       (f"torchaudio {torchaudio.__version__}",
                        lambda: torchaudio.functional.resample(torch.from_numpy(sound), before, after))):
        work() if before == 8820 else None  # what is loaded at the first call is not counted
        costs[name[:5], before] = cost(work)
        print(f"{name}, {len(sound)} samples from {before} to {after} Hz: {costs[name[:5], before][0]:.3f} s of processor time, "
              f"{costs[name[:5], before][1]:.0f} MiB more")
sys.exit(0 if costs["torch", 8001][1] > 500 and costs["torch", 8820][1] < 50 and costs["scipy", 8001][1] < 50 else 1)
PYTHON
