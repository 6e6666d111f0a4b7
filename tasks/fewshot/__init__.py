"""Few-shot classification of shapes: ModelNet40's clouds of few classes and few samples in, the class out.

At paper scale only. A run's seed s is trained and tested on fold s % 10, so that ten seeds are the ten folds, and arms
are paired by fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from benchmark.data.examples import Examples
from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import Split
from tasks.fewshot.profiles import FIVE_WAY, TEN_WAY
from tasks.modelnet import ModelNet


class FewShot(ModelNet):
    """`way` classes, `shot` training samples of each; see `tasks.fewshot.folds`."""

    name = "modelnet-5way-10shot"
    summary = "classification of 3-D shapes, 5 classes, 10 samples of each, ten folds (ModelNet40)"
    way, shot = 5, 10
    sources = frozenset({"ModelNet"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"paper": FIVE_WAY}

    def load(self, profile: str) -> dict[Split, Examples]:
        """The fold is chosen by the recipe, when the splits are configured."""
        from tasks.fewshot.folds import Folds

        whole = super().load(profile)
        return {split: Folds(whole, split, self.way, self.shot) for split in whole}


class FiveWay20(FewShot):
    name = "modelnet-5way-20shot"
    summary = "classification of 3-D shapes, 5 classes, 20 samples of each, ten folds (ModelNet40)"
    shot = 20


class TenWay10(FewShot):
    name = "modelnet-10way-10shot"
    summary = "classification of 3-D shapes, 10 classes, 10 samples of each, ten folds (ModelNet40)"
    way = 10
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"paper": TEN_WAY}


class TenWay20(TenWay10):
    name = "modelnet-10way-20shot"
    summary = "classification of 3-D shapes, 10 classes, 20 samples of each, ten folds (ModelNet40)"
    shot = 20


TASKS = (FewShot(), FiveWay20(), TenWay10(), TenWay20())
