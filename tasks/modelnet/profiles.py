"""Data, sizes and recipes of modelnet, by profile: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe

_AUGMENT = {"points": 512, "scale": 0.5, "shift": 0.2}
_UNUSED_PRETRAIN = PretrainRecipe(epochs=1, batch_size=128, lr=1e-3, mask_ratio=0.6)  # shapenet pretrains for points

_TINY_TRAIN = TrainRecipe(epochs=50, batch_size=32, lr=2e-3, warmup_epochs=3, clip_norm=10, eval_every=5, augment=_AUGMENT)
TINY = ProfileSpec(
    data_sets=("pointcloud_cls",), reader="tasks.modelnet.embedded", num_classes=21, chance=10.6,
    shape=ModelShape(embed_dim=96, depth=3, num_heads=3, mlp_ratio=2, input_size=(512,), patch_size=(32, 16),
                     tokenizer_dim=16, hidden_dim=64, decoder_embed_dim=96, decoder_depth=1, decoder_num_heads=3),
    pretrain=_UNUSED_PRETRAIN,
    train={"pretrained": _TINY_TRAIN, "scratch": _TINY_TRAIN,
           "fix": TrainRecipe(epochs=40, batch_size=64, lr=1e-2, warmup_epochs=2, weight_decay=0, scale_lr=1e-2, eval_every=5,
                              augment=_AUGMENT)})

_SMALL_TRAIN = TrainRecipe(epochs=100, batch_size=64, lr=5e-4, warmup_epochs=10, clip_norm=10, drop_path_rate=0.1,
                           augment=_AUGMENT)
SMALL = ProfileSpec(
    data_sets=("pointcloud_cls",), reader="tasks.modelnet.embedded", num_classes=21, chance=10.6,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(512,), patch_size=(64, 16), tokenizer_dim=64,
                     hidden_dim=128, decoder_embed_dim=192, decoder_depth=2, decoder_num_heads=6),
    pretrain=_UNUSED_PRETRAIN,
    train={"pretrained": _SMALL_TRAIN, "scratch": _SMALL_TRAIN,
           "fix": TrainRecipe(epochs=100, batch_size=64, lr=1e-2, warmup_epochs=5, weight_decay=0, scale_lr=1e-2,
                              augment=_AUGMENT)})

# Point-MAE's configuration for ModelNet40, as released in Point/ (which has no pathway there). Our clouds are stored in
# farthest-point order, so "farthest 1200, then a random 1024 of them" is a random 1024 of the first 1200, and the farthest
# 1024 of the test are the first 1024. One vote; twelve heads with bias.
_PAPER_TRAIN = TrainRecipe(epochs=300, batch_size=32, lr=5e-4, min_lr=1e-6, warmup_epochs=10, clip_norm=10,
                           drop_path_rate=0.1, augment={"pool": 1200, "points": 1024, "scale": 0.5, "shift": 0.2})
PAPER = ProfileSpec(
    data_sets=("ModelNet40",), reader="tasks.modelnet.official", num_classes=40, chance=4.05,  # 100 of 2,468
    shape=ModelShape(input_size=(1024,), patch_size=(64, 32), init_std=0.02, norm_eps=1e-5, tokenizer_dim=128,
                     hidden_dim=256, decoder_embed_dim=768, decoder_depth=4, decoder_num_heads=12),
    pretrain=_UNUSED_PRETRAIN,
    train={"pretrained": _PAPER_TRAIN, "fix": _PAPER_TRAIN.model_copy(update={"weight_decay": 0.0, "scale_lr": 1e-2}),
           "scratch": _PAPER_TRAIN})
