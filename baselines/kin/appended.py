"""A last block in, the same with a frozen block behind it out: B(x) becomes F2(C(F1(B(x)))). Imports torch."""

import torch
from torch import Tensor, nn

from benchmark.data.seeds import generator


class Appended(nn.Sequential):
    """F1 and F2, linear layers of one width that train, and between them C, which does not (None: nothing).

    F1 and F2 have a stream of their own, so that what C is made of shifts neither.
    """

    def __init__(self, width: int, frozen: nn.Module | None, random: torch.Generator):
        first, second = nn.Linear(width, width), nn.Linear(width, width)
        own = generator(random.initial_seed(), "added")
        for linear in (first, second):
            nn.init.xavier_uniform_(linear.weight, generator=own)
            nn.init.zeros_(linear.bias)
        super().__init__(first, *([] if frozen is None else [frozen.requires_grad_(False)]), second)
        self.alone = torch.zeros(0)  # trained one by one: stacks of models do not know what is behind a block

    def train(self, mode: bool = True) -> "Appended":
        """F1 and F2 alone: C drops no paths, whatever the recipe of the model that it is taken from."""
        super().train(mode)
        for frozen in list(self)[1:-1]:
            frozen.eval()
        return self


def append(last: nn.Module, frozen: nn.Module | None, random: torch.Generator) -> None:
    """Held by the last block as `added`, so that no layer of the plain model gets another name."""
    (width,) = last.get_parameter("norm1.weight").shape
    last.add_module("added", Appended(width, frozen, random))
    last.register_forward_hook(_through_added)


def _through_added(last: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    behind: Tensor = last.get_submodule("added")(output)
    return behind
