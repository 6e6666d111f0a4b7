"""Examples in memory: arrays of one split in, batches out. Imported without torch, as digests of data are read."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from benchmark.data.seeds import SampleRandom
    from benchmark.spec.recipes import ModelShape, OptimRecipe

Batch: TypeAlias = "dict[str, Tensor]"


class Examples:
    """One split as named tensors with a common first axis; "input" and, where there are labels, "label" among them."""

    note: str = ""  # what readers of a result should know, such as a share of files that is missing

    def __init__(self, columns: Mapping[str, Tensor]):
        lengths = {name: len(column) for name, column in columns.items()}
        if "input" not in columns or len(set(lengths.values())) != 1:
            raise ValueError(f"a split needs a column 'input' and columns of one length, got {lengths}")
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(self.columns["input"])

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The samples at `indices` (B,), with their positions under "index"."""
        batch = {name: column[indices].to(device) for name, column in self.columns.items()}
        batch["index"] = indices.to(device)
        return batch

    def unlabelled(self) -> Self:
        """The inputs alone"""
        return self._with({"input": self.columns["input"]})

    def _with(self, columns: Mapping[str, Tensor]) -> Self:
        """The same source with other columns"""
        other = copy.copy(self)
        other.columns = dict(columns)
        return other

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """The samples to read for a model of `shape` under `recipe`; a source that cuts or alters as it reads overrides it."""
        return self

    def remaining(self, strengths: Mapping[str, float]) -> Mapping[str, float]:
        """The augmentations that are left to the task, after those that reading itself has done"""
        return strengths

    def stream(self, chosen: Sequence[Tensor], device: torch.device | str = "cpu",
               draw: Callable[[Tensor], SampleRandom] | None = None) -> Iterator[Batch]:
        """A batch for each of `chosen` (B,), in order; a source that reads files overrides it, and reads ahead.

        `draw` gives the random numbers of a batch from its indices, to sources that alter what they read.
        """
        return (self.batch(indices, device) for indices in chosen)

    def odd_input(self, batch: Batch) -> str:
        """One line on the first input of a batch that has NaN or infinity; "" where there is none."""
        odd = batch["index"][~batch["input"].reshape(len(batch["index"]), -1).isfinite().all(1)].tolist()
        return f"the input of {self.called(odd[0])} has NaN or infinity; correct it, or leave it out" if odd else ""

    def called(self, place: int) -> str:
        """What a user finds the sample at `place` by; of a source that reads files, its path"""
        return f"sample {place} of {len(self)}, counted from 0,"

    def labelled(self, share: float, shuffle: bool, random: torch.Generator) -> Self:
        """A `share` of the samples, with labels dealt out anew where `shuffle` is set.

        Of every class, where samples have one ("category", or "label" of one number), at least one sample is kept; shares
        of one `random` are nested.
        """
        import torch

        order = torch.randperm(len(self), generator=random)
        columns = self.columns
        if shuffle:
            columns = columns | {name: column[order] for name, column in columns.items() if name == "label"}
        if share == 1:
            return self._with(columns)
        classes = self.columns.get("category", self.columns["label"])
        if classes.ndim > 1 or classes.is_floating_point():
            classes = torch.zeros(len(self), dtype=torch.int64)
        ranked = [order[classes[order] == value] for value in classes.unique()]
        chosen = torch.cat([members[: math.ceil(share * len(members))] for members in ranked]).sort().values
        return self._with({name: column[chosen] for name, column in columns.items()})

    def repeated(self, count: int) -> Self:
        """`count` samples: these in their order, again and again. Each has a position, and so random numbers, of its own."""
        import torch

        again = torch.arange(count) % len(self)
        return self._with({name: column[again] for name, column in self.columns.items()})

    def take(self, limit: int | None) -> Self:
        """At most `limit` samples, spread evenly over the split so that every class stays present."""
        import torch

        if limit is None or limit >= len(self):
            return self
        chosen = torch.linspace(0, len(self) - 1, limit, dtype=torch.float64).round().long()
        return self._with({name: column[chosen] for name, column in self.columns.items()})
