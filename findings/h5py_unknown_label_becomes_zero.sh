#!/usr/bin/env bash
# A label of -1 stands for "unknown" in masks, and stored as uint8 it is 255 in numpy, the value that losses leave out. Written into a
# uint8 dataset of HDF5 by h5py the same array gives 0, which is the first class: HDF5 converts by a rule of its own, which cuts at the
# ends of the type, and h5py leaves the conversion to it. Read the other way, dataset.astype("int8") makes 127 of 255, and
# dataset[...].astype("int8") makes -1. NaN becomes 0 in uint8 and the smallest number in int32. create_dataset(data=..., dtype="u1"),
# assignment and read_direct all follow HDF5's rule, without a word; numpy warns of NaN. A list in place of an array is refused.
# So masks that were saved by numpy and by h5py from one array train different classes. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q h5py==3.16.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder/masks.h5" <<'PYTHON'
import sys

import h5py
import numpy as np

labels = np.array([-1, 0, 1, 20, 255, 256, 300])
print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}; labels {labels.tolist()}")
by_numpy = np.zeros(labels.shape, np.uint8)
by_numpy[...] = labels
print("assigned to uint8 in numpy:", by_numpy.tolist())
with h5py.File(sys.argv[1], "w") as file:
    assigned = file.create_dataset("assigned", labels.shape, dtype="u1")
    assigned[...] = labels
    created = file.create_dataset("created", data=labels, dtype="u1")
    print("assigned to uint8 in h5py: ", assigned[...].tolist())
    print("create_dataset(data=, dtype='u1'):", created[...].tolist())
    try:
        assigned[...] = labels.tolist()
        said = ""
    except OverflowError as error:
        said = str(error)
    print("the same as a list:", said)
    kept = file.create_dataset("kept", data=by_numpy)
    direct = np.zeros(labels.shape, np.int8)
    kept.read_direct(direct)
    read = {"dataset.astype('int8')[...]": kept.astype("int8")[...], "read_direct into int8": direct,
            "dataset[...].astype('int8')": kept[...].astype("int8")}
    for name, values in read.items():
        print(f"{kept[...].tolist()} by {name}: {values.tolist()}")
    values = np.array([np.nan, 1.9, -1.9, np.inf])
    cut = {}
    for dtype in ("u1", "i4"):
        cut[dtype] = file.create_dataset(dtype, values.shape, dtype=dtype)
        cut[dtype][...] = values
        print(f"{values.tolist()} in {dtype}: {cut[dtype][...].tolist()}")
    first, *others = (values.tolist() for values in read.values())
    sys.exit(0 if by_numpy[0] == 255 and assigned[0] == created[0] == 0 and assigned[6] == 255 and by_numpy[6] == 44 and said
             and first[0] == 127 and others[0] == first and others[1][0] == -1 and cut["u1"][0] == 0 and cut["i4"][0] == -2**31 else 1)
PYTHON
