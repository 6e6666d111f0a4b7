"""Unlabelled batches in, reconstruction loss out: masked pretraining of every modality (MAE, Point-MAE, VideoMAE, AudioMAE).

One implementation; what differs between modalities is a `MaskedTarget`: which tokens are hidden together, what is
reconstructed, and how far a reconstruction is off.

Shapes: B batch, N tokens, K kept tokens, M = N - K masked tokens, D embed_dim, E decoder_embed_dim, V values per token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.data.examples import Batch
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import Encoder, Tokenizer, Tokens, build_blocks, gather_tokens, initialise_linear, layer_norm
from benchmark.spec.recipes import ModelShape


class MaskedTarget(nn.Module):
    """What one modality reconstructs. Subclasses set `num_values` (V)."""

    num_values: int
    mask_group: int = 1  # tokens of equal noise, hidden together; both K and M are multiples of it

    def mask_noise(self, tokens: Tokens, random: SampleRandom) -> Tensor:
        """(B, N); the tokens of lowest noise are kept. Equal noise along an axis masks tubes."""
        return random.uniform("mask", tokens.embedded.shape[1])

    def decoder_position(self, tokens: Tokens) -> Tensor:
        """(B or 1, N, E)"""
        raise TypeError(f"{type(self).__name__} does not define decoder_position")

    def target(self, tokens: Tokens, ids_masked: Tensor) -> Tensor:
        """(B, M, V), of the tokens at `ids_masked` (B, M); without gradient"""
        raise TypeError(f"{type(self).__name__} does not define target")

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar, over masked tokens only; both (B, M, V). Mean squared error unless overridden."""
        return nn.functional.mse_loss(prediction, target)


def normalise_per_token(target: Tensor, eps: float = 1e-6) -> Tensor:
    """MAE's norm_pix_loss: (x - mean) / sqrt(unbiased variance + eps) along the last axis.

    As a layer norm with the biased variance, which is far faster: eps and the result are rescaled to match.
    """
    values = target.shape[-1]
    biased = (values - 1) / values
    normalised: Tensor = nn.functional.layer_norm(target, (values,), eps=eps * biased) * biased**0.5
    return normalised


def random_masking(noise: Tensor, mask_ratio: float, group: int = 1) -> tuple[Tensor, Tensor]:
    """(B, N) noise -> ids_keep (B, K), ids_masked (B, M), each ascending. K is the integer part of N (1 - mask_ratio).

    Where tokens share their noise in groups (tubes) of size `group`, whole groups are counted, kept and hidden.
    """
    num_keep = int(noise.shape[1] // group * (1 - mask_ratio) + 1e-6) * group
    if not 0 < num_keep < noise.shape[1]:
        raise ValueError(f"mask_ratio {mask_ratio} keeps {num_keep} of {noise.shape[1]} tokens; both sides need one")
    order = noise.argsort(dim=1, stable=True)
    return order[:, :num_keep].sort(1).values, order[:, num_keep:].sort(1).values


class MaskedAutoencoder(nn.Module):
    """Encoder over visible tokens, light decoder over all, loss on the hidden ones (He et al., CVPR 2022)."""

    def __init__(self, tokenizer: Tokenizer, target: MaskedTarget, shape: ModelShape, drop_path_rate: float = 0.0):
        super().__init__()
        self.encoder = Encoder(tokenizer, shape, drop_path_rate=drop_path_rate)
        self.target = target
        width = shape.decoder_embed_dim
        self.decoder_embed = nn.Linear(shape.embed_dim, width) if width != shape.embed_dim else nn.Identity()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder_blocks = build_blocks(width, shape.decoder_depth, shape.decoder_num_heads, shape.mlp_ratio,
                                           shape.qkv_bias, init_std=shape.init_std, norm_eps=shape.norm_eps)
        self.decoder_norm = layer_norm(shape.norm_eps)(width)
        self.decoder_pred = nn.Linear(width, target.num_values)
        nn.init.normal_(self.mask_token, std=0.02)
        for layer in (self.decoder_embed, self.decoder_pred):
            if isinstance(layer, nn.Linear):
                initialise_linear(layer)

    def forward(self, batch: Batch, random: SampleRandom, mask_ratio: float) -> Tensor:
        """A prepared batch -> scalar loss over its masked tokens"""
        tokens = self.encoder.tokenizer(batch)
        noise = self.target.mask_noise(tokens, random)
        ids_keep, ids_masked = random_masking(noise, mask_ratio, self.target.mask_group)
        prediction = self.reconstruct(tokens, ids_keep, ids_masked)
        return self.target.loss(prediction, self.target.target(tokens, ids_masked))

    def reconstruct(self, tokens: Tokens, ids_keep: Tensor, ids_masked: Tensor) -> Tensor:
        """(B, M, V): the decoder's values for the tokens at `ids_masked`"""
        features = self.encoder.encode(tokens, ids_keep)
        num_prefix = features.num_prefix_tokens
        x = self.decoder_embed(features.sequence)
        batch_size, num_masked = ids_masked.shape
        position = self.target.decoder_position(tokens)
        # Attention does not see order, so the sequence stays prefix, visible, masked; positions say where each belongs.
        position = torch.cat([position.new_zeros(batch_size, num_prefix, position.shape[-1]),
                              gather_tokens(position, ids_keep), gather_tokens(position, ids_masked)], 1)
        x = torch.cat([x, self.mask_token.to(x.dtype).expand(batch_size, num_masked, -1)], 1)
        every_block = self.encoder.tokenizer.position_every_block
        if not every_block:
            x = x + position
        for block in self.decoder_blocks:
            x = block(x + position if every_block else x)
        prediction: Tensor = self.decoder_pred(self.decoder_norm(x[:, -num_masked:]))
        return prediction
