"""PartNet: a point cloud and its category in, a fine-grained part for every point out; at paper scale only.

The paper names neither split, level nor measure, and has no code for it. The protocol here is our own, so that its results
are not comparable with the paper's: the official lists of the 17 categories that have a third level, one model for all of
them as for ShapeNetPart, and the measure of PartNet's authors (Mo et al., CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar

from benchmark.spec.contracts import Meter, Metric, ProfileSpec
from benchmark.spec.recipes import ModelShape, Setting
from tasks.partnet.profiles import PAPER
from tasks.shapenet import ShapeNet

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.examples import Batch
    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import Head

# Parts of level 3 by category, as published. Labels run from 0, which is "other"; whether the numbers count it is not said,
# so that every category has one label more. A part that no shape has is not measured.
CATEGORIES = {
    "Bed": 15, "Bottle": 9, "Chair": 39, "Clock": 11, "Dishwasher": 7, "Display": 4, "Door": 5, "Earphone": 10, "Faucet": 12,
    "Knife": 10, "Lamp": 41, "Microwave": 6, "Refrigerator": 7, "StorageFurniture": 24, "Table": 51, "TrashCan": 11, "Vase": 6}
OFFSETS = tuple(accumulate((parts + 1 for parts in CATEGORIES.values()), initial=0))  # first label of each, and the end


class PartNet(ShapeNet):
    name = "partnet"
    summary = "fine-grained part segmentation of 3-D shapes (PartNet, level 3 of 17 categories; a protocol of our own)"
    metrics = (Metric("part mIoU"), Metric("shape mIoU"))
    sources = frozenset({"ShapeNet"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"paper": PAPER}
    pretrained_by = "shapenet"

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        """That of `shapenet`, for other categories"""
        from tasks.shapenet.model import PartSegmenter

        return PartSegmenter(shape, num_classes, len(CATEGORIES))

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """See `benchmark.model.points.prepare_points`; labels are stored in two bytes."""
        return super().augment({**batch, "label": batch["label"].long()}, random, strengths)

    def outputs(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Nothing: ten thousand points a shape are much to keep"""
        return {}

    def meter(self, profile: str) -> Meter:
        from tasks.partnet.model import FinePartMeter

        return FinePartMeter(OFFSETS)


TASK = PartNet()
