#!/usr/bin/env bash
# The maximum of numbers of which one is NaN is NaN, in numpy, torch and ONNX Runtime's operator Max of two tensors, so that a network
# that diverged shows it. ONNX Runtime's maxima along an axis on a CPU compare as they go, and what a NaN is worth hangs on where it
# stands. Of rows with one NaN GlobalMaxPool and ReduceMax (float32 and float64) give NaN for some, for most the maximum of the others,
# and for some less than that: the NaN wipes out what was the largest so far. Of 200 rows of 1,000 numbers one or none shows the NaN,
# and of 27 GlobalMaxPool gives too small a number. MaxPool of 3 by 3 that lie side by side gives 1 for a NaN among ones wherever it is,
# and for three or nine NaN -3.4e38, the least float32. ArgMax points at the largest of the others, where numpy and torch point at the
# NaN. So the scores of a broken model are of the size of sound ones. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper


def run(op: str, *inputs: np.ndarray, **how: object) -> np.ndarray:
    names = [f"x{place}" for place in range(len(inputs))]
    given = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in zip(names, inputs)]
    graph = helper.make_graph([helper.make_node(op, names, ["y"], **how)], "g", given, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs)))[0]


print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, numpy {np.__version__}; 200 rows with one NaN each")
generator = np.random.default_rng(0)
counts = {}
for width in (10, 100, 1000):
    rows = generator.normal(size=(200, width)).astype(np.float32)
    rows[np.arange(200), generator.integers(width, size=200)] = np.nan
    others = np.nanmax(rows, axis=1)
    along = np.array([1])
    maxima = {"ReduceMax": run("ReduceMax", rows, along, keepdims=0), "GlobalMaxPool": run("GlobalMaxPool", rows[None])[0, :, 0],
              "ReduceMax float64": run("ReduceMax", rows.astype(float), along, keepdims=0), "numpy": rows.max(axis=1)}
    for name, values in maxima.items():
        counts[name, width] = int(np.isnan(values).sum()), int((values == others).sum()), int((values < others).sum())
        missing, same, less = counts[name, width]
        print(f"{name} of {width}: NaN {missing}, maximum of the others {same}, less than that {less}")
    for name, places in {"ArgMax": run("ArgMax", rows, axis=1, keepdims=0), "numpy's argmax": rows.argmax(axis=1)}.items():
        print(f"{name} of {width}: at the NaN {int(np.isnan(rows[np.arange(200), places]).sum())}, at the largest of the others "
              f"{int((places == np.nanargmax(rows, axis=1)).sum())}")
picture, pooled = np.ones((1, 1, 6, 6), np.float32), []
for row in range(3):
    for column in range(3):
        picture[:] = 1
        picture[0, 0, row, column] = np.nan
        pooled.append(float(run("MaxPool", picture, kernel_shape=[3, 3], strides=[3, 3])[0, 0, 0, 0]))
whole = run("MaxPool", np.full((1, 1, 6, 6), np.nan, np.float32), kernel_shape=[3, 3], strides=[3, 3]).ravel()
line = run("MaxPool", np.full((1, 1, 6), np.nan, np.float32), kernel_shape=[3], strides=[3]).ravel()
print(f"MaxPool of 3 by 3 ones, one of them NaN, at each place in turn: {pooled}; of NaN alone {whole.tolist()}, in a line "
      f"{line.tolist()}")
both = run("Max", np.array([1, np.nan], np.float32), np.zeros(2, np.float32))
print(f"Max of [1, NaN] and [0, 0]: {both.tolist()}")
kinds = ("ReduceMax", "ReduceMax float64", "GlobalMaxPool")
lost = all(counts[name, 1000][0] < 20 and sum(counts[name, width][2] for width in (10, 100, 1000)) > 3 for name in kinds)
sys.exit(0 if lost and all(counts["numpy", width][0] == 200 for width in (10, 100, 1000)) and np.isnan(both[1])
         and not np.isnan(pooled).all() and (whole < -3e38).all() and (line < -3e38).all() else 1)
PYTHON
