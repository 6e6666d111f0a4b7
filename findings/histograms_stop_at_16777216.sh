#!/usr/bin/env bash
# A histogram counts, and counts are whole numbers. torch.histc, torch.histogram and jax.numpy.histogram count in float32, one by one,
# where 16,777,216 and 1 make 16,777,216: a bin that has more than that stands still. Of a mask of 20 million background pixels and 5
# million others 16.8 million are counted as background, so that its share is 77 % and not 80; of 40 million and 5 million 77 % again,
# and not 89. That is on one thread; torch has that limit for each, so that counts hang on threads. A few volumes, a large batch of
# activations or one layer of a large model are enough. numpy.histogram, torch.bincount and jax.numpy.bincount of the same are right, and
# so is torch.histogram of float64, which counts in that type. Densities and entropies that are made from such counts follow. Nothing is
# said; the sum of all bins, set beside the number of elements, tells it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1 ml_dtypes==0.6.0 numpy==2.4.6
cat > "$folder/count.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch

OTHERS, LIMIT = 5_000_000, 2**24
torch.set_num_threads(1)
print(f"torch {torch.__version__}, jax {jax.__version__}, numpy {np.__version__}; counts of 0 and of 1")
counts = {}
for background in (16_000_000, 20_000_000, 40_000_000):
    mask = np.zeros(background + OTHERS, np.float32)
    mask[background:] = 1
    tensor = torch.from_numpy(mask)
    ways = {"torch.histc": torch.histc(tensor, bins=2, min=0, max=1),
            "torch.histogram": torch.histogram(tensor, bins=2, range=(0.0, 1.0)).hist,
            "torch.histogram of float64": torch.histogram(tensor.double(), bins=2, range=(0.0, 1.0)).hist,
            "torch.bincount": torch.bincount(tensor.to(torch.int64)),
            "jax.numpy.histogram": jnp.histogram(mask, bins=2, range=(0.0, 1.0))[0],
            "jax.numpy.bincount": jnp.bincount(jnp.asarray(mask).astype(int), length=2),
            "numpy.histogram": np.histogram(mask, bins=2, range=(0.0, 1.0))[0]}
    counts[background] = {way: [int(count) for count in made] for way, made in ways.items()}
    for way, (zeros, ones) in counts[background].items():
        print(f"{background} and {OTHERS} by {way}: {zeros} and {ones}, a share of {zeros / (zeros + ones):.3f}")
wrong = {"torch.histc", "torch.histogram", "jax.numpy.histogram"}
sys.exit(0 if all(count == [min(background, LIMIT) if way in wrong else background, OTHERS]
                  for background, row in counts.items() for way, count in row.items()) else 1)
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/count.py"
