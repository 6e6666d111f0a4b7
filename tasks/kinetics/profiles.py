"""Data, sizes and recipes of kinetics, by profile: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe

# Splits are by character, and characters of one game are told apart by the colours of their clothes: recolour.
_TINY_TRAIN = TrainRecipe(
    epochs=18, batch_size=32, lr=3e-3, warmup_epochs=3, layer_decay=0.8, label_smoothing=0.1, drop_path_rate=0.1,
    mixup=0.8, cutmix=1.0, eval_every=6, augment={"crop": 0.5, "flip": 0.5, "recolour": 0.5, "jitter": 0.1},
    test_views={"mirror": 2, "shift": 3})

TINY = ProfileSpec(
    data_sets=("video_actions",), reader="benchmark.data.pixels",
    num_classes=6,
    chance=17.98,
    shape=ModelShape(embed_dim=96, depth=3, num_heads=3, mlp_ratio=2, input_size=(8, 32, 32), patch_size=(8, 8, 8),
                     decoder_embed_dim=64, decoder_depth=1, decoder_num_heads=4),
    pretrain=PretrainRecipe(epochs=180, batch_size=64, lr=2e-3, warmup_epochs=5, mask_ratio=0.75,
                            augment={"crop": 0.3, "flip": 0.5}),
    train={
        "pretrained": _TINY_TRAIN,
        "fix": TrainRecipe(epochs=30, batch_size=64, lr=1e-2, warmup_epochs=3, weight_decay=0.0, scale_lr=1e-2,
                           augment={"crop": 0.3, "flip": 0.5}, test_views={"mirror": 2, "shift": 3}),
        "scratch": _TINY_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
    shortcuts={"source": 25.0, "timing": 36.0, "middle frame": 30.2},  # which game; which frames repeat; one still
)

SMALL = ProfileSpec(
    data_sets=TINY.data_sets, reader="benchmark.data.pixels",
    num_classes=TINY.num_classes,
    chance=TINY.chance,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(8, 32, 32), patch_size=(2, 8, 8),
                     decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
    pretrain=TINY.pretrain.model_copy(update={"epochs": 400}),
    train={setting: recipe.model_copy(update={"epochs": 100}) for setting, recipe in TINY.train.items()},
    shortcuts=TINY.shortcuts,
)

# M2PT's run.sh, but started from self-supervised weights as the paper says, not from the supervised ones of the script.
# Micro-batches are what one of its GPUs had: 6 of its 8 x 6 videos, 32 of pretraining's 32 x 32. Copies of a video are
# one clip that is altered several times, as in VideoMAE. Not reproduced: pretraining's decoder mask.
# Video/run.sh: batch 6 x 8 GPUs, lr 7e-4 * 48 / 256, two copies of each clip that the batch does not count, RandAugment
# m7-n4-mstd0.5-inc1, no clipping, no average of weights; tested on 5 windows in time and 3 in space, last epoch.
_PAPER_TRAIN = TrainRecipe(
    epochs=90, batch_size=48, accumulation=8, repeats=2, lr=7e-4 * 48 / 256, min_lr=1e-6 * 48 / 256, warmup_epochs=5,
    weight_decay=0.05, layer_decay=0.75,
    drop_path_rate=0.1, label_smoothing=0.1, mixup=0.8, cutmix=1.0, precision="bf16",
    augment={"crop": 0.92, "flip": 0.5, "rand_augment": 7.0, "erase": 0.25}, test_views={"temporal": 5, "spatial": 3})

PAPER = ProfileSpec(
    data_sets=("kinetics400",), reader="tasks.kinetics.official",
    num_classes=400,
    chance=0.25,
    shape=ModelShape(input_size=(16, 224, 224), patch_size=(2, 16, 16), decoder_embed_dim=384, decoder_depth=4,
                     decoder_num_heads=6),
    # VideoMAEv2's script of ViT-B: batch 32 x 32 GPUs, lr 1e-3 and at least 1e-5 * 1024 / 256, four copies of each clip that
    # the batch does not count. Its decoder sees half of the hidden tokens (running cells); ours sees all.
    pretrain=PretrainRecipe(epochs=200, batch_size=1024, accumulation=32, repeats=4, lr=4e-3, min_lr=4e-5, warmup_epochs=20,
                            precision="bf16", mask_ratio=176 / 196,  # VideoMAE hides int(0.9 * 196) places
                            augment={"multi_scale": 0.34}),
    train={
        "pretrained": _PAPER_TRAIN,
        # Not published for video: MAE's linear probe, in micro-batches of 32 clips.
        "fix": TrainRecipe(epochs=90, batch_size=1024, accumulation=32, lr=0.4, warmup_epochs=10, optimizer="lars",
                           weight_decay=0.0, scale_lr=1e-2, precision="bf16", augment={"crop": 0.92, "flip": 0.5},
                           test_views={"temporal": 5, "spatial": 3}),
        # No script is released: finetuning's numbers without layer decay.
        "scratch": _PAPER_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)
