"""Data, sizes and recipes of prose, by profile: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe

_AUGMENT = {"crop": 1.0, "typos": 0.05}

# Tried on the validation split of the plain model, one seed each: from scratch at rates of 1e-3 (31.1) and 3e-3 (33.8), and
# after 100 epochs of pretraining at 3e-3 (38.7). Hidden characters are then guessed hardly better than by how common they are.
_TINY_TRAIN = TrainRecipe(epochs=40, batch_size=32, lr=3e-3, warmup_epochs=3, layer_decay=0.8, label_smoothing=0.1,
                          drop_path_rate=0.1, eval_every=8, augment=_AUGMENT)
TINY = ProfileSpec(
    data_sets=("text_topics",), reader="benchmark.data.pixels",  # (N, 160) codes have no channels that it would move
    num_classes=12,
    chance=17.12,
    shape=ModelShape(embed_dim=96, depth=3, num_heads=3, mlp_ratio=2, input_size=(128,), patch_size=(4,),
                     decoder_embed_dim=64, decoder_depth=1, decoder_num_heads=4),
    pretrain=PretrainRecipe(epochs=100, batch_size=64, lr=2e-3, warmup_epochs=5, mask_ratio=0.25, augment={"crop": 1.0}),
    train={
        "pretrained": _TINY_TRAIN,
        "fix": TrainRecipe(epochs=30, batch_size=32, lr=1e-2, warmup_epochs=3, weight_decay=0.0, scale_lr=1e-2, eval_every=5,
                           augment=_AUGMENT),
        "scratch": _TINY_TRAIN.model_copy(update={"layer_decay": 1.0}),
    },
)

SMALL = ProfileSpec(
    data_sets=TINY.data_sets, reader=TINY.reader,
    num_classes=TINY.num_classes,
    chance=TINY.chance,
    shape=ModelShape(embed_dim=192, depth=8, num_heads=6, input_size=(128,), patch_size=(4,),
                     decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
    pretrain=TINY.pretrain.model_copy(update={"epochs": 400}),
    train={setting: recipe.model_copy(update={"epochs": 100}) for setting, recipe in TINY.train.items()},
)
