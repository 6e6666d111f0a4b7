"""ModelNet: a point cloud in, its class out. Tiny and small: the embedded shapes; paper: ModelNet40."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.spec.contracts import Meter, Metric, ProfileSpec, Task
from benchmark.spec.recipes import ModelShape, Setting, TrainRecipe
from tasks.modelnet.profiles import PAPER, SMALL, TINY

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.examples import Batch
    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import Head, Tokenizer
    from benchmark.model.mae import MaskedTarget


class ModelNet(Task):
    name = "modelnet"
    summary = "classification of 3-D shapes (ModelNet40; embedded: 21 classes of game and furniture models)"
    modality = "point"
    mixable = False
    metrics = (Metric("accuracy"), Metric("mean class accuracy"))
    sources = frozenset({"0 A.D.", "Sweet Home 3D"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}
    pretrained_by = "shapenet"

    def tokenizer(self, shape: ModelShape) -> Tokenizer:
        """With a class token, which masked pretraining does not have."""
        from benchmark.model.points import PointTokenizer

        return PointTokenizer(shape, class_token=True)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        """Point-MAE's three layers; a linear probe of the same feature in setting "fix"."""
        from benchmark.model.classification import ProbeHead
        from tasks.modelnet.model import PointClassifier, pooled

        return ProbeHead(2 * shape.embed_dim, num_classes, pooled) if setting == "fix" else PointClassifier(shape, num_classes)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        """The modality's: masked neighbourhoods under the Chamfer distance."""
        from benchmark.model.points import ChamferTarget

        return ChamferTarget(shape)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """See `benchmark.model.points.prepare_points`."""
        from benchmark.model.points import prepare_points

        return prepare_points(batch, random, strengths)

    def views(self, batch: Batch, shape: ModelShape, counts: Mapping[str, int]) -> Iterator[Batch]:
        """See `benchmark.model.points.vote_views`; altered as in training."""
        from benchmark.model.points import vote_views

        return vote_views(batch, counts, {"scale": 0.5, "shift": 0.2})

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        from benchmark.model.classification import soft_cross_entropy

        return soft_cross_entropy(logits.float(), batch["label"], recipe.label_smoothing)

    def meter(self, profile: str) -> Meter:
        from tasks.modelnet.model import ClassAccuracyMeter

        return ClassAccuracyMeter(self.profiles[profile].num_classes)


TASK = ModelNet()
