"""Data, sizes and recipes of shapenet, by profile: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe

_AUGMENT = {"points": 512, "isotropic_scale": 0.25, "shift": 0.1}
_PRETRAIN_AUGMENT = {"points": 512, "scale": 0.5, "shift": 0.2}

_TINY_TRAIN = TrainRecipe(epochs=18, batch_size=32, lr=7e-3, warmup_epochs=2, clip_norm=10, eval_every=6,
                          augment={**_AUGMENT, "labelled": 128})
TINY = ProfileSpec(
    data_sets=("pointcloud_seg", "pointcloud_cls"), reader="tasks.shapenet.embedded",
    num_classes=49, chance=11.7,
    shape=ModelShape(embed_dim=96, depth=3, num_heads=3, mlp_ratio=2, input_size=(512,), patch_size=(32, 16),
                     tokenizer_dim=16, hidden_dim=32, decoder_embed_dim=96, decoder_depth=1, decoder_num_heads=3),
    pretrain=PretrainRecipe(epochs=30, batch_size=64, lr=1.5e-3, warmup_epochs=5, mask_ratio=0.6,
                            augment={**_PRETRAIN_AUGMENT, "points": 256}),
    train={"pretrained": _TINY_TRAIN, "fix": _TINY_TRAIN.model_copy(update={"scale_lr": 1e-2}), "scratch": _TINY_TRAIN})

_SMALL_TRAIN = TrainRecipe(epochs=100, batch_size=32, lr=5e-4, warmup_epochs=10, clip_norm=10, drop_path_rate=0.1,
                           augment=_AUGMENT)
SMALL = ProfileSpec(
    data_sets=("pointcloud_seg", "pointcloud_cls"), reader="tasks.shapenet.embedded",
    num_classes=49, chance=11.7,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(512,), patch_size=(64, 16), tokenizer_dim=64,
                     hidden_dim=64, decoder_embed_dim=192, decoder_depth=2, decoder_num_heads=6),
    pretrain=PretrainRecipe(epochs=300, batch_size=128, lr=1e-3, warmup_epochs=10, mask_ratio=0.6,
                            augment=_PRETRAIN_AUGMENT),
    train={"pretrained": _SMALL_TRAIN, "fix": _SMALL_TRAIN.model_copy(update={"scale_lr": 1e-2}), "scratch": _SMALL_TRAIN})

# Point/segmentation, and Point-MAE's pretraining on ShapeNet-55, with one clipped step for each batch (the released loop
# steps twice) and twelve heads with bias. Decoders and models from scratch start with the encoder's deviation of 0.02, where
# Point-MAE's decoder has Xavier weights and the released segmentation those of torch.
# Pretraining sees 1024 points of each cloud, normalised after the choice, and so makes 64 tokens of it, not 128.
_PAPER_TRAIN = TrainRecipe(epochs=300, batch_size=16, lr=2e-4, min_lr=1e-6, warmup_epochs=10, clip_norm=10,
                           drop_path_rate=0.1, augment={"points": 2048, "isotropic_scale": 0.25, "shift": 0.1})
PAPER = ProfileSpec(
    data_sets=("ShapeNetPart", "ShapeNet-55"), reader="tasks.shapenet.official",
    num_classes=50, chance=None,  # measured where the data are
    shape=ModelShape(input_size=(2048,), patch_size=(128, 32), init_std=0.02, norm_eps=1e-5, tokenizer_dim=128,
                     hidden_dim=256, decoder_embed_dim=768, decoder_depth=4, decoder_num_heads=12),
    pretrain=PretrainRecipe(epochs=300, batch_size=128, lr=1e-3, min_lr=1e-6, warmup_epochs=10, betas=(0.9, 0.999),
                            drop_path_rate=0.1,  # Point-MAE has it in its decoder, too
                            mask_ratio=38 / 64,  # Point-MAE hides int(0.6 * 64) of its tokens
                            augment={"points": 1024, "scale": 0.5, "shift": 0.2}),
    train={"pretrained": _PAPER_TRAIN, "fix": _PAPER_TRAIN.model_copy(update={"scale_lr": 1e-2}), "scratch": _PAPER_TRAIN})
