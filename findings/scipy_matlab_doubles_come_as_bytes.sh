#!/usr/bin/env bash
# A number of MATLAB is a double unless one says otherwise, and in its files a double is called that: scipy's whosmat says "double". How it
# is stored, MATLAB chooses by the values, to save room: whole numbers from 0 to 255 as bytes. MATLAB makes doubles of them again; scipy's
# loadmat leaves them as they were stored. So the type of an array hangs on which values a recording happens to hold, and bytes wrap: 1 less 2
# of a matrix that MATLAB 7.4 wrote (it comes with scipy's own tests) is 255. Of 40 people's points before and after a training, which
# made 34 worse and 6 better, the mean of after less before is 213; with half a point in one of them it is -4.5. Squares wrap as
# well. mean() and std() are right. Nothing is said. mat_dtype=True is right; it is an argument among others, and off. Exits with 1
# where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import struct
import sys
from pathlib import Path

import numpy as np
import scipy
import scipy.io

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
BYTES, DOUBLES = 2, 9  # the format's numbers of these types


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def as_matlab_stores(name: str, column: np.ndarray) -> bytes:
    """A column of doubles (class 6) as an element of a MAT file of version 5, as bytes where those hold its values"""
    small = np.array_equal(column.astype(np.uint8), column)
    content = element(BYTES, column.astype(np.uint8).tobytes()) if small else element(DOUBLES, column.tobytes())
    return element(14, element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", len(column), 1))
                   + element(1, name.encode()) + content)


def write(path: str, **columns: np.ndarray) -> None:
    Path(path).write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
                           + b"".join(as_matlab_stores(*each) for each in columns.items()))


real = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data" / "testmatrix_7.4_GLNX86.mat"
matrix, whole = (scipy.io.loadmat(real, mat_dtype=kept)["testmatrix"] for kept in (False, True))
less, right = (int((each[0, 0:1] - each[0, 1:2])[0]) for each in (matrix, whole))
print(f"{real.name}, by MATLAB: whosmat says {scipy.io.whosmat(real)[0]}; loadmat gives {matrix.dtype} "
      f"{matrix[0, :2].tolist()}, whose difference is {less}; with mat_dtype=True {right}")
real_wraps = matrix.dtype == np.uint8 and (less, right) == (255, -1)
generator = np.random.default_rng(0)
before = generator.integers(40, 80, 40).astype(float)
after = before + np.where(np.arange(40) < 34, -1, 1) * generator.integers(1, 12, 40)
found = {}
for name, half in (("whole points", 0.0), ("half a point in one of them", 0.5)):
    first = half * (np.arange(40) == 0)
    write("points.mat", before=before + first, after=after + first)
    file, double = scipy.io.loadmat("points.mat"), scipy.io.loadmat("points.mat", mat_dtype=True)
    found[name] = [float((each["after"] - each["before"]).mean()) for each in (file, double)]
    squares = [float(np.sqrt((each["after"] ** 2).mean())) for each in (file, double)]
    print(f"{name}: whosmat says {scipy.io.whosmat('points.mat')[0][2]}, loadmat gives {file['after'].dtype}; mean of after "
          f"less before {found[name][0]:.1f}, with mat_dtype=True {found[name][1]:.1f}; root of the mean of squares "
          f"{squares[0]:.1f}, {squares[1]:.1f}; means {file['before'].mean():.1f} and {file['after'].mean():.1f}")
right = float((after - before).mean())
whole, half = found["whole points"], found["half a point in one of them"]
sys.exit(0 if real_wraps and whole[0] > 100 and all(abs(mean - right) < 1e-9 for mean in (whole[1], *half)) else 1)
PYTHON
