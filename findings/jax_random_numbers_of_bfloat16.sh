#!/usr/bin/env bash
# Half precision rounds a number to two or three digits; what is drawn should still be spread as it is in float32. jax.random draws as many
# bits as a type has digits, before it makes anything of them. In bfloat16 a normal number is one of 128, never beyond 2.9 (where 0.4 % of
# them are: 0 of a million beyond 3 and not 2,700), so weights that are drawn with param_dtype=bfloat16 have 128 values to begin with; in
# float16 they are 1,024. float32, cast to bfloat16, has thousands. A coin with a chance of 0.001 falls 7.7 times as often as it should,
# as often as one of 0.0001: every chance above 0 is at least 1/128, for a p that comes as bfloat16, as a model gives it; in float16 0.0001
# is drawn ten times too often. The documentation of bernoulli names chances below 1e-7 in float32 alone, and mode="high", which cures it;
# that of normal says nothing. Nothing is said. Drawing in float32 and casting cures both. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1 ml_dtypes==0.6.0 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np

key, DRAWS = jax.random.key(0), 1_000_000
print(f"jax {jax.__version__}; {DRAWS} draws")
normal, coin = {}, {}
ways = {"float32": lambda: jax.random.normal(key, (DRAWS,)), "float16": lambda: jax.random.normal(key, (DRAWS,), jnp.float16),
        "bfloat16": lambda: jax.random.normal(key, (DRAWS,), jnp.bfloat16),
        "float32 cast to bfloat16": lambda: jax.random.normal(key, (DRAWS,)).astype(jnp.bfloat16)}
for name, way in ways.items():
    drawn = np.asarray(way()).astype(np.float64)
    normal[name] = (len(np.unique(drawn)), int((np.abs(drawn) > 3).sum()))
    print(f"normal numbers, {name}: {normal[name][0]} values, from {drawn.min():.2f} to {drawn.max():.2f}, {normal[name][1]} beyond 3, "
          f"mean {drawn.mean():.4f}, deviation {drawn.std():.4f}")
for kind in (jnp.float32, jnp.float16, jnp.bfloat16):
    for chance in (0.01, 0.001, 0.0001):
        p = jnp.asarray(chance, kind)
        coin[kind.__name__, chance] = [float(jax.random.bernoulli(key, p, (DRAWS,), mode=mode).mean()) for mode in ("low", "high")]
        low, high = coin[kind.__name__, chance]
        print(f"a coin with a chance of {float(p):.6f} in {kind.__name__} falls in {low:.6f}, by mode=\"high\" in {high:.6f}")
weights = jax.nn.initializers.lecun_normal()(key, (512, 512), jnp.bfloat16)
print(f"a matrix of 512 by 512 by lecun_normal in bfloat16 has {len(np.unique(np.asarray(weights).astype(np.float32)))} values")
sys.exit(0 if normal["bfloat16"] == (128, 0) and normal["float16"][0] == 1024 and normal["float32 cast to bfloat16"][0] > 1000
         and 2000 < normal["float32"][1] < 3500 and coin["bfloat16", 0.001][0] > 5e-3 and coin["bfloat16", 0.0001][0] > 5e-3
         and coin["float16", 0.0001][0] > 5e-4 and abs(coin["float32", 0.001][0] - 0.001) < 2e-4
         and abs(coin["bfloat16", 0.001][1] - 0.001) < 2e-4 else 1)
PYTHON
