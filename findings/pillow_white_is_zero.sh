#!/usr/bin/env bash
# TIFF says in tag 262 whether 0 is black (1) or white (0). Of 8 bits pillow turns the second kind round as it reads it; of
# 16 bits it does not, so that the same picture is its own negative, without a word. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import struct
import sys

import numpy as np
import PIL
from PIL import Image

seen = {}
for bits, dtype, scale in ((8, np.uint8, 1), (16, np.uint16, 257)):
    path = f"{sys.argv[1]}/{bits}.tif"
    Image.fromarray(np.full((4, 4), 50 * scale, dtype)).save(path)
    data = bytearray(open(path, "rb").read())
    at = data.index(struct.pack("<HHI", 262, 3, 1))  # the tag, one short
    data[at + 8 : at + 12] = struct.pack("<I", 0)
    open(path, "wb").write(data)
    with Image.open(path) as image:
        seen[bits] = int(np.asarray(image)[0, 0]) // scale
print(f"pillow {PIL.__version__}: a stored 50 of white-is-zero is read as {seen[8]} of 8 bits and as {seen[16]} of 16")
sys.exit(0 if seen == {8: 205, 16: 50} else 1)
PYTHON
