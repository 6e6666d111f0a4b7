#!/usr/bin/env bash
# An array of numpy says in which order the bytes of its numbers are, so ">u2" is no trouble: numpy computes with it, and what takes
# arrays converts it or refuses it. Such arrays come from files: pillow's of a big-endian TIFF of 16 bits, scipy's of netCDF 3, the sound
# of AIFF and NIST SPHERE, the labels of IDX. OpenCV, onnxruntime, soundfile and pyarrow's Tensor take them and read the bytes the other
# way round. Of a picture of 16 bits from 0 to 19,000 cv2.resize and cv2.imencode make values up to 63,530, float32 from 0 to 0.95 is up
# to 3e23 in a network, and a tone is written to a WAV as noise (correlation with itself -0.04). Nothing is said. torch, numba, PyAV,
# duckdb, onnx and pyarrow.array refuse such arrays; h5py, zarr, pillow, SciPy, scikit-image and scikit-learn convert them.
# astype(array.dtype.newbyteorder("=")) cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 onnx==1.23.2 soundfile==0.14.0 pyarrow==26.0.1 \
    pillow==13.0.0 scipy==1.17.1 h5py==3.16.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import io
import sys

import cv2
import h5py
import numpy as np
import onnx
import onnxruntime
import pyarrow
import scipy
import soundfile
from onnx import helper
from PIL import Image
from scipy import ndimage
from scipy.io import netcdf_file

folder = sys.argv[1]
print(f"opencv {cv2.__version__}, onnxruntime {onnxruntime.__version__}, soundfile {soundfile.__version__}, pyarrow {pyarrow.__version__}, "
      f"numpy {np.__version__}")
Image.fromarray((np.arange(20).reshape(4, 5) * 1000).astype(">u2")).save(f"{folder}/picture.tif")
picture = np.asarray(Image.open(f"{folder}/picture.tif"))
with netcdf_file(f"{folder}/grid.nc", "w") as file:
    file.createDimension("y", 4)
    file.createDimension("x", 5)
    file.createVariable("t", np.float32, ("y", "x"))[:] = np.arange(20).reshape(4, 5) / 20
with netcdf_file(f"{folder}/grid.nc", mmap=False) as file:
    grid = file.variables["t"][:].copy()
sound = np.frombuffer((10_000 * np.sin(np.arange(8000) / 10)).astype(">i2").tobytes(), ">i2")
tensor = helper.make_tensor_value_info
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", [tensor("x", onnx.TensorProto.FLOAT, [4, 5])],
                          [tensor("y", onnx.TensorProto.FLOAT, [4, 5])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def as_wav(array: np.ndarray) -> np.ndarray:
    """The same array after a WAV of 16 bits"""
    soundfile.write(f"{folder}/sound.wav", array, 8000, subtype="PCM_16")
    return soundfile.read(f"{folder}/sound.wav", dtype="int16")[0]


def as_hdf5(array: np.ndarray) -> np.ndarray:
    with h5py.File(io.BytesIO(), "w") as file:
        file["x"] = array
        return file["x"][...]


wrong = {}
for name, array, function in (
        ("cv2.resize to its own size", picture, lambda array: cv2.resize(array, (5, 4))),
        ("cv2.imencode to PNG", picture, lambda array: cv2.imdecode(cv2.imencode(".png", array)[1], cv2.IMREAD_UNCHANGED)),
        ("cv2.GaussianBlur", grid, lambda array: cv2.GaussianBlur(array, (1, 1), 0)),
        ("onnxruntime, Identity", grid, lambda array: session.run(None, {"x": array})[0]),
        ("pyarrow.Tensor", grid, lambda array: pyarrow.Tensor.from_numpy(array).to_numpy()),
        ("soundfile", sound, as_wav), ("h5py", grid, as_hdf5), ("scipy.ndimage", grid, lambda array: ndimage.uniform_filter(array, 1)),
        ("pillow", picture, lambda array: np.asarray(Image.fromarray(array)))):
    back, native = function(array), function(array.astype(array.dtype.newbyteorder("=")))
    if not np.array_equal(native, array):
        sys.exit(f"{name} does not keep an array of the processor's own order")
    wrong[name] = not np.array_equal(back, array)
    print(f"{name} of {array.dtype.str}: given {array.flat[1]:.5g} to {array.max():.5g}, got {back.flat[1]:.5g} to {back.max():.5g}")
print(f"sound and what was written: correlation {np.corrcoef(sound, as_wav(sound))[0, 1]:.2f}")
sys.exit(0 if {name for name, off in wrong.items() if not off} == {"h5py", "scipy.ndimage", "pillow"} else 1)
PYTHON
