"""Batches in, features and logits out: one transformer for every modality, made of a tokenizer, timm blocks and a head.

Shapes: B batch, N tokens, P prefix tokens, D embed_dim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmark.data.examples import Batch
from benchmark.spec.recipes import ModelShape

NORM_EPS = 1e-6


def layer_norm(norm_eps: float | None = None) -> Callable[..., nn.LayerNorm]:
    """What makes a LayerNorm of a width, with `norm_eps` of a shape"""
    return partial(nn.LayerNorm, eps=norm_eps or NORM_EPS)


@dataclass
class Tokens:
    """What a tokenizer makes of a batch."""

    embedded: Tensor  # (B, N, D), without position
    position: Tensor  # (B or 1, N, D)
    geometry: dict[str, Tensor] = field(default_factory=dict)  # what heads and targets need, e.g. centres (B, N, 3)


class Tokenizer(nn.Module):
    """Base of the modalities' tokenizers. `forward` maps a batch to `Tokens`.

    One with prefix tokens, such as a class token, sets `num_prefix_tokens` and defines `prefix_tokens`.
    """

    num_prefix_tokens: int = 0
    position_every_block: bool = False  # Point-MAE adds positions again before every block
    added_for_target: tuple[str, ...] = ()  # parameters that masked pretraining does without, e.g. Point-MAE's cls token

    def forward(self, batch: Batch) -> Tokens:
        raise TypeError(f"{type(self).__name__} does not define forward")

    def prefix_tokens(self) -> tuple[Tensor, Tensor]:
        """Tokens and positions to put before the sequence, both (1, P, D)."""
        raise TypeError(f"{type(self).__name__} has no prefix tokens")


@dataclass
class Features:
    """What the blocks make of tokens."""

    sequence: Tensor  # (B, P+N, D), normalised where the head asks for it
    taps: list[Tensor]  # outputs of the blocks that the head asks for, each (B, P+N, D), normalised alike
    num_prefix_tokens: int
    tokens: Tokens

    @property
    def patches(self) -> Tensor:
        """(B, N, D)"""
        return self.sequence[:, self.num_prefix_tokens :]


class Head(nn.Module):
    """Base of heads. `forward(features, batch)` gives logits."""

    normalised: bool = False  # whether the encoder's final LayerNorm comes before the head
    taps: Sequence[int] = ()  # indices of blocks, from 0, whose outputs the head wants
    least_samples: int = 1  # of a micro-batch that it trains on: 2 where a batch norm has one value of each sample

    def forward(self, features: Features, batch: Batch) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not define forward")


def build_blocks(dim: int, depth: int, num_heads: int, mlp_ratio: float, qkv_bias: bool, drop_path_rate: float = 0.0,
                 init_std: float | None = None, norm_eps: float | None = None) -> nn.ModuleList:
    """timm blocks with drop path growing linearly to `drop_path_rate`.

    Linear weights are Xavier uniform as in MAE (`init_std` None) or truncated normal as in Point-MAE; biases are 0.
    """
    from timm.models.vision_transformer import Block  # here, as timm takes longer than torch and plans build no model

    rates = torch.linspace(0, drop_path_rate, depth, device="cpu").tolist()
    blocks = nn.ModuleList(
        Block(dim, num_heads, mlp_ratio, qkv_bias=qkv_bias, drop_path=rate,
              norm_layer=layer_norm(norm_eps))  # type: ignore[arg-type]
        for rate in rates)
    for module in blocks.modules():
        if isinstance(module, nn.Linear):
            initialise_linear(module, init_std)
    return blocks


def write_out_attention(model: nn.Module) -> None:
    """Let attention be computed in parts instead of by torch's fused function."""
    from timm.models.vision_transformer import Attention

    for module in model.modules():
        if isinstance(module, Attention):
            module.fused_attn = False  # type: ignore[misc]


@torch.no_grad()
def draw_weight(weight: Tensor, std: float | None, random: torch.Generator | None = None) -> Tensor:
    """Draw a weight of blocks as they begin, in place: Xavier uniform, or with `std` truncated normal; returns it.

    Without `random` from torch's own stream, which the engine has seeded. Normal weights are cut at six deviations, where
    there are none: timm's function, cut at 2 as it comes, sets one number in 2^24 to that, a hundred deviations
    (findings/timm_trunc_normal_outliers.sh).
    """
    if std is None:
        return nn.init.xavier_uniform_(weight, generator=random)
    ends = {"a": -6 * std, "b": 6 * std}
    if random is not None:
        return nn.init.trunc_normal_(weight, std=std, generator=random, **ends)
    from timm.layers import trunc_normal_

    drawn: Tensor = trunc_normal_(weight, std=std, **ends)
    return drawn


def initialise_linear(linear: nn.Linear, std: float | None = None) -> None:
    draw_weight(linear.weight, std)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


class Encoder(nn.Module):
    """Tokenizer and blocks: what masked pretraining leaves behind. `norm` is Identity where the head normalises itself."""

    init_std: float | None = None  # of the shape: what arms draw anew begins as its blocks do
    checkpoint_blocks = False  # set it to keep no activations inside blocks while training, and compute them again

    def __init__(self, tokenizer: Tokenizer, shape: ModelShape, final_norm: bool = True, drop_path_rate: float = 0.0):
        super().__init__()
        self.tokenizer = tokenizer
        self.init_std = shape.init_std
        self.blocks = build_blocks(shape.embed_dim, shape.depth, shape.num_heads, shape.mlp_ratio, shape.qkv_bias,
                                   drop_path_rate, shape.init_std, shape.norm_eps)
        self.norm = layer_norm(shape.norm_eps)(shape.embed_dim) if final_norm else nn.Identity()

    def encode(self, tokens: Tokens, ids_keep: Tensor | None = None, taps: Sequence[int] = ()) -> Features:
        """Run the blocks over all tokens, or over those at `ids_keep` (B, K) only."""
        outputs = []
        for index, x in enumerate(self.through(self.blocks, tokens, ids_keep)):
            if index in taps:
                outputs.append(self.norm(x))
        return Features(self.norm(x), outputs, self.tokenizer.num_prefix_tokens, tokens)

    def through(self, blocks: nn.ModuleList, tokens: Tokens, ids_keep: Tensor | None = None) -> Iterator[Tensor]:
        """The output (B, P+N, D) of each of `blocks`, the encoder's own or those of another, over the tokens."""
        x, position = tokens.embedded, tokens.position
        if ids_keep is not None:
            x, position = gather_tokens(x, ids_keep), gather_tokens(position, ids_keep)
        if self.tokenizer.num_prefix_tokens:
            prefix, prefix_position = self.tokenizer.prefix_tokens()
            x = torch.cat([prefix.expand(len(x), -1, -1), x], 1)
            position = torch.cat([prefix_position.expand(len(position), -1, -1), position], 1)
        every_block = self.tokenizer.position_every_block
        if not every_block:
            x = x + position
        for block in blocks:
            x = x + position if every_block else x
            x = checkpoint(block, x, use_reentrant=False) if self.checkpoint_blocks and self.training else block(x)
            yield x


def gather_tokens(x: Tensor, ids: Tensor) -> Tensor:
    """(B or 1, N, D), (B, K) -> (B, K, D)"""
    if len(x) > 1:  # rows are selected from one long list, far faster than an index for each of their values
        ids = ids + torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    return x.flatten(0, 1).index_select(0, ids.flatten()).view(*ids.shape, x.shape[-1])


class TransformerModel(Encoder):
    """An encoder with a head: `forward` maps a prepared batch to logits.

    Where a batch names tokens under "ids_keep" (B, K), as an augmentation that drops some does, the blocks see these only.
    """

    inputs: Batch | None = None  # while an arm builds: training inputs, where it asks for some

    def __init__(self, tokenizer: Tokenizer, head: Head, shape: ModelShape, drop_path_rate: float = 0.0):
        super().__init__(tokenizer, shape, head.normalised, drop_path_rate)
        self.head = head

    def forward_features(self, batch: Batch) -> Features:
        """What the head is given."""
        return self.encode(self.tokenizer(batch), batch.get("ids_keep"), taps=self.head.taps)

    def forward(self, batch: Batch) -> Tensor:
        logits: Tensor = self.head(self.forward_features(batch), batch)
        return logits
