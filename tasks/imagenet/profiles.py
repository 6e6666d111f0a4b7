"""Data, sizes and recipes of imagenet, by profile: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe

_TINY_TRAIN = TrainRecipe(
    epochs=48, batch_size=64, lr=3e-3, warmup_epochs=3, layer_decay=0.8, label_smoothing=0.1, drop_path_rate=0.1,
    cutmix=1.0, eval_every=8, augment={"crop": 0.2, "flip": 0.5})

TINY = ProfileSpec(
    data_sets=("image_emoji",), reader="benchmark.data.pixels",
    num_classes=22,
    chance=5.54,
    shape=ModelShape(embed_dim=96, depth=3, num_heads=3, mlp_ratio=2, input_size=(32, 32), patch_size=(8, 8),
                     decoder_embed_dim=64, decoder_depth=1, decoder_num_heads=4),
    pretrain=PretrainRecipe(epochs=320, batch_size=64, lr=1.5e-3, warmup_epochs=5, mask_ratio=0.5,
                            augment={"crop": 0.5, "flip": 0.5}),
    train={
        "pretrained": _TINY_TRAIN,
        "fix": TrainRecipe(epochs=30, batch_size=64, lr=1e-2, warmup_epochs=3, weight_decay=0.0, scale_lr=1e-2, eval_every=5,
                           augment={"crop": 0.2, "flip": 0.5}),
        "scratch": _TINY_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)

SMALL = ProfileSpec(
    data_sets=TINY.data_sets, reader="benchmark.data.pixels",
    num_classes=TINY.num_classes,
    chance=TINY.chance,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(32, 32), patch_size=(4, 4),
                     decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
    pretrain=TINY.pretrain.model_copy(update={"epochs": 400}),
    train={setting: recipe.model_copy(update={"epochs": 100}) for setting, recipe in TINY.train.items()},
)

# Schedules of the MAE code that M2PT builds on, and of M2PT's scripts. None of them trains images from scratch:
# that row is fine-tuning's recipe, longer and without layer decay.
# Image/ft_pathway.sh, which has the numbers of MAE's finetuning: batch 32 x 8 GPUs x 4 steps, lr 5e-4 * 1024 / 256, RandAugment
# m9-mstd0.5-inc1, cuts of 8 to 100 % of the area (crop 0.92), no clipping. Position embeddings train, as in timm's model.
_PAPER_TRAIN = TrainRecipe(
    epochs=100, batch_size=1024, accumulation=4, lr=2e-3, min_lr=1e-6, warmup_epochs=5, weight_decay=0.05,
    layer_decay=0.65, drop_path_rate=0.1, label_smoothing=0.1, mixup=0.8, cutmix=1.0, train_position=True,
    precision="bf16", augment={"crop": 0.92, "flip": 0.5, "rand_augment": 9.0, "erase": 0.25})

PAPER = ProfileSpec(
    data_sets=("imagenet1k",), reader="tasks.imagenet.official",
    num_classes=1000,
    chance=0.1,
    shape=ModelShape(input_size=(224, 224), patch_size=(16, 16)),
    # MAE: lr 1.5e-4 * 4096 / 256, cuts of 20 to 100 %; 800 epochs (README of the released code; its checkpoint had 1600).
    pretrain=PretrainRecipe(epochs=800, batch_size=4096, lr=2.4e-3, warmup_epochs=40, precision="bf16",
                            augment={"crop": 0.8, "flip": 0.5}),
    train={
        "pretrained": _PAPER_TRAIN,
        # Image/lin_pathway.sh: batch 128 x 8 GPUs x 16 steps, lr 0.1 * 16384 / 256. Its optimizer leaves the scales out
        # (main_linprobe.py, line 272); here they train, at a rate of their own. The probe's BatchNorm sees 128 samples at once,
        # as on each of their GPUs, and training pictures are cut as by MAE's own class (util/crop.py).
        "fix": TrainRecipe(epochs=90, batch_size=16384, accumulation=128, lr=6.4, warmup_epochs=10, optimizer="lars",
                           weight_decay=0.0, scale_lr=1e-2, precision="bf16", augment={"clamped_crop": 0.92, "flip": 0.5}),
        # No script is released: finetuning's numbers without layer decay, for the 300 epochs that MAE trains from scratch.
        "scratch": _PAPER_TRAIN.model_copy(update={"epochs": 300, "layer_decay": 1.0}),
    },
)
