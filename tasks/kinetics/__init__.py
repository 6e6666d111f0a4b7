"""Video classification: Kinetics-400 at paper scale, actions of animated characters from five games embedded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.contracts import ProfileSpec
from benchmark.recipes import ModelShape, Setting
from tasks.kinetics.profiles import PAPER, SMALL, TINY
from tasks.pixels import PixelClassification

if TYPE_CHECKING:
    from benchmark.data import Batch
    from benchmark.encoder import Head
    from benchmark.mae import MaskedTarget
    from benchmark.patches import PatchTokenizer
    from benchmark.seeds import SampleRandom


class Kinetics(PixelClassification):
    """ViT over tubelets, no class token: mean of tokens -> LayerNorm -> linear; pretrained as VideoMAE (tube masking).
    The tubelets of profile tiny are as long as its clips, so that there every mask is one of tubes.

    Test views are windows in time and space; the embedded clips are one window long, seen as they are and mirrored.
    """

    name = "kinetics"
    summary = "video classification: Kinetics-400; embedded: 6 actions of game characters"
    modality = "video"
    sources = frozenset({"Battle for Wesnoth", "Widelands", "Flare: Empyrean Campaign", "FreedroidRPG",
                         "Seven Kingdoms"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}

    def tokenizer(self, shape: ModelShape) -> PatchTokenizer:
        from benchmark.patches import PatchTokenizer

        return PatchTokenizer(shape, class_token=False, flat_position=True)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        from benchmark.classification import MeanPoolHead, ProbeHead

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes)
        return MeanPoolHead(shape.embed_dim, num_classes)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        from benchmark.patches import PixelTarget

        return PixelTarget(shape, per_channel=True, tubes=True, flat_position=True)


class SingleFrame(Kinetics):
    """`kinetics` with every frame replaced by the middle one: what is known without motion."""

    name = "kinetics-frame"
    summary = "control of kinetics: the middle frame in place of the clip"
    pretrained_by = "kinetics"

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        return super().augment(self._still(batch), random, strengths)

    def views(self, batch: Batch, shape: ModelShape, counts: Mapping[str, int]) -> Iterator[Batch]:
        """Windows of the one frame that is shown, wherever they lie in time."""
        return super().views(self._still(batch), shape, counts)

    @staticmethod
    def _still(batch: Batch) -> Batch:
        clip = batch["input"]
        middle = clip.shape[2] // 2
        return {**batch, "input": clip[:, :, middle : middle + 1].expand_as(clip)}


TASK = Kinetics()
SINGLE_FRAME = SingleFrame()
