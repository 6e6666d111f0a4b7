"""Images, clips, spectrograms and passages in, patch tokens and pixel targets out.

Shapes: B batch, C channels, S spatial axes ((H, W), (T, H, W), or (L,) of what lies along a line), G grid = S / patch_size,
N = product of G tokens, D embed_dim, E decoder_embed_dim, V = C * product of patch_size values per token.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmark.data.characters import CHARACTERS
from benchmark.data.examples import Batch
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import Tokenizer, Tokens, gather_tokens
from benchmark.model.mae import MaskedTarget, normalise_per_token
from benchmark.spec.recipes import ModelShape


def grid_of(shape: ModelShape) -> tuple[int, ...]:
    """G, the number of patches along every axis; raises `ValueError` where patches do not tile the input."""
    if len(shape.input_size) != len(shape.patch_size):
        raise ValueError(f"input_size {shape.input_size} and patch_size {shape.patch_size} differ in axes")
    if any(size % patch for size, patch in zip(shape.input_size, shape.patch_size, strict=True)):
        raise ValueError(f"patch_size {shape.patch_size} does not divide input_size {shape.input_size}")
    return tuple(size // patch for size, patch in zip(shape.input_size, shape.patch_size, strict=True))


def sincos_position(grid: tuple[int, ...], dim: int, interleaved: bool = False) -> Tensor:
    """(N, dim) fixed sin-cos positions; every axis gets dim / len(grid) channels, the last axis first as in MAE.

    Inside an axis all sines come before all cosines (MAE) or they take turns (`interleaved`: VideoMAE).
    """
    if dim % (2 * len(grid)):
        raise ValueError(f"sin-cos positions of {len(grid)} axes need a width divisible by {2 * len(grid)}, got {dim}")
    half = dim // len(grid) // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    axes = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in grid), indexing="ij")
    channels = []
    for coordinate in reversed(axes):
        angles = coordinate.flatten()[:, None] * frequencies
        waves = torch.stack([angles.sin(), angles.cos()], 2 if interleaved else 1)
        channels.append(waves.flatten(1))
    return torch.cat(channels, 1).float()


def _position(shape: ModelShape, dim: int, flat: bool) -> Tensor:
    """(N, dim)"""
    grid = grid_of(shape)
    return sincos_position((math.prod(grid),), dim, interleaved=True) if flat else sincos_position(grid, dim)


def patchify(x: Tensor, patch_size: tuple[int, ...]) -> Tensor:
    """(B, C, *S) -> (B, N, V); inside a token channels come first, then the axes of the patch, as in weights that embed it."""
    batch_size, channels, *sizes = x.shape
    if len(sizes) != len(patch_size) or any(size % patch for size, patch in zip(sizes, patch_size, strict=True)):
        raise ValueError(f"patches of {patch_size} do not tile an input of {tuple(x.shape)}")
    axes = len(sizes)
    split = [part for size, patch in zip(sizes, patch_size, strict=True) for part in (size // patch, patch)]
    grid_axes, patch_axes = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    x = x.reshape(batch_size, channels, *split).permute(0, *grid_axes, 1, *patch_axes)
    return x.reshape(batch_size, -1, channels * math.prod(patch_size))


class PatchEmbedding(nn.Module):
    """A linear map of every patch, initialised as such (MAE); `proj` holds it as timm does, as a convolution's weights."""

    def __init__(self, in_chans: int, patch_size: tuple[int, ...], embed_dim: int):
        super().__init__()
        if len(patch_size) not in (1, 2, 3):
            raise ValueError(f"patches have 1, 2 or 3 axes, got patch_size {patch_size}")
        self.proj: nn.Conv1d | nn.Conv2d | nn.Conv3d
        if len(patch_size) == 1:
            self.proj = nn.Conv1d(in_chans, embed_dim, patch_size[0], patch_size[0])
        elif len(patch_size) == 2:
            self.proj = nn.Conv2d(in_chans, embed_dim, (patch_size[0], patch_size[1]), (patch_size[0], patch_size[1]))
        else:
            tubelet = (patch_size[0], patch_size[1], patch_size[2])
            self.proj = nn.Conv3d(in_chans, embed_dim, tubelet, tubelet)
        nn.init.xavier_uniform_(self.proj.weight.view(embed_dim, -1))

    def forward(self, patches: Tensor) -> Tensor:
        """(B, N, V) -> (B, N, D)"""
        return nn.functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class PatchTokenizer(Tokenizer):
    """Patch embedding with fixed sin-cos positions; its parameters have timm's names.

    `pos_embed` (1, P+N, D) needs no gradient unless the trainer says so; the class token's position is 0, as in MAE.
    `flat_position` counts tokens along one axis (VideoMAE) instead of giving every axis its channels (MAE).
    """

    def __init__(self, shape: ModelShape, in_chans: int = 3, class_token: bool = True, flat_position: bool = False):
        super().__init__()
        self.expected, self.patch_size = (in_chans, *shape.input_size), shape.patch_size
        self.num_prefix_tokens = int(class_token)
        self.cls_token: nn.Parameter | None = None
        if class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.embed_dim))
            nn.init.normal_(self.cls_token, std=0.02)
        position = _position(shape, shape.embed_dim, flat_position)
        position = torch.cat([position.new_zeros(self.num_prefix_tokens, shape.embed_dim), position])
        self.pos_embed = nn.Parameter(position[None], requires_grad=False)
        self.patch_embed = PatchEmbedding(in_chans, shape.patch_size, shape.embed_dim)

    def forward(self, batch: Batch) -> Tokens:
        """batch["input"] (B, C, *S) -> N tokens, with geometry "patches" (B, N, V)"""
        x = batch["input"]
        if tuple(x.shape[1:]) != self.expected:
            raise ValueError(f"the tokenizer takes inputs of shape (B, {', '.join(map(str, self.expected))}), "
                             f"got {tuple(x.shape)}")
        patches = patchify(x, self.patch_size)
        return Tokens(self.patch_embed(patches), self.pos_embed[:, self.num_prefix_tokens :], {"patches": patches})

    def prefix_tokens(self) -> tuple[Tensor, Tensor]:
        """The class token and its position, both (1, 1, D)."""
        if self.cls_token is None:
            return super().prefix_tokens()
        return self.cls_token, self.pos_embed[:, :1]


class PixelTarget(MaskedTarget):
    """Normalised pixels of every patch (MAE, norm_pix_loss), of tokens whose geometry holds "patches" (B, N, V).

    `per_channel` normalises every channel of a patch by itself (VideoMAE); `tubes` hides a place at all times or never
    (VideoMAE's tube masking; the first axis of the input is time).
    """

    position: Tensor

    def __init__(self, shape: ModelShape, in_chans: int = 3, per_channel: bool = False, tubes: bool = False,
                 flat_position: bool = False):
        super().__init__()
        self.in_chans, self.per_channel = in_chans, per_channel
        self.mask_group = grid_of(shape)[0] if tubes else 1
        self.num_values = math.prod(shape.patch_size) * in_chans
        position = _position(shape, shape.decoder_embed_dim, flat_position)
        self.register_buffer("position", position[None], persistent=False)

    def mask_noise(self, tokens: Tokens, random: SampleRandom) -> Tensor:
        """(B, N), the same at all times where tubes are masked"""
        return random.uniform("mask", tokens.embedded.shape[1] // self.mask_group).repeat(1, self.mask_group)

    def decoder_position(self, tokens: Tokens) -> Tensor:
        """(1, N, E)"""
        return self.position

    @torch.no_grad()
    def target(self, tokens: Tokens, ids_masked: Tensor) -> Tensor:
        """(B, M, V)"""
        patches = gather_tokens(tokens.geometry["patches"], ids_masked)
        return normalise_per_token(patches.unflatten(2, (self.in_chans if self.per_channel else 1, -1))).flatten(2)


class CharacterTarget(PixelTarget):
    """The characters of every patch of a text, whose channels are the kinds of characters: each has a score for every kind, and
    the loss is their cross-entropy, as of hidden words in BERT.
    """

    def __init__(self, shape: ModelShape):
        super().__init__(shape, in_chans=CHARACTERS)

    @torch.no_grad()
    def target(self, tokens: Tokens, ids_masked: Tensor) -> Tensor:
        """(B, M, V), one-hot"""
        return gather_tokens(tokens.geometry["patches"], ids_masked)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar, in nats a character"""
        scores, truth = (values.unflatten(2, (CHARACTERS, -1)).movedim(2, 1) for values in (prediction, target))
        return nn.functional.cross_entropy(scores, truth.to(scores.dtype))
