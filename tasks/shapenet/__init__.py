"""ShapeNet: a point cloud and its category in, a part for every point out; also the pretraining of all point tasks.

Tiny and small: the embedded parts; paper: ShapeNetPart, pretraining on ShapeNet-55.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.spec.contracts import Meter, Metric, ProfileSpec, Task
from benchmark.spec.recipes import ModelShape, Setting, TrainRecipe
from tasks.shapenet.profiles import PAPER, SMALL, TINY

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.examples import Batch
    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import Head, Tokenizer
    from benchmark.model.mae import MaskedTarget

# First part of each category and the end, by the number of parts: the embedded set, ShapeNetPart.
PART_OFFSETS: Mapping[int, tuple[int, ...]] = {
    49: (0, 7, 15, 21, 27, 33, 39, 44, 49),
    50: (0, 4, 6, 8, 12, 16, 19, 22, 24, 28, 30, 36, 38, 41, 44, 47, 50),
}


class ShapeNet(Task):
    name = "shapenet"
    summary = "part segmentation of 3-D shapes (ShapeNetPart; embedded: 49 parts of 8 categories of game models)"
    modality = "point"
    mixable = False
    metrics = (Metric("instance mIoU"), Metric("class mIoU"))
    sources = frozenset({"0 A.D."})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}

    def tokenizer(self, shape: ModelShape) -> Tokenizer:
        from benchmark.model.points import PointTokenizer

        return PointTokenizer(shape)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        """The same in every setting: in "fix" it trains whole on the frozen taps, as no linear probe makes parts."""
        from tasks.shapenet.model import PartSegmenter

        return PartSegmenter(shape, num_classes, len(PART_OFFSETS[num_classes]) - 1)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        """Masked neighbourhoods under the Chamfer distance."""
        from benchmark.model.points import ChamferTarget

        return ChamferTarget(shape)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """See `benchmark.model.points.prepare_points`."""
        from benchmark.model.points import prepare_points

        return prepare_points(batch, random, strengths)

    def views(self, batch: Batch, shape: ModelShape, counts: Mapping[str, int]) -> Iterator[Batch]:
        """See `benchmark.model.points.vote_views`; altered as in training."""
        from benchmark.model.points import vote_views

        return vote_views(batch, counts, {"isotropic_scale": 0.25, "shift": 0.1})

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        """(B, N, parts) logits, labels (B, N). Negative log-likelihood over the parts of all categories."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits.float().flatten(0, 1), batch["label"].flatten(),
                             label_smoothing=recipe.label_smoothing)

    def outputs(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """(B, N, parts) -> whether each point gets the right part, of those of its category"""
        from tasks.shapenet.model import correct_points

        return {"correct": correct_points(logits, batch, PART_OFFSETS[logits.shape[-1]])}

    def meter(self, profile: str) -> Meter:
        from tasks.shapenet.model import PartMeter

        return PartMeter(PART_OFFSETS[self.profiles[profile].num_classes])


TASK = ShapeNet()
