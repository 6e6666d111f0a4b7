"""Video classification: Kinetics-400 at paper scale, actions of animated characters from five games embedded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import ModelShape, Setting
from tasks.kinetics.profiles import PAPER, SMALL, TINY
from tasks.pixels import PixelClassification

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.examples import Batch
    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import Head
    from benchmark.model.mae import MaskedTarget
    from benchmark.model.patches import PatchTokenizer


class Kinetics(PixelClassification):
    """ViT over tubelets, no class token: mean of tokens -> LayerNorm -> linear; pretrained as VideoMAE (tube masking).
    The tubelets of profile tiny are as long as its clips, so that there every mask is one of tubes.

    Test views are windows in time and space; the embedded clips are one window, seen as they are, mirrored and moved.
    """

    name = "kinetics"
    summary = "video classification: Kinetics-400; embedded: 6 actions of game characters"
    modality = "video"
    sources = frozenset({"Battle for Wesnoth", "Widelands", "Flare: Empyrean Campaign", "FreedroidRPG",
                         "Seven Kingdoms"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}

    def tokenizer(self, shape: ModelShape) -> PatchTokenizer:
        from benchmark.model.patches import PatchTokenizer

        return PatchTokenizer(shape, class_token=False, flat_position=True)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        from benchmark.model.classification import MeanPoolHead, ProbeHead

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes)
        return MeanPoolHead(shape.embed_dim, num_classes, norm_eps=shape.norm_eps)

    def views(self, batch: Batch, shape: ModelShape, counts: Mapping[str, int]) -> Iterator[Batch]:
        """Those of `view_windows`, each of them also moved: "shift" n (odd) is n places along either axis."""
        shifts = counts.get("shift", 1)
        if shifts % 2 == 0:
            raise ValueError(f"test_views {dict(counts)}: shift is odd, so that one place is the clip's own")
        for view in super().views(batch, shape, {kind: count for kind, count in counts.items() if kind != "shift"}):
            for moved in moved_by(view["input"], shifts // 2):
                yield {**view, "input": moved}

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        from benchmark.model.patches import PixelTarget

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


def moved_by(clips: Tensor, most: int) -> Iterator[Tensor]:
    """Clips (B, C, T, H, W) as they are, then moved by up to `most` steps, each a sixteenth of the side; edges repeat."""
    from torch.nn.functional import pad

    height, width = clips.shape[-2:]
    down, across = (max(1, side // 16) for side in (height, width))
    wide = pad(clips, (most * across, most * across, most * down, most * down, 0, 0), mode="replicate")
    places = itertools.product(range(2 * most + 1), repeat=2)
    for row, column in sorted(places, key=lambda place: place != (most, most)):  # what looks at one view sees the clip itself
        yield wide[..., row * down : row * down + height, column * across : column * across + width]


TASK = Kinetics()
SINGLE_FRAME = SingleFrame()
