"""A model and blocks of another in, how far its features are from what these make of its tokens out. Imports torch."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, mse_loss

from benchmark.data.seeds import generator

if TYPE_CHECKING:
    from benchmark.model.encoder import Features, TransformerModel


class Teacher(nn.Module):
    """A copy of blocks, which does not train, and a linear map that does, from a model's features to theirs, of one width.

    The map has a stream of its own, so that what blocks are made of does not shift it.
    """

    def __init__(self, blocks: nn.ModuleList, random: torch.Generator):
        super().__init__()
        self.blocks = copy.deepcopy(blocks).requires_grad_(False)
        (width,) = blocks[0].get_parameter("norm1.weight").shape
        self.map = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.map.weight, generator=generator(random.initial_seed(), "map"))
        nn.init.zeros_(self.map.bias)

    def train(self, mode: bool = True) -> Teacher:
        """The map alone: blocks drop no paths."""
        super().train(mode)
        self.blocks.eval()
        return self

    def forward(self, model: TransformerModel, features: Features, ids_keep: Tensor | None) -> Tensor:
        """The mean squared error of mapped features and the teacher's, (B, P+N, D), both normalised token by token.

        Tokens are the model's own, as its tokenizer makes them now; through the teacher no gradient reaches it.
        """
        with torch.no_grad():
            *_, taught = model.through(self.blocks, features.tokens, ids_keep)
        own: Tensor = self.map(features.sequence)
        return mse_loss(layer_norm(own, own.shape[-1:]), layer_norm(taught, taught.shape[-1:]))
