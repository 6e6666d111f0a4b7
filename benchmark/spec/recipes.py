"""How a model is shaped and optimised: frozen values in, validated values out. Every field can change a result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Setting = Literal["pretrained", "fix", "scratch"]
SETTINGS: tuple[Setting, ...] = ("pretrained", "fix", "scratch")


class Frozen(BaseModel):
    """A value: immutable, every field known, every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelShape(Frozen):
    """The sizes of one modality's encoder, its tokenizer, its head and its pretraining decoder.

    `input_size` and `patch_size` are in the axes of the modality: image (height, width), audio (frames, mel bins),
    video (frames, height, width); for points `input_size` is (points,) and `patch_size` (groups, neighbours).
    """

    embed_dim: PositiveInt = 768
    depth: PositiveInt = 12
    num_heads: PositiveInt = 12
    mlp_ratio: PositiveFloat = 4.0
    qkv_bias: bool = True
    init_std: PositiveFloat | None = None  # of linear weights, truncated normal (Point-MAE); None: Xavier uniform (MAE)
    norm_eps: PositiveFloat | None = None  # of every LayerNorm; None: 1e-6 (MAE and its kin), where Point-MAE has 1e-5
    input_size: tuple[PositiveInt, ...]
    patch_size: tuple[PositiveInt, ...]
    tokenizer_dim: PositiveInt = 128  # first width of the mini-PointNet; unused by patch embeddings
    hidden_dim: PositiveInt = 256  # last width of a multi-layer head (points); unused by linear heads
    decoder_embed_dim: PositiveInt = 512
    decoder_depth: PositiveInt = 8
    decoder_num_heads: PositiveInt = 16


class OptimRecipe(Frozen):
    """What masked pretraining and training share."""

    epochs: PositiveInt
    batch_size: PositiveInt
    lr: PositiveFloat  # peak, reached after warm-up; already scaled by batch size
    min_lr: NonNegativeFloat = 0.0
    warmup_epochs: NonNegativeFloat = 5
    optimizer: Literal["adamw", "lars"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 0.05  # on tensors of two or more dimensions only
    clip_norm: PositiveFloat | None = None  # of the global gradient norm
    accumulation: PositiveInt = 1  # micro-batches of a batch, each of batch_size / accumulation samples
    repeats: PositiveInt | None = None  # differently augmented copies of each sample in a batch, not counted in batch_size
    checkpoint_blocks: bool | None = None  # keep no activations inside blocks and compute them again: memory for time
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the model, trained and tested; fp16 scales the loss
    augment: dict[str, float] = Field(default_factory=dict)  # strengths by name, understood by the task


class PretrainRecipe(OptimRecipe):
    """Masked pretraining (MAE and its kin)."""

    betas: tuple[float, float] = (0.9, 0.95)
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    drop_path_rate: float | None = Field(None, ge=0, lt=1)  # of the encoder's last block, growing linearly from 0
    stop_epoch: PositiveInt | None = None  # leave the schedule of `epochs` after this one; None: at its end


class TrainRecipe(OptimRecipe):
    """Supervised training of a target task."""

    layer_decay: float = Field(1.0, gt=0, le=1)  # lr of block b times layer_decay^(depth - b)
    drop_path_rate: float = Field(0.0, ge=0, lt=1)  # of the last block, growing linearly from 0
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: NonNegativeFloat = 0.0  # alpha of Beta(alpha, alpha); 0 is off
    cutmix: NonNegativeFloat = 0.0
    mix_switch: float = Field(0.5, ge=0, le=1)  # chance of cutmix where both are on
    train_position: bool = False  # whether fixed positions are fine-tuned
    scale_lr: PositiveFloat | None = None  # of the cross-modal scales; None: as the layer that they scale
    test_views: dict[str, PositiveInt] = Field(default_factory=dict)  # number by kind, understood by the task; {}: one
    # Of the training samples of every class, the same for all arms of a seed; an epoch stays as long as with all of them.
    label_share: float = Field(1.0, gt=0, le=1)
    ema_decay: float | None = Field(None, gt=0, lt=1)  # of the average of merged weights that is tested in the model's place
    shuffle_labels: bool = False  # among the training samples: a sanity run that must end at chance
    eval_every: PositiveInt = 1  # epochs between two evaluations; the last epoch is always evaluated
