#!/usr/bin/env bash
# A picture of bytes that is all 200 is all 200 in any size. ONNX Runtime's operator Resize of uint8 with mode="linear", as models have it
# that take pictures as they are and bring their own resizing, cuts what it has computed and does not round: of random bytes what comes
# out is darker by 0.50 on average, larger or smaller, and of a picture that is all 200, at sizes whose weights do not add up to one
# exactly, up to a tenth of the pixels is 199. With antialias=1 it rounds, as Pillow does and, to an eighth of a grey level, OpenCV. A
# model's own resizing and one done before so differ by half a grey level everywhere, in one direction, and whoever resizes again and
# again gets a darker picture each time: after ten times to 100 pixels and back the mean of 126.8 is 117.1. Nothing is said, and ONNX
# does not name it. Casting to float32 before, and rounding after, cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from PIL import Image


def resized(picture: np.ndarray, size: int, **how: object) -> np.ndarray:
    """The square picture (h, w) at another size, by ONNX Runtime, in its own type."""
    kind = TensorProto.UINT8 if picture.dtype == np.uint8 else TensorProto.FLOAT
    node = helper.make_node("Resize", ["x", "", "", "size"], ["y"], mode="linear", **how)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, [1, 1, *picture.shape]),
                                            helper.make_tensor_value_info("size", TensorProto.INT64, [4])],
                              [helper.make_tensor_value_info("y", kind, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": picture[None, None], "size": np.array([1, 1, size, size])})[0][0, 0]


print(f"onnxruntime {onnxruntime.__version__}, opencv {cv2.__version__}")
noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
darker = {}
for size in (40, 100):
    right = resized(noise.astype(np.float32), size).astype(float)
    ways = {"onnxruntime": resized(noise, size), "OpenCV": cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)}
    if size > 64:  # Pillow widens its triangle where a picture becomes smaller
        ways["Pillow"] = np.asarray(Image.fromarray(noise).resize((size, size), Image.Resampling.BILINEAR))
    darker[size] = {name: float((y.astype(float) - right).mean()) for name, y in ways.items()}
    wide = resized(noise.astype(np.float32), size, antialias=1)
    darker[size]["onnxruntime, antialias=1"] = float((resized(noise, size, antialias=1) - wide.astype(float)).mean())
    print(f"64 to {size}, less the same in float32: " + ", ".join(f"{name} {value:.3f}" for name, value in darker[size].items()))
less = {}
for size in (9, 31, 50):
    even = resized(np.full((17, 17), 200, np.uint8), size)
    less[size] = float((even == 199).mean())
    print(f"a picture of 200, 17 to {size}: {np.unique(even).tolist()}, {less[size]:.3f} of it 199; "
          f"antialias=1 {np.unique(resized(np.full((17, 17), 200, np.uint8), size, antialias=1)).tolist()}, "
          f"OpenCV {np.unique(cv2.resize(np.full((17, 17), 200, np.uint8), (size, size))).tolist()}")
again = noise
for turn in range(20):
    again = resized(again, 100 if turn % 2 == 0 else 64)
print(f"to 100 and back ten times: mean {noise.mean():.1f}, then {again.mean():.1f}")
others = [abs(value) for row in darker.values() for name, value in row.items() if name != "onnxruntime"]
sys.exit(0 if all(-0.55 < row["onnxruntime"] < -0.45 for row in darker.values()) and max(others) < 0.2 and max(less.values()) > 0.05
         and again.mean() < noise.mean() - 5 else 1)
PYTHON
