#!/usr/bin/env bash
# A p value of 0.05 or less comes in one of twenty maps on which nothing but noise is. esda, which is PySAL's for maps, gives p_sim, by
# permutations, for Moran's I, Geary's C and the local I, and says: "the observed I is extreme if it is either extremely greater or
# extremely lower". It counts one side, the one on which the map turned out to lie. So no p_sim is above 0.5, and twice as many maps of noise
# as should be are significant: about 10 % at 0.05 and 2 % at 0.01. Of the local I, by whose p_sim clusters on a map are coloured, it is
# so in every cell. two_tailed=True, the default, holds for p_norm and p_rand alone, which are right, so that p_sim is half of p_norm beside
# it. The line above that sentence has "(one-tailed)", but one tail that the data choose is two. Twice p_sim is right. Exits with 1 where
# that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q esda==2.9.0 libpysal==4.14.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

warnings.filterwarnings("ignore")  # of the imports, and that numba is not there for speed
import esda  # noqa: E402
import libpysal  # noqa: E402
import numpy as np  # noqa: E402

print(f"esda {esda.__version__}, libpysal {libpysal.__version__}, numpy {np.__version__}")
MAPS, SIDE = 1000, 10
generator = np.random.default_rng(0)
np.random.seed(0)  # noqa: NPY002  # esda's permutations
weights = libpysal.weights.lat2W(SIDE, SIDE)
weights.transform = "r"
rows = np.array([[*values] for values in weights.full()[0]])


def moran(maps: np.ndarray) -> np.ndarray:
    """I by its formula, of one map a row"""
    less = maps - maps.mean(1, keepdims=True)
    return ((less @ rows.T) * less).sum(1) / (less * less).sum(1)


found = {name: [] for name in ("p_sim of Moran's I", "p_norm of Moran's I", "both sides, by numpy", "p_sim of Geary's C",
                               "p_sim of local I")}
for number in range(MAPS):
    noise = generator.normal(size=SIDE * SIDE)
    whole = esda.Moran(noise, weights, permutations=999)
    found["p_sim of Moran's I"].append(whole.p_sim)
    found["p_norm of Moran's I"].append(whole.p_norm)
    dealt = moran(generator.permuted(np.tile(noise, (999, 1)), axis=1))
    above, below = (dealt >= whole.I).sum(), (dealt <= whole.I).sum()
    found["both sides, by numpy"].append(min(1.0, 2 * (min(above, below) + 1) / 1000))
    found["p_sim of Geary's C"].append(esda.Geary(noise, weights, permutations=999).p_sim)
    if number < 20:
        found["p_sim of local I"].extend(esda.Moran_Local(noise, weights, permutations=999, n_jobs=1).p_sim)
for name, values in found.items():
    values = found[name] = np.array(values)
    print(f"{name}: of {len(values)} from noise {(values <= 0.05).mean():.1%} are at most 0.05, "
          f"{(values <= 0.01).mean():.1%} at most 0.01; greatest {values.max():.3f}, median {np.median(values):.3f}")
ratio = np.median(found["p_sim of Moran's I"] / found["both sides, by numpy"])
print(f"p_sim of Moran's I is in the median {ratio:.2f} of that by both sides")
halved = [name for name in found if "p_sim" in name]
sys.exit(0 if all(0.075 < (found[name] <= 0.05).mean() < 0.13 and found[name].max() <= 0.501 for name in halved)
         and all(0.03 < (found[name] <= 0.05).mean() < 0.07 for name in found if name not in halved)
         and 0.45 < ratio < 0.55 else 1)
PYTHON
