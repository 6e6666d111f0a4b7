"""Clouds of all classes in, those of one fold of few-shot classification out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import torch

from benchmark.data.embedded import DataError
from benchmark.data.examples import Examples
from benchmark.data.seeds import generator
from benchmark.spec.recipes import SPLITS, Split

if TYPE_CHECKING:
    from benchmark.spec.recipes import ModelShape, OptimRecipe


class Folds(Examples):
    """A split of all folds, and of the one that the strength "fold" of a recipe chooses once it is configured."""

    def __init__(self, whole: Mapping[Split, Examples], split: Split, way: int, shot: int):
        super().__init__(whole[split].columns)
        self.whole, self.split, self.way, self.shot, self.note = whole, split, way, shot, whole[split].note
        self.limit: int | None = None
        self.chosen = False

    def take(self, limit: int | None) -> Self:
        """At most so many samples of the fold, before it is chosen or after"""
        if self.chosen:
            return super().take(limit)
        other = self._with(self.columns)
        other.limit = limit
        return other

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """Raises `ValueError` where the recipe names no fold, or takes a part of the labels or deals them out anew."""
        if any(column is not self.whole[self.split].columns[name] for name, column in self.columns.items()):
            raise ValueError("a fold has few labels already: label_share and shuffle_labels do not fit it")
        fold = recipe.augment.get("fold", -1)
        if fold < 0 or fold % 1:
            raise ValueError(f"recipe.augment.fold={fold:g} names no fold; expected 0 to 9")
        other = self._with(few_shot(self.whole, self.way, self.shot, int(fold))[self.split].take(self.limit).columns)
        other.chosen = True
        return other

    def remaining(self, strengths: Mapping[str, float]) -> Mapping[str, float]:
        """All but the fold"""
        return {name: value for name, value in strengths.items() if name != "fold"}


def few_shot(splits: Mapping[Split, Examples], way: int, shot: int, fold: int, queries: int = 20) -> dict[Split, Examples]:
    """One fold of few-shot classification: `way` random classes, `shot` training samples and `queries` test samples of each.

    Classes are numbered anew from 0. As in Point-BERT's ten folds, training samples come from the training split and test
    samples from the test split; validation is `queries` others of each class from the training split. The same for the
    same arguments; raises `DataError` where there are too few classes, or too few samples of one.
    """
    random = generator(0, "few-shot", way, shot, fold)
    classes = splits["test"].columns["label"].unique()
    if not 2 <= way <= len(classes) or shot < 1 or queries < 1:
        raise DataError(f"cannot choose {way} classes of {len(classes)} and {shot} and {queries} samples of each")
    chosen = classes[torch.randperm(len(classes), generator=random)[:way]]
    places: dict[Split, list[torch.Tensor]] = {split: [] for split in SPLITS}
    for value in chosen:
        wanted: tuple[tuple[Split, int], ...] = (("train", shot + queries), ("test", queries))
        for source, count in wanted:
            members = (splits[source].columns["label"] == value).nonzero()[:, 0]
            if len(members) < count:
                raise DataError(f"class {int(value)} has {len(members)} samples in {source}; a fold needs {count}")
            drawn = members[torch.randperm(len(members), generator=random)[:count]]
            if source == "train":
                places["train"].append(drawn[:shot])
                places["val"].append(drawn[shot:])
            else:
                places["test"].append(drawn)
    fold_of: dict[Split, Examples] = {}
    for split in SPLITS:
        columns = splits["test" if split == "test" else "train"].columns
        columns = {name: column[torch.cat(places[split])] for name, column in columns.items()}
        label = torch.arange(way).repeat_interleave(torch.tensor([len(part) for part in places[split]]))
        fold_of[split] = Examples({**columns, "label": label})
    return fold_of
