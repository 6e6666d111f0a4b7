"""Data, sizes and recipe of partnet: values only, which enter every run's spec as they are."""

from itertools import accumulate

from benchmark.spec.contracts import ProfileSpec
from tasks.modelnet.profiles import UNUSED_PRETRAIN
from tasks.shapenet import profiles as shapenet

# Parts of level 3 by category, as published. Labels run from 0, which is "other"; whether the numbers count it is not said,
# so that every category has one label more. A part that no shape has is not measured.
CATEGORIES = {
    "Bed": 15, "Bottle": 9, "Chair": 39, "Clock": 11, "Dishwasher": 7, "Display": 4, "Door": 5, "Earphone": 10, "Faucet": 12,
    "Knife": 10, "Lamp": 41, "Microwave": 6, "Refrigerator": 7, "StorageFurniture": 24, "Table": 51, "TrashCan": 11, "Vase": 6}
OFFSETS = tuple(accumulate((parts + 1 for parts in CATEGORIES.values()), initial=0))  # first label of each, and the end

# The paper's recipe of ShapeNetPart: 2048 of 10 000 points in training, all of them in the test, which are made into tokens
# from the first 2048; testing 64 shapes at once takes some 18 GB.
PAPER = ProfileSpec(
    data_sets=("PartNet",), reader="tasks.partnet.official", num_classes=OFFSETS[-1],
    chance=None,  # measured where the data are
    shape=shapenet.PAPER.shape, pretrain=UNUSED_PRETRAIN, train=shapenet.PAPER.train)
