"""Patches: positions, embeddings, pixel targets, tube masks and heads agree with independent definitions."""

import math

import pytest
import timm
import torch
from timm.layers import build_sincos2d_pos_embed
from torch import nn

from benchmark.data.seeds import SampleRandom
from benchmark.model.classification import MeanPoolHead, ProbeHead, class_token, mean_of_patches
from benchmark.model.encoder import Features, Tokens, TransformerModel
from benchmark.model.mae import MaskedAutoencoder, normalise_per_token, random_masking
from benchmark.model.patches import PatchTokenizer, PixelTarget, patchify, sincos_position
from benchmark.spec.recipes import ModelShape

IMAGE = ModelShape(embed_dim=48, depth=2, num_heads=3, input_size=(16, 24), patch_size=(8, 8), decoder_embed_dim=32,
                   decoder_depth=1, decoder_num_heads=2)
CLIP = ModelShape(embed_dim=48, depth=2, num_heads=3, input_size=(4, 16, 24), patch_size=(2, 8, 8),
                  decoder_embed_dim=36, decoder_depth=1, decoder_num_heads=2)
VIT_B = ModelShape(input_size=(224, 224), patch_size=(16, 16))


def rand(*size: int) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(0))


def test_sincos_position_equals_timms():
    expected = build_sincos2d_pos_embed([5, 7], 64, interleave_sin_cos=True).roll(32, 1)  # MAE puts columns first
    torch.testing.assert_close(sincos_position((5, 7), 64), expected, rtol=1e-4, atol=1e-5)


def test_interleaved_position_equals_the_transformers_formula():
    position = sincos_position((9,), 16, interleaved=True)
    for place in range(9):
        for channel in range(16):
            angle = place / 10000 ** (2 * (channel // 2) / 16)
            expected = math.cos(angle) if channel % 2 else math.sin(angle)
            assert position[place, channel].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("grid", "dim"), [((6,), 8), ((3, 4), 8), ((2, 3, 4), 12)])
def test_every_place_has_its_own_position(grid: tuple[int, ...], dim: int):
    position = sincos_position(grid, dim)
    assert position.shape == (math.prod(grid), dim)
    assert len(position.unique(dim=0)) == math.prod(grid)


def test_position_refuses_a_width_that_axes_cannot_share():
    with pytest.raises(ValueError, match="divisible by 6, got 16"):
        sincos_position((2, 2, 2), 16)


@pytest.mark.parametrize("patch_size", [(2, 3), (1, 6), (4, 1)])
def test_patchify_of_images_can_be_undone(patch_size: tuple[int, int]):
    x = rand(2, 3, 4, 6)
    height, width = 4 // patch_size[0], 6 // patch_size[1]
    patches = patchify(x, patch_size).view(2, height, width, 3, *patch_size)
    restored = torch.cat([torch.cat([patches[:, i, j] for j in range(width)], 3) for i in range(height)], 2)
    assert torch.equal(restored, x)


def test_patchify_of_clips_can_be_undone():
    x = rand(2, 3, 4, 4, 6)
    tokens, restored = patchify(x, (2, 2, 3)).view(2, 2, 2, 2, 3, 2, 2, 3), torch.empty_like(x)
    for t in range(2):
        for i in range(2):
            for j in range(2):
                restored[:, :, 2 * t : 2 * t + 2, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3] = tokens[:, t, i, j]
    assert torch.equal(restored, x)


def test_patchify_refuses_patches_that_do_not_tile():
    with pytest.raises(ValueError, match="do not tile"):
        patchify(rand(1, 3, 5, 6), (2, 3))


@pytest.mark.parametrize("shape", [IMAGE, CLIP], ids=["image", "clip"])
def test_embedding_is_the_convolution_whose_weights_it_holds(shape: ModelShape):
    tokenizer = PatchTokenizer(shape, class_token=False)
    x = rand(2, 3, *shape.input_size)
    expected = tokenizer.patch_embed.proj(x).flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokenizer({"input": x}).embedded, expected, rtol=1e-4, atol=1e-5)


def test_tokenizer_takes_one_channel():
    tokens = PatchTokenizer(IMAGE, in_chans=1)({"input": rand(2, 1, 16, 24)})
    assert tokens.embedded.shape == (2, 6, 48)


def test_tokenizer_names_the_shape_that_it_takes():
    with pytest.raises(ValueError, match=r"\(B, 3, 16, 24\), got \(2, 3, 24, 16\)"):
        PatchTokenizer(IMAGE)({"input": rand(2, 3, 24, 16)})
    with pytest.raises(ValueError, match="does not divide"):
        PatchTokenizer(IMAGE.model_copy(update={"patch_size": (5, 8)}))


def test_positions_are_fixed_until_the_trainer_says_so():
    tokenizer = PatchTokenizer(IMAGE)
    assert tokenizer.pos_embed.shape == (1, 7, 48)
    assert not tokenizer.pos_embed.requires_grad
    assert torch.equal(tokenizer.pos_embed[0, 0], torch.zeros(48))
    assert torch.equal(tokenizer({"input": rand(1, 3, 16, 24)}).position[0], sincos_position((2, 3), 48))


def test_positions_of_clips_count_tokens_along_one_axis():
    tokenizer = PatchTokenizer(CLIP, class_token=False, flat_position=True)
    assert torch.equal(tokenizer.pos_embed[0], sincos_position((12,), 48, interleaved=True))


def test_encoder_equals_timms_vit():
    """Strict: every parameter of ours has timm's name once "tokenizer." and "head." are stripped."""
    torch.manual_seed(0)
    ours = TransformerModel(PatchTokenizer(VIT_B), MeanPoolHead(768, 1000, init_std=0.02), VIT_B).eval()
    assert sum(parameter.numel() for parameter in ours.parameters()) == 86_567_656
    torch.nn.init.normal_(ours.tokenizer.pos_embed, std=0.02)
    with torch.device("meta"):
        theirs = timm.create_model("vit_base_patch16_224", global_pool="avg", num_classes=1000).eval()
    theirs.load_state_dict({name.removeprefix("tokenizer.").removeprefix("head."): value
                            for name, value in ours.state_dict().items()}, strict=True, assign=True)
    x = rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours({"input": x}), theirs(x), rtol=1e-5, atol=1e-5)


def test_pixel_target_is_normalised_per_patch():
    shape, x = IMAGE, rand(2, 3, 16, 24)
    tokens = PatchTokenizer(shape)({"input": x})
    ids = torch.tensor([[0, 2, 5], [3, 1, 4]])
    target = PixelTarget(shape).target(tokens, ids)
    normalised = normalise_per_token(patchify(x, (8, 8)))
    assert torch.equal(target, torch.stack([normalised[0, ids[0]], normalised[1, ids[1]]]))
    torch.testing.assert_close(target.mean(-1), torch.zeros(2, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(target.var(-1), torch.ones(2, 3), rtol=1e-4, atol=0)


def test_clip_target_is_normalised_per_tubelet_and_channel():
    x = rand(2, 3, 4, 16, 24)
    tokens = PatchTokenizer(CLIP, class_token=False)({"input": x})
    target = PixelTarget(CLIP, per_channel=True).target(tokens, torch.tensor([[0, 11], [3, 4]]))
    first = x[0, 1, :2, :8, :8]
    expected = (first - first.mean()) / (first.var() + 1e-6).sqrt()
    torch.testing.assert_close(target[0, 0].view(3, 2, 8, 8)[1], expected)


def test_targets_of_a_constant_patch_are_zero():
    x = torch.full((1, 3, 16, 24), 0.7)
    target = PixelTarget(IMAGE).target(PatchTokenizer(IMAGE)({"input": x}), torch.tensor([[1, 4]]))
    assert target.abs().max() < 1e-3


@pytest.mark.parametrize("mask_ratio", [0.5, 0.6, 0.75, 0.9])
def test_tube_masks_hide_a_place_at_all_times_or_never(mask_ratio: float):
    shape = CLIP.model_copy(update={"input_size": (8, 32, 40)})
    tokens = PatchTokenizer(shape, class_token=False)({"input": rand(6, 3, 8, 32, 40)})
    target = PixelTarget(shape, tubes=True)
    noise = target.mask_noise(tokens, SampleRandom(0, 0, torch.arange(6)))
    ids_keep, ids_masked = random_masking(noise, mask_ratio, target.mask_group)
    kept = torch.zeros(6, 80, dtype=torch.bool).scatter(1, ids_keep, True).view(6, 4, 20)
    assert (kept == kept[:, :1]).all()
    assert kept[:, 0].sum(1).eq(int(20 * (1 - mask_ratio) + 1e-6)).all()
    assert not kept.flatten(1).gather(1, ids_masked).any()
    assert len(kept[:, 0].unique(dim=0)) > 1


@pytest.mark.parametrize(("shape", "options"), [
    (IMAGE, {}), (CLIP, {"per_channel": True, "tubes": True, "flat_position": True})], ids=["image", "clip"])
def test_masked_pretraining_reaches_every_trainable_parameter(shape: ModelShape, options: dict[str, bool]):
    tokenizer = PatchTokenizer(shape, class_token=not options, flat_position=bool(options))
    model = MaskedAutoencoder(tokenizer, PixelTarget(shape, **options), shape)
    model({"input": rand(2, 3, *shape.input_size)}, SampleRandom(0, 0, torch.arange(2)), 0.5).backward()
    silent = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not silent


@pytest.mark.parametrize("class_token", [True, False])
def test_the_decoder_is_told_where_each_hidden_token_belongs(class_token: bool):
    """A decoder of nothing, on mask tokens of zeros, leaves the positions that it was given."""
    model = MaskedAutoencoder(PatchTokenizer(IMAGE, class_token=class_token), PixelTarget(IMAGE), IMAGE)
    model.decoder_blocks = nn.ModuleList()
    model.decoder_norm, model.decoder_pred = nn.Identity(), nn.Identity()
    nn.init.zeros_(model.mask_token)
    tokens = model.encoder.tokenizer({"input": rand(3, 3, 16, 24)})
    ids_keep, ids_masked = random_masking(rand(3, 6), 0.5)
    assert len({tuple(ids) for ids in ids_masked.tolist()}) > 1
    position = model.target.decoder_position(tokens)[0]
    torch.testing.assert_close(model.reconstruct(tokens, ids_keep, ids_masked), position[ids_masked])


def features(sequence: torch.Tensor, num_prefix: int) -> Features:
    return Features(sequence, [], num_prefix, Tokens(sequence, sequence))


def test_mean_pool_head_leaves_the_class_token_out():
    head, sequence = MeanPoolHead(8, 3, init_std=1.0), rand(2, 5, 8)
    pooled = torch.nn.functional.layer_norm(sequence[:, 1:].mean(1), (8,), eps=1e-6)
    torch.testing.assert_close(head(features(sequence, 1), {}), pooled @ head.head.weight.T)
    assert not head.normalised


def test_new_mean_pool_head_gives_logits_near_zero():
    assert MeanPoolHead(768, 10)(features(rand(2, 5, 768), 1), {}).abs().max() < 1e-2


@pytest.mark.parametrize("pool", [class_token, mean_of_patches])
def test_probe_head_standardises_its_pooled_token(pool):
    head, sequence = ProbeHead(8, 3, pool=pool), rand(16, 5, 8)
    pooled = sequence[:, 0] if pool is class_token else sequence[:, 1:].mean(1)
    standard = (pooled - pooled.mean(0)) / (pooled.var(0, unbiased=False) + 1e-6).sqrt()
    torch.testing.assert_close(head(features(sequence, 1), {}), standard @ head.head.weight.T, rtol=1e-4, atol=1e-5)
    assert head.normalised
    assert {name for name, _ in head.named_parameters()} == {"head.weight", "head.bias"}
