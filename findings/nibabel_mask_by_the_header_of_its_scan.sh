#!/usr/bin/env bash
# A mask that is made of a scan is saved with the scan's header, which says where it lies: Nifti1Image(mask, affine, header). The header
# also says how numbers are stored. nibabel stores floats in that type by a scale that spreads them over all of it, kept in float32, so that
# 1 comes back as a number near 1. Of a mask of 0.0 and 1.0 with the header of an int16 scan no voxel is 1 any more: "== 1" finds none, and
# astype(int) makes background of all of them. Of labels 0 to 3 astype(int) keeps none either, of 0 to 9 a third, of 0 to 100 half; with the
# header of a uint8 mask 1 is 1.00000006, which "== 1" misses and astype(int) hits, and of 0 to 9 two thirds are kept. Labels 0 to 299 of
# int16 with the header of uint8 go by steps of 1.17, so that every seventh is wrong even when rounded. Nothing is said. A type of whole
# numbers that fits (astype(np.int16)), set_data_dtype(np.float32) or no header cures it, and so does rounding what was floats. Reported to
# nibabel as issues 1001 and 1344. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nibabel==5.4.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import nibabel
import numpy as np

print(f"nibabel {nibabel.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)


def header(kind):  # of a scan or mask of that type, as it is loaded
    image = nibabel.Nifti1Image(rng.integers(0, 2, (32, 32, 32)).astype(kind), np.eye(4))
    return nibabel.Nifti1Image.from_bytes(image.to_bytes()).header


def read(values, head, kind=None):
    image = nibabel.Nifti1Image(values, np.eye(4), head)
    if kind:
        image.set_data_dtype(kind)
    return nibabel.Nifti1Image.from_bytes(image.to_bytes()).get_fdata()


found = []
for kind, top in (("int16", 1), ("int16", 3), ("int16", 9), ("int16", 100), ("uint8", 1), ("uint8", 9), ("int32", 3)):
    labels = rng.integers(0, top + 1, (32, 32, 32)).astype(float)
    back = read(labels, header(kind))
    inside = labels > 0
    found.append(((back == labels)[inside].mean(), (back.astype(int) == labels)[inside].mean()))
    print(f"labels 0 to {top} as floats with the header of {kind}: {back[labels == 1][0]:.10f} for 1; of all but background "
          f"{found[-1][0]:.1%} are equal to what they were, after astype(int) {found[-1][1]:.1%}, "
          f"rounded {(back.round() == labels)[inside].mean():.0%}")
labels = rng.integers(0, 300, (32, 32, 32)).astype(np.int16)
back = read(labels, header("uint8"))
rounded = (back.round() == labels).mean()
print(f"labels 0 to 299 as int16 with the header of uint8: {back[labels == 7][0]:.3f} for 7; {rounded:.1%} are right when rounded")
labels = rng.integers(0, 10, (32, 32, 32)).astype(float)
cured = [(read(labels.astype(np.int16), header("int16")) == labels).all(), (read(labels, header("int16"), np.float32) == labels).all(),
         (read(labels, None) == labels).all()]
print(f"as int16, with set_data_dtype(float32), without a header: exact {[bool(one) for one in cured]}")
sys.exit(0 if all(equal == 0 for equal, _ in found) and found[0][1] == found[1][1] == 0 and found[2][1] < 0.4 and found[3][1] < 0.6
         and found[4][1] == 1 and found[5][1] < 0.7 and found[6][1] < 0.4 and 0.8 < rounded < 0.9 and all(cured) else 1)
PYTHON
