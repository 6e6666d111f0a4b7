"""Data, sizes and recipe of partnet: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from tasks.modelnet import profiles as modelnet
from tasks.shapenet import profiles as shapenet

# The paper's recipe of ShapeNetPart: 2048 of 10 000 points in training, all of them in the test, which are made into tokens
# from the first 2048; testing 64 shapes at once takes some 18 GB.
PAPER = ProfileSpec(
    data_sets=("PartNet",), reader="tasks.partnet.official", num_classes=285,
    chance=None,  # measured where the data are
    shape=shapenet.PAPER.shape, pretrain=modelnet.PAPER.pretrain, train=shapenet.PAPER.train)
