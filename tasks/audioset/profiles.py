"""Data, sizes and recipes of audioset, by profile: values only, which enter every run's spec as they are."""

from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe
from benchmark.spec.sounds import SoundProfile

_CLIP_AUGMENT = {"gain_db": 3.0, "roll": 0.125, "time_mask": 6.0, "freq_mask": 6.0}

_TINY_TRAIN = TrainRecipe(epochs=32, batch_size=32, lr=3e-3, warmup_epochs=3, layer_decay=0.65, eval_every=8,
                         augment=_CLIP_AUGMENT)
TINY = SoundProfile(
    seconds=1.024, lowest_hz=50, highest_hz=7800,  # as `clip_log_mel` of waveform.py makes them
    data_sets=("audio_tags",), reader="tasks.audioset.embedded",
    num_classes=38,
    chance=5.67,
    shortcuts={"random scores": 6.6},  # what ranking by chance reaches on average; a constant score ties all, and reaches less
    shape=ModelShape(embed_dim=96, depth=3, num_heads=3, mlp_ratio=2, input_size=(64, 64), patch_size=(8, 16),
                     decoder_embed_dim=64, decoder_depth=1, decoder_num_heads=4),
    pretrain=PretrainRecipe(epochs=110, batch_size=64, lr=2e-3, warmup_epochs=5, mask_ratio=0.75,
                            augment={"gain_db": 6.0, "roll": 0.5}),
    train={
        "pretrained": _TINY_TRAIN,
        "fix": TrainRecipe(epochs=30, batch_size=32, lr=3e-3, warmup_epochs=3, weight_decay=0.0, scale_lr=1e-2, eval_every=5,
                           augment=_CLIP_AUGMENT),
        "scratch": _TINY_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)

_SMALL_TRAIN = TrainRecipe(epochs=60, batch_size=64, lr=1e-3, min_lr=1e-6, warmup_epochs=5, layer_decay=0.75,
                           drop_path_rate=0.1, mixup=0.8, augment=_CLIP_AUGMENT)
SMALL = SoundProfile(
    seconds=TINY.seconds, lowest_hz=TINY.lowest_hz, highest_hz=TINY.highest_hz,
    data_sets=TINY.data_sets, reader="tasks.audioset.embedded",
    num_classes=TINY.num_classes,
    chance=TINY.chance,
    shortcuts=TINY.shortcuts,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(64, 64), patch_size=(8, 8),
                     decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
    pretrain=PretrainRecipe(epochs=400, batch_size=64, lr=1e-3, warmup_epochs=20, mask_ratio=0.75,
                            augment={"gain_db": 6.0, "roll": 0.5}),
    train={
        "pretrained": _SMALL_TRAIN,
        "fix": TrainRecipe(epochs=60, batch_size=64, lr=3e-3, warmup_epochs=5, weight_decay=0.0, scale_lr=1e-2,
                           augment=_CLIP_AUGMENT),
        "scratch": _SMALL_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)

# AudioMAE and M2PT's ft_srun_pathway.sh. Time is rolled as that code means to: for mono sound its roll is always 0.
# Waveforms are mixed as they are read, so that the recipe's own mixup stays off.
# Audio/ft_srun_pathway.sh: batch 8 x 8 GPUs, lr 1e-3 * 64 / 256 (ft_as.sh of the baseline has 32), half of the waveforms mixed
# with another, masks of 192 frames and 48 bins, a fifth of the patch rows and columns dropped, sigmoid of every class.
_PAPER_TRAIN = TrainRecipe(epochs=60, batch_size=64, lr=2.5e-4, min_lr=1e-6, warmup_epochs=4, weight_decay=5e-4,
                           layer_decay=0.75, drop_path_rate=0.1, precision="bf16",
                           augment={"gain_db": 2.0, "roll": 1.0, "time_mask": 192.0, "freq_mask": 48.0, "mix": 0.5,
                                    "drop_time": 0.2, "drop_frequency": 0.2})
PAPER = SoundProfile(
    seconds=10.24, lowest_hz=20, highest_hz=8000,  # 1024 steps of 10 ms; the range is that of Kaldi at 16 kHz
    data_sets=("audioset_20k",), reader="tasks.audioset.official",
    num_classes=527,
    chance=0.4,  # mean number of labels of a clip, about 2, over 527
    shape=ModelShape(input_size=(1024, 128), patch_size=(16, 16), decoder_depth=16),
    # AudioMAE: batch 8 x 64 GPUs, lr 2e-4 * 512 / 256, on AudioSet-2M; here on the 20K clips. Its decoder of 16 blocks
    # attends in shifted windows; ours attends to all tokens.
    pretrain=PretrainRecipe(epochs=33, batch_size=512, lr=4e-4, warmup_epochs=3, weight_decay=1e-4, mask_ratio=0.8,
                            precision="bf16", augment={"gain_db": 2.0, "roll": 1.0}),
    train={
        "pretrained": _PAPER_TRAIN,
        # Not published for audio: MAE's linear probe (lr 0.1 * batch_size / 256), its batch cut to fit 20 000 clips.
        "fix": TrainRecipe(epochs=90, batch_size=1024, lr=0.4, warmup_epochs=10, optimizer="lars", weight_decay=0.0,
                           scale_lr=1e-2,
                           precision="bf16", augment={"roll": 1.0}),
        # No script is released: finetuning's numbers without layer decay, positions sin-cos as in the other settings.
        "scratch": _PAPER_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)
