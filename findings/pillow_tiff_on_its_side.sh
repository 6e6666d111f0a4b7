#!/usr/bin/env bash
# TIFF may be stored on its side, with tag 274 (5 to 8) saying how to turn it, and pillow turns it as it loads. Of a file that is not
# compressed, has one strip, and is of grey, of 16 bits, RGBA or CMYK, opened by its path, the pixels come out in a wrong order and
# the shape is the stored one: a photograph of a page is stripes. Such a file is mapped into memory, and since its size is said as
# of the turned picture from the start (python-pillow pull request 8390), rows are cut from the map at the turned width, and turned
# after that. RGB, compressed files, and the same bytes from memory are right. Nothing is said. Opening an io.BytesIO of the bytes cures
# it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import io
import sys
from pathlib import Path

import numpy as np
import PIL
from PIL import ExifTags, Image

turns = {1: None, 3: Image.Transpose.ROTATE_180, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270,
         7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}
modes = {"L": ((40, 60), np.uint8), "I;16": ((40, 60), np.uint16), "RGBA": ((40, 60, 4), np.uint8), "RGB": ((40, 60, 3), np.uint8)}
generator = np.random.default_rng(0)
wrong = set()
print(f"pillow {PIL.__version__}")
for mode, (shape, dtype) in modes.items():
    stored = Image.fromarray(generator.integers(0, 200, shape).astype(dtype))
    assert stored.mode == mode
    for compression in ("raw", "tiff_lzw"):
        for orientation, turn in turns.items():
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            path = Path(sys.argv[1], "one.tif")
            stored.save(path, exif=exif, compression=compression)
            right = np.asarray(stored if turn is None else stored.transpose(turn))
            for way, source in (("path", path), ("bytes", io.BytesIO(path.read_bytes()))):
                with Image.open(source) as image:
                    said, read = image.size[::-1], np.asarray(image)
                if said != right.shape[:2]:
                    sys.exit("the size is another before loading")
                if read.shape != right.shape or (read != right).any():
                    wrong.add((mode, compression, orientation, way))
                    equal = 0 if read.shape == right.shape else np.mean(np.sort(read, None) == np.sort(right, None))
                    print(f"{mode} {compression}, orientation {orientation}, by {way}: said {said}, read {read.shape[:2]}; the same "
                          f"pixels in another order: {equal == 1}")
small = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
exif = Image.Exif()
exif[ExifTags.Base.Orientation] = 6
small.save(path, exif=exif)
with Image.open(path) as image:
    print(f"{np.asarray(small).tolist()} to be turned right is read as {np.asarray(image).tolist()}, where "
          f"{np.asarray(small.transpose(turns[6])).tolist()} is right")
sys.exit(0 if wrong == {(mode, "raw", place, "path") for mode in ("L", "I;16", "RGBA") for place in (5, 6, 7, 8)} else 1)
PYTHON
