#!/usr/bin/env bash
# A file of tensors gives back what was put in. Of torch's tensors safetensors refuses those that are not contiguous, and says what to do.
# Its half for numpy takes an array in any order of memory, and since 0.8.0 it writes the bytes as they lie and reads them by the shape:
# of the 12 numbers of a.T two come back where they were, of the 8 of a[:, ::2] one. 0.7.0 kept all. Such arrays are common: transposed
# weights, what numpy.asfortranarray and LAPACK give, and so PCA's components_ in scikit-learn, whose 8 rows, at right angles before, come
# back with products of up to 0.31. Nothing is said; shapes, dtypes, mean and norm of a transposed array stay right. The documentation
# asks for arrays that are "contiguous and dense", which a transposed one is by numpy's flag for Fortran's order. numpy.ascontiguousarray
# before saving cures it. Reported to safetensors as issue 825. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/pip" install -q --target "$folder/older" safetensors==0.7.0
cat > "$folder/there_and_back.py" <<'PYTHON'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, load_file, save, save_file
from sklearn.decomposition import PCA

weights = np.arange(12, dtype=np.float32).reshape(4, 3)
samples = np.random.default_rng(0).normal(size=(1000, 32)) @ np.random.default_rng(1).normal(size=(32, 32))
components = PCA(8).fit(samples).components_
arrays = {"a": weights, "a.T": weights.T, "a[:, ::2]": weights[:, ::2], "np.asfortranarray(a)": np.asfortranarray(weights),
          "PCA's components_": components, "np.ascontiguousarray(a.T)": np.ascontiguousarray(weights.T)}
print(f"safetensors {safetensors.__version__}, numpy {np.__version__}")
kept = {}
for name, array in arrays.items():
    save_file({"x": array}, sys.argv[1])
    back = load_file(sys.argv[1])["x"]
    kept[name] = bool(np.array_equal(back, array)) and bool(np.array_equal(load(save({"x": array}))["x"], array))
    gram = f", largest product of two of its rows {np.abs(np.triu(back @ back.T, 1)).max():.2f}" if "PCA" in name else ""
    print(f"{name}: shape {back.shape}, C order {array.flags.c_contiguous}, Fortran order {array.flags.f_contiguous}; "
          f"{int((back == array).sum())} of {array.size} numbers are where they were{gram}; {back.tolist() if array.size < 13 else None}")
print(f"kept: {[name for name, same in kept.items() if same]}")
whole = {"a", "np.ascontiguousarray(a.T)"} if safetensors.__version__ == "0.8.0" else set(arrays)
sys.exit(0 if {name for name, same in kept.items() if same} == whole else 1)
PYTHON
PYTHONPATH="$folder/older" "$folder/venv/bin/python" -W error "$folder/there_and_back.py" "$folder/x.safetensors"
"$folder/venv/bin/python" -W error "$folder/there_and_back.py" "$folder/x.safetensors"
