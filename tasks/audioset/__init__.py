"""Sounds in, tags out: AudioSet-20K at paper scale, clips of game sound and instrument notes where data is embedded.

Shapes: B batch, F frames, M mel bins, C classes.
"""

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

_CLIP_AUGMENT = {"gain_db": 6.0, "roll": 0.25, "time_mask": 12.0, "freq_mask": 12.0}

_TINY_TRAIN = TrainRecipe(epochs=40, batch_size=64, lr=1e-3, min_lr=1e-6, warmup_epochs=4, layer_decay=0.75,
                          drop_path_rate=0.1, mixup=0.8, augment=_CLIP_AUGMENT)
_TINY = ProfileSpec(
    data_sets=("audio_tags",),
    num_classes=38,
    chance=5.67,
    shape=ModelShape(embed_dim=96, depth=4, num_heads=3, input_size=(64, 64), patch_size=(8, 16),
                     decoder_embed_dim=64, decoder_depth=2, decoder_num_heads=4),
    pretrain=PretrainRecipe(epochs=120, batch_size=64, lr=1.5e-3, warmup_epochs=10, mask_ratio=0.75,
                            augment={"gain_db": 6.0, "roll": 0.5}),
    train={
        "pretrained": _TINY_TRAIN,
        "fix": TrainRecipe(epochs=40, batch_size=64, lr=3e-3, warmup_epochs=4, weight_decay=0.0, augment=_CLIP_AUGMENT),
        "scratch": _TINY_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)

_SMALL_TRAIN = TrainRecipe(epochs=60, batch_size=64, lr=1e-3, min_lr=1e-6, warmup_epochs=5, layer_decay=0.75,
                           drop_path_rate=0.1, mixup=0.8, augment=_CLIP_AUGMENT)
_SMALL = ProfileSpec(
    data_sets=_TINY.data_sets,
    num_classes=_TINY.num_classes,
    chance=_TINY.chance,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(64, 64), patch_size=(8, 8),
                     decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
    pretrain=PretrainRecipe(epochs=400, batch_size=64, lr=1e-3, warmup_epochs=20, mask_ratio=0.75,
                            augment={"gain_db": 6.0, "roll": 0.5}),
    train={
        "pretrained": _SMALL_TRAIN,
        "fix": TrainRecipe(epochs=60, batch_size=64, lr=3e-3, warmup_epochs=5, weight_decay=0.0, augment=_CLIP_AUGMENT),
        "scratch": _SMALL_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)

# AudioMAE and M2PT's ft_srun_pathway.sh. Time is rolled as that code means to: for mono sound its roll is always 0.
# It mixes half of the samples, this recipe all of them; its removal of 20 % of the rows and of the columns of patches
# in fine-tuning is not part of this recipe.
_PAPER_TRAIN = TrainRecipe(epochs=60, batch_size=64, lr=2.5e-4, min_lr=1e-6, warmup_epochs=4, weight_decay=5e-4,
                           layer_decay=0.75, drop_path_rate=0.1, mixup=10.0, precision="bf16",
                           augment={"gain_db": 2.0, "roll": 1.0, "time_mask": 192.0, "freq_mask": 48.0})
_PAPER = ProfileSpec(
    data_sets=("audioset_20k",),
    num_classes=527,
    chance=0.4,  # mean number of labels of a clip, about 2, over 527
    shape=ModelShape(input_size=(1024, 128), patch_size=(16, 16), decoder_depth=16),
    pretrain=PretrainRecipe(epochs=33, batch_size=512, lr=4e-4, warmup_epochs=3, weight_decay=1e-4, mask_ratio=0.8,
                            precision="bf16", augment={"gain_db": 2.0, "roll": 1.0}),
    train={
        "pretrained": _PAPER_TRAIN,
        # Not published for audio: MAE's linear probe (lr 0.1 * batch_size / 256), its batch cut to fit 20 000 clips.
        "fix": TrainRecipe(epochs=90, batch_size=1024, lr=0.4, warmup_epochs=10, optimizer="lars", weight_decay=0.0,
                           precision="bf16", augment={"roll": 1.0}),
        "scratch": _PAPER_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)


class AudioSet(Task):
    """Multi-label tagging of spectrograms: patches, class token, mean of patch tokens -> LayerNorm -> Linear.

    Masked pretraining reconstructs normalised patches, hidden without structure, through a decoder of plain blocks with
    global attention, where AudioMAE has 16 Swin blocks.
    """

    name: ClassVar[str] = "audioset"
    summary: ClassVar[str] = "multi-label tagging of sounds (AudioSet-20K; embedded: game sounds and instrument notes)"
    modality: ClassVar[str] = "audio"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mAP"), Metric("classes without positives", unit="classes", higher_is_better=False))
    sources: ClassVar[frozenset[str]] = frozenset({"0 A.D.", "Flare: Empyrean Campaign", "FluidR3 GM"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": _TINY, "small": _SMALL, "paper": _PAPER}

    def data_digests(self, profile: str) -> dict[str, str]:
        """SHA-256 by embedded set; raises `DataError` for the official data, which this version does not read."""
        from benchmark.data import embedded

        self._require_embedded(profile)
        return {name: embedded.check(name)[1] for name in self.profiles[profile].data_sets}

    def load(self, profile: str) -> dict[Split, Examples]:
        """ "input" (N, 64, 64) uint8 as embedded, "label" (N, C) float; raises `DataError` as `data_digests` does."""
        import torch

        from benchmark.contracts import SPLITS
        from benchmark.data import Examples, embedded

        self._require_embedded(profile)
        arrays = embedded.load(self.profiles[profile].data_sets[0])
        return {split: Examples({"input": torch.from_numpy(arrays[f"x_{split}"]),
                                 "label": torch.from_numpy(arrays[f"y_{split}"]).float()}) for split in SPLITS}

    def load_pretraining(self, profile: str) -> Examples:
        """The training split without labels."""
        from benchmark.data import Examples

        return Examples({"input": self.load(profile)["train"].columns["input"]})

    def tokenizer(self, shape: ModelShape) -> Tokenizer:
        """(B, 1, F, M) -> tokens of `patch_size` (frames, mel bins), with a class token"""
        from benchmark.patches import PatchTokenizer

        return PatchTokenizer(shape, in_chans=1)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> nn.Module:
        """Mean of patch tokens -> fc_norm -> Linear, std 2e-5; setting "fix": MAE's probe of the mean patch token"""
        from benchmark.patches import MeanPoolHead, ProbeHead

        head = ProbeHead if setting == "fix" else MeanPoolHead
        return head(shape.embed_dim, num_classes)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        """Values of every hidden patch, normalised patch by patch"""
        from benchmark.patches import PixelTarget

        return PixelTarget(shape, in_chans=1)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """(B, F, M) as stored -> (B, 1, F, M) normalised. Strengths: `tasks.audioset.spectrogram.STRENGTHS`."""
        from tasks.audioset.spectrogram import prepare

        return {**batch, "input": prepare(batch["input"], random, strengths)}

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        """Binary cross-entropy, mean over samples and classes; raises `ValueError` where labels are to be smoothed."""
        import torch

        if recipe.label_smoothing:
            raise ValueError("audioset has no label smoothing: labels are independent yes/no answers; set it to 0")
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), batch["label"])

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, C): every class by itself"""
        return logits.sigmoid()

    def meter(self, profile: str) -> Meter:
        """Mean average precision over all samples of a split"""
        from tasks.audioset.metrics import AveragePrecisionMeter

        return AveragePrecisionMeter()

    def _require_embedded(self, profile: str) -> None:
        from benchmark.data.embedded import DataError

        if profile == "paper":
            raise DataError("audioset: official data sets (profile paper) are not wired up yet in this version; "
                            "use profile tiny or small")


TASK = AudioSet()
