"""ModelNet: a point cloud in, its class out. Tiny and small: the embedded shapes; paper: ModelNet40."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.contracts import Meter, Metric, ProfileSpec, Split, Task
from benchmark.recipes import ModelShape, PretrainRecipe, Setting, TrainRecipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmark.data import Batch, Examples
    from benchmark.encoder import Tokenizer
    from benchmark.mae import MaskedTarget
    from benchmark.seeds import SampleRandom

SET = "pointcloud_cls"
AUGMENT = {"points": 512, "scale": 0.5, "shift": 0.2}
TINY_AUGMENT = {**AUGMENT, "points": 256}
UNUSED_PRETRAIN = PretrainRecipe(epochs=1, batch_size=128, lr=1e-3, mask_ratio=0.6)  # shapenet pretrains for points

_TINY_TRAIN = TrainRecipe(epochs=40, batch_size=64, lr=1e-3, warmup_epochs=4, clip_norm=10, augment=TINY_AUGMENT)
TINY = ProfileSpec(
    data_sets=(SET,), num_classes=21, chance=10.6,
    shape=ModelShape(embed_dim=96, depth=4, num_heads=3, input_size=(256,), patch_size=(16, 16), tokenizer_dim=16,
                     hidden_dim=64, decoder_embed_dim=96, decoder_depth=2, decoder_num_heads=3),
    pretrain=UNUSED_PRETRAIN,
    train={"pretrained": _TINY_TRAIN, "scratch": _TINY_TRAIN,
           "fix": TrainRecipe(epochs=40, batch_size=64, lr=1e-2, warmup_epochs=2, weight_decay=0,
                              augment=TINY_AUGMENT)})

_SMALL_TRAIN = TrainRecipe(epochs=100, batch_size=64, lr=5e-4, warmup_epochs=10, clip_norm=10, drop_path_rate=0.1,
                           augment=AUGMENT)
SMALL = ProfileSpec(
    data_sets=(SET,), num_classes=21, chance=10.6,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(512,), patch_size=(64, 16), tokenizer_dim=64,
                     hidden_dim=128, decoder_embed_dim=192, decoder_depth=2, decoder_num_heads=6),
    pretrain=UNUSED_PRETRAIN,
    train={"pretrained": _SMALL_TRAIN, "scratch": _SMALL_TRAIN,
           "fix": TrainRecipe(epochs=100, batch_size=64, lr=1e-2, warmup_epochs=5, weight_decay=0, augment=AUGMENT)})

# Point-MAE's recipe. Its clouds are stored in farthest-point order, so "farthest 1200, then a random 1024 of them" is a
# random 1024 of the first 1200, and the farthest 1024 of the test are the first 1024. One vote; twelve heads with bias.
_PAPER_TRAIN = TrainRecipe(epochs=300, batch_size=32, lr=5e-4, min_lr=1e-6, warmup_epochs=10, clip_norm=10,
                           drop_path_rate=0.1, augment={"pool": 1200, "points": 1024, "scale": 0.5, "shift": 0.2})
PAPER = ProfileSpec(
    data_sets=("ModelNet40",), num_classes=40, chance=4.05,  # 100 of 2,468
    shape=ModelShape(input_size=(1024,), patch_size=(64, 32), tokenizer_dim=128, hidden_dim=256, decoder_embed_dim=768,
                     decoder_depth=4, decoder_num_heads=12),
    pretrain=UNUSED_PRETRAIN,
    train={"pretrained": _PAPER_TRAIN, "fix": _PAPER_TRAIN.model_copy(update={"weight_decay": 0.0}),
           "scratch": _PAPER_TRAIN})


class ModelNet(Task):
    name = "modelnet"
    summary = "classification of 3-D shapes (ModelNet40; embedded: 21 classes of game and furniture models)"
    modality = "point"
    metrics = (Metric("accuracy"), Metric("mean class accuracy"))
    sources = frozenset({"0 A.D.", "Sweet Home 3D"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}
    pretrained_by = "shapenet"

    def data_digests(self, profile: str) -> dict[str, str]:
        """SHA-256 of the embedded set; raises `DataError` where it is missing, damaged or official."""
        from benchmark.data import embedded
        from tasks.modelnet.data import require_embedded

        require_embedded(profile)
        return {SET: embedded.check(SET)[1]}

    def load(self, profile: str) -> dict[Split, Examples]:
        """ "input" (1024, 3) int8, "label"; raises `DataError` under "paper"."""
        from tasks.modelnet.data import load, require_embedded

        require_embedded(profile)
        return load()

    def load_pretraining(self, profile: str) -> Examples:
        """shapenet pretrains for the modality; raises `ValueError`."""
        raise ValueError("modelnet has no pretraining of its own: it starts from that of shapenet")

    def tokenizer(self, shape: ModelShape) -> Tokenizer:
        """With a class token, which masked pretraining does not have."""
        from benchmark.points import PointTokenizer

        return PointTokenizer(shape, class_token=True)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> nn.Module:
        """Point-MAE's three layers; a linear probe of the same feature in setting "fix"."""
        from tasks.modelnet.model import PointClassifier, PointProbe

        return PointProbe(shape, num_classes) if setting == "fix" else PointClassifier(shape, num_classes)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        """The modality's: masked neighbourhoods under the Chamfer distance."""
        from benchmark.points import ChamferTarget

        return ChamferTarget(shape)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """See `benchmark.points.prepare_points`."""
        from benchmark.points import prepare_points

        return prepare_points(batch, random, strengths)

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        """(B, C) logits; labels (B,) or probabilities (B, C). Cross entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits.float(), batch["label"], label_smoothing=recipe.label_smoothing)

    def meter(self, profile: str) -> Meter:
        from tasks.modelnet.model import AccuracyMeter

        return AccuracyMeter(self.profiles[profile].num_classes)


TASK = ModelNet()
