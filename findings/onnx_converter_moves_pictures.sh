#!/usr/bin/env bash
# onnx.version_converter brings a model to another version of ONNX's operators, and what it computes stays the same: where an operator has
# changed, its adapter writes what it was. Not for Resize from 10 to 11 and later: 10 began counting at the corner of the first pixel
# ("asymmetric"), 11 at its middle, and the converter leaves that out, so that every enlarged feature map and mask is moved by up to half
# a pixel, as by Upsample from 9, with mode="linear". Of noise twice as large numbers differ by 1.3 deviations, a ramp is off by a quarter
# of a pixel all through. Hardmax from 12 to 13 has its maximum of each row and no longer of the flattened rest, Softmax from 13 back to
# 12 the other way round; Softmax from 12 to 13 is written out as it was and right. The checker is content, ONNX Runtime runs both, no
# word is said. Models of 2019 and 2020 have such operators. Exits with 1 where that has changed.
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
from onnx import TensorProto, checker, helper, numpy_helper, version_converter


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def apart(op: str, before: int, after: int, x: np.ndarray, scales: tuple = (), **how: object) -> tuple[np.ndarray, np.ndarray]:
    """What one operator gives at version `before` and, converted, at version `after`."""
    given = [numpy_helper.from_array(np.array(scales, np.float32), "scales")] if scales else []
    node = helper.make_node(op, ["x", "scales"] if scales else ["x"], ["y"], **how)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"d{i}" for i in range(x.ndim)])], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", before)], ir_version=8)
    converted = version_converter.convert_version(model, after)
    for each in (model, converted):
        checker.check_model(each, full_check=True)
    return run(model, x), run(converted, x)


print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}; largest difference before and after")
rng = np.random.default_rng(0)
picture, rows = rng.normal(size=(1, 2, 7, 7)).astype(np.float32), rng.normal(size=(2, 3, 4)).astype(np.float32)
cases = {"Resize 10 to 11": ("Resize", 10, 11, picture, (1, 1, 2, 2), {"mode": "linear"}),
         "Resize 10 to 21": ("Resize", 10, 21, picture, (1, 1, 2, 2), {"mode": "linear"}),
         "Upsample 9 to 10": ("Upsample", 9, 10, picture, (1, 1, 2, 2), {"mode": "linear"}),
         "Upsample 9 to 11": ("Upsample", 9, 11, picture, (1, 1, 2, 2), {"mode": "linear"}),
         "Hardmax 12 to 13": ("Hardmax", 12, 13, rows, (), {"axis": 1}),
         "Softmax 12 to 13": ("Softmax", 12, 13, rows, (), {"axis": 1}),
         "Softmax 13 to 12": ("Softmax", 13, 12, rows, (), {"axis": 1}),
         "ReduceMean 11 to 18": ("ReduceMean", 11, 18, rows, (), {"axes": [1]})}
off = {}
for name, (op, before, after, x, scales, how) in cases.items():
    old, new = apart(op, before, after, x, scales, **how)
    off[name] = float(np.abs(old - new).max())
    print(f"{name}: {off[name]:.3g}")
ramp = np.tile(np.arange(16, dtype=np.float32), (1, 1, 16, 1))
old, new = apart("Resize", 10, 11, ramp, (1, 1, 2, 2), mode="linear")
print(f"a ramp twice as large, from 10: {old[0, 0, 16, 14:18].tolist()}, as 11: {new[0, 0, 16, 14:18].tolist()}")
same = ("Upsample 9 to 10", "Softmax 12 to 13", "ReduceMean 11 to 18")
sys.exit(0 if all(off[name] < 1e-5 for name in same) and all(off[name] > 0.1 for name in off if name not in same)
         and abs(old[0, 0, 16, 14] - new[0, 0, 16, 14] - 0.25) < 1e-4 else 1)
PYTHON
