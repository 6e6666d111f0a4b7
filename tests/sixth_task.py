"""A sixth task, of a modality of its own: which wave form does a signal have? Its data are generated, exactly."""

import hashlib

import torch
from torch import nn

from benchmark.data.examples import Examples
from benchmark.data.seeds import generator
from benchmark.model.classification import AccuracyMeter, MeanPoolHead, soft_cross_entropy
from benchmark.model.encoder import Tokenizer, Tokens
from benchmark.model.patches import PixelTarget, patchify, sincos_position
from benchmark.spec.contracts import Metric, Task
from benchmark.spec.named import NamedProfile
from benchmark.spec.recipes import SPLITS, ModelShape, PretrainRecipe, TrainRecipe

TRAIN = TrainRecipe(epochs=12, batch_size=32, lr=3e-3, warmup_epochs=1, augment={"gain": 0.2})
TINY = NamedProfile(
    data_sets=("waveforms",), num_classes=4, chance=25.0, train={"pretrained": TRAIN, "fix": TRAIN, "scratch": TRAIN},
    class_names=("square", "sawtooth", "triangle", "pulse"),
    pretrain=PretrainRecipe(epochs=2, batch_size=32, lr=1e-3, warmup_epochs=1),
    shape=ModelShape(embed_dim=24, depth=2, num_heads=2, input_size=(64,), patch_size=(8,), decoder_embed_dim=16,
                     decoder_depth=1, decoder_num_heads=2))


def signals(split):
    """(n, 1, 64) integers and (n,) classes: square, sawtooth, triangle and pulse, of any period and phase, noisy."""
    n, random = {"train": 256, "val": 64, "test": 64}[split], generator(0, "waveforms", split)
    period, phase = torch.randint(16, 64, (2, n, 1), generator=random)
    place = (torch.arange(64) + phase) % period * 60 // period
    forms = torch.stack([(place < 30) * 60, place, (2 * place - 60).abs(), (place < 8) * 60], 1)
    label = torch.arange(n) % 4
    return forms[torch.arange(n), label][:, None] + torch.randint(-9, 10, (n, 1, 64), generator=random), label


class SignalTokenizer(Tokenizer):
    def __init__(self, shape):
        super().__init__()
        self.patch_size, count = shape.patch_size, shape.input_size[0] // shape.patch_size[0]
        self.embed = nn.Linear(*shape.patch_size, shape.embed_dim)
        self.register_buffer("position", sincos_position((count,), shape.embed_dim)[None], persistent=False)

    def forward(self, batch):
        patches = patchify(batch["input"], self.patch_size)
        return Tokens(self.embed(patches), self.position, {"patches": patches})


class Waveforms(Task):
    name, summary, modality = "waveforms", "the wave form of a signal", "signal"
    metrics, sources, profiles = (Metric("top1"),), frozenset({"generated"}), {"tiny": TINY}

    def data_digests(self, profile):
        data = b"".join(signals(split)[0].numpy().tobytes() for split in SPLITS)
        return {"waveforms": hashlib.sha256(data).hexdigest()}

    def load(self, profile):
        return {split: Examples(dict(zip(("input", "label"), signals(split), strict=True))) for split in SPLITS}

    def tokenizer(self, shape):
        return SignalTokenizer(shape)

    def head(self, shape, num_classes, setting):
        return MeanPoolHead(shape.embed_dim, num_classes, norm_eps=shape.norm_eps)

    def masked_target(self, shape):
        return PixelTarget(shape, in_chans=1)

    def augment(self, batch, random, strengths):
        gain = 1 if random is None else 1 + strengths.get("gain", 0) * random.uniform("gain", 1, 1, low=-1)
        return {**batch, "input": (batch["input"] / 30 - 1) * gain}

    def loss(self, logits, batch, recipe):
        return soft_cross_entropy(logits, batch["label"], recipe.label_smoothing)

    def meter(self, profile):
        return AccuracyMeter()


TASK = Waveforms()
