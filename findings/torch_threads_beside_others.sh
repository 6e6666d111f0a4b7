#!/usr/bin/env bash
# Where cores are shared with other programs, twice as many threads as free cores make a program about twice as slow, one would think. A
# small transformer's step (64 samples of 17 tokens) takes 16 ms of the clock on one thread while every core is busy with something
# else, and on two threads on two cores 670 ms, forty times as long: a thread of GNU's OpenMP, which torch's packages for Linux bring,
# looks for work for milliseconds before it sleeps, on the very core on which the thread that it waits for could go on. With
# GOMP_SPINCOUNT=10000 a step takes 60 ms, with OMP_WAIT_POLICY=PASSIVE 18. On idle cores the one costs nothing that was seen, the
# other a quarter. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
cat > "$folder/step.py" <<'PYTHON'
import statistics
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
model = torch.nn.TransformerEncoderLayer(96, 3, 384, batch_first=True)
x = torch.randn(64, 17, 96)
taken = []
for _ in range(12):
    began = time.perf_counter()
    model(x).sum().backward()
    taken.append(1000 * (time.perf_counter() - began))
print(statistics.median(taken[2:]))
PYTHON
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import subprocess
import sys

cores = len(os.sched_getaffinity(0))
WAYS = {"as it comes": {}, "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"}, "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"}}
clean = {name: value for name, value in os.environ.items() if "OMP_" not in name}


def step(threads: int, more: dict[str, str]) -> float:
    """Milliseconds of a step"""
    return float(subprocess.run([sys.executable, f"{sys.argv[1]}/step.py", str(threads)], env={**clean, **more}, check=True,
                                capture_output=True, text=True).stdout)


idle = {name: step(cores, more) for name, more in WAYS.items()}
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
try:
    alone, busy = step(1, {}), {name: step(cores, more) for name, more in WAYS.items()}
finally:
    for other in others:
        other.kill()
print(f"{cores} cores; beside as many busy programs one thread takes {alone:.1f} ms for a step")
for name in WAYS:
    print(f"{cores} threads, {name}: {busy[name]:.1f} ms beside them, {idle[name]:.1f} ms before they began")
sys.exit(0 if cores > 1 and busy["as it comes"] > 8 * alone and busy["GOMP_SPINCOUNT=10000"] < busy["as it comes"] / 3 else 1)
PYTHON
