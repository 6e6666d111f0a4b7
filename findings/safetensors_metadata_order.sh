#!/usr/bin/env bash
# A safetensors file is a header and numbers, with tensors in a fixed order, so equal weights make equal files, and their SHA-256
# names them. That ends with the second entry of `metadata`: entries are written in another order at each call, also within one
# process, so equal weights with equal metadata have other digests. With no entry, or one, all are equal. Whoever names weights by
# their file's digest, or skips what has not changed, needs one entry at most, such as one JSON text with sorted keys.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import sys

import numpy as np
import safetensors
from safetensors.numpy import save

tensors = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(2, dtype=np.float32)}
distinct = {}
for entries in (0, 1, 2, 4, 8):
    metadata = {f"key{number}": str(number) for number in range(entries)} or None
    distinct[entries] = len({hashlib.sha256(save(tensors, metadata=metadata)).hexdigest() for _ in range(200)})
    print(f"safetensors {safetensors.__version__}: equal tensors written 200 times with {entries} entries of metadata make "
          f"{distinct[entries]} distinct files")
sys.exit(0 if distinct[0] == distinct[1] == 1 and distinct[2] == 2 and distinct[8] > 100 else 1)
PYTHON
