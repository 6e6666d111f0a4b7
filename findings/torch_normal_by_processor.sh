#!/usr/bin/env bash
# torch's generator on a CPU gives the same random numbers for the same seed on every processor: uniform numbers do, and normal ones
# in float64. Normal numbers in float32 do not: they come from a logarithm, a root and a cosine that are computed otherwise with AVX2
# than without it, and two in five differ, by up to 2e-6. So noise and the weights that a model begins with depend on the processor
# under equal seeds and versions. Here torch is told to do without (ATEN_CPU_CAPABILITY=default), as it must on a processor that has
# no AVX2. Needs a processor with AVX2. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
cat > "$folder/draw.py" <<'PYTHON'
import sys

import numpy as np
import torch

drawn = {}
for name, draw in {"uniform, float32": lambda: torch.rand(100_000),
                   "coin, float32": lambda: torch.empty(100_000).bernoulli_(0.3),
                   "order": lambda: torch.randperm(100_000),
                   "normal, float64": lambda: torch.randn(100_000, dtype=torch.float64),
                   "normal, float32": lambda: torch.randn(100_000)}.items():
    torch.manual_seed(0)
    drawn[name] = draw().numpy()
np.savez(sys.argv[1], **drawn)
print(f"torch {torch.__version__}, computing with {torch.backends.cpu.get_cpu_capability()}")
PYTHON
for kind in default avx2; do
    ATEN_CPU_CAPABILITY=$kind "$folder/venv/bin/python" "$folder/draw.py" "$folder/$kind.npz"
done
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np

one, other = (np.load(f"{sys.argv[1]}/{kind}.npz") for kind in ("default", "avx2"))
shares = {name: float((one[name] != other[name]).mean()) for name in one.files}
for name, share in shares.items():
    print(f"{name}: {share:.1%} differ, by at most {abs(one[name] - other[name]).max():.2g}")
sys.exit(0 if [name for name, share in shares.items() if share] == ["normal, float32"] and shares["normal, float32"] > 0.2 else 1)
PYTHON
