#!/usr/bin/env bash
# torch loads its compiler, torch._dynamo with sympy, when something is first compiled: `import torch` leaves it out. `import
# torchvision` loads it all the same, for one function that torchvision.ops.roi_align asks when regions are pooled, in a file
# that wraps its own use of the compiler so as to load it late. Half of the modules that this import adds, and two
# thirds of its time, are the compiler's and sympy's. timm imports torchvision, so every process that makes a timm model pays, too,
# and its own layers name torch.compiler.disable, which loads the same. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.2 timm==1.0.29
cat > "$folder/seen.py" <<'PYTHON'
import importlib
import importlib.metadata
import json
import sys
import time

import torch

before, began = set(sys.modules), time.process_time()
importlib.import_module(sys.argv[1])
seconds, new = time.process_time() - began, set(sys.modules) - before
compiler = [name for name in new if name.startswith(("torch._dynamo", "torch._inductor", "torch._functorch", "sympy"))]
print(json.dumps([sys.argv[1], importlib.metadata.version(sys.argv[1]), torch.__version__, "torch._dynamo" in before,
                  "torch._dynamo" in sys.modules, len(new), len(compiler), round(seconds, 2)]))
PYTHON
cat > "$folder/alone.py" <<'PYTHON'
import time

import torch

began = time.process_time()
import torch._dynamo  # noqa: E402, F401

print(round(time.process_time() - began, 2))
PYTHON
cd "$folder"
for name in torchvision timm; do venv/bin/python seen.py "$name"; venv/bin/python seen.py "$name"; done | tee seen  # the first compiles
venv/bin/python alone.py | tee alone
venv/bin/python - <<'PYTHON'
import json
import sys

rows = [json.loads(line) for line in open("seen")][1::2]
alone = float(open("alone").read())
for name, version, torch, before, after, new, compiler, seconds in rows:
    print(f"{name} {version}, torch {torch}: torch._dynamo is loaded after `import torch`: {before}, after `import {name}`: {after}; "
          f"{compiler} of {new} new modules are the compiler's and sympy's; {seconds} s of processor time, {alone} s of it for them")
sys.exit(0 if all(not row[3] and row[4] for row in rows) and alone > rows[0][7] / 3 else 1)
PYTHON
