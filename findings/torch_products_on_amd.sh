#!/usr/bin/env bash
# On an AMD processor with AVX-512, torch's float32 matrix products, which are most of the training of a transformer on a CPU, run at
# under half of what the processor does: MKL, which torch's wheels hold, gives processors of other makers its code for AVX2. oneDNN, in
# the same wheel, has the AVX-512 code and takes it there: the same product of the same float32 numbers, through tensors in its layout
# (`to_mkldnn`), is 2.1 to 2.5 times as fast, and a product of bfloat16 numbers, which goes through it anyway, 4.5 times. So float32
# against bfloat16 on such a processor compares two libraries as much as two precisions, and an hour of training on Intel's and on AMD's
# processors of equal peak differs by the library. torch reports "AVX512" as what it uses; MKL_ENABLE_INSTRUCTIONS=AVX512 and
# MKL_CBWR=AVX512 change nothing there. Seen on an EPYC of family 26, one thread: 100 against 230 and 470 GFLOP/s. Nothing is said.
# On other processors it prints what they do and exits with 0. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
cat > "$folder/products.py" <<'PYTHON'
import json
import sys
import time

import torch
from torch.nn import functional as F

torch.set_num_threads(1)


def rate(given: torch.Tensor, weight: torch.Tensor, operations: float) -> float:
    """GFLOP/s of the fastest of 60 calls, so that what else runs on the machine does not count."""
    fastest = float("inf")
    for _ in range(60):
        begun = time.perf_counter()
        F.linear(given, weight)
        fastest = min(fastest, time.perf_counter() - begun)
    return operations / fastest / 1e9


found = []
for rows, inputs, outputs in ((4160, 96, 384), (4160, 384, 96), (2048, 1024, 1024)):  # of a tiny block of 64 x 65 tokens, and a larger one
    given, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
    same = (F.linear(given, weight) - F.linear(given.to_mkldnn(), weight.to_mkldnn()).to_dense()).abs().max() / inputs**0.5
    assert same < 1e-5, "both are float32"
    found.append([rate(*sides, 2 * rows * inputs * outputs) for sides in (
        (given, weight), (given.to_mkldnn(), weight.to_mkldnn()), (given.bfloat16(), weight.bfloat16()))])
if "--json" in sys.argv:
    print(json.dumps(found))
    sys.exit()
words = {line.partition(":")[0].strip(): line.partition(":")[2].split() for line in open("/proc/cpuinfo")}
print(f"torch {torch.__version__}, which uses {torch.backends.cpu.get_cpu_capability()}; {' '.join(words.get('model name', ['?']))}")
for mkl, onednn, half in found:
    print(f"GFLOP/s of one thread: float32 {mkl:.0f}, float32 through oneDNN {onednn:.0f} ({onednn / mkl:.1f} times), bfloat16 {half:.0f}")
if words.get("vendor_id") != ["AuthenticAMD"] or "avx512f" not in words.get("flags", []):
    print("no AMD processor with AVX-512: nothing to be seen here")
    sys.exit()
sys.exit(0 if all(onednn > 1.6 * mkl for mkl, onednn, _ in found) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/products.py"
for variable in MKL_ENABLE_INSTRUCTIONS MKL_CBWR; do
  echo "with $variable=AVX512:" "$(env "$variable=AVX512" "$folder/venv/bin/python" "$folder/products.py" --json)"
done
