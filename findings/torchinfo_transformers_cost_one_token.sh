#!/usr/bin/env bash
# What a model costs is how many multiplications it takes, and a linear layer of 197 tokens takes 197 times those of one. torchinfo, whose
# summary() prints "Total mult-adds" below every model, counts a linear layer's weights once for each sample of a batch, however many
# tokens, pixels or time steps the sample has, and the projections of nn.MultiheadAttention not at all. Of ViT-B/16 that is 0.17 G in all,
# where 16.8 G are right, a hundred times more, beside 4.09 G of ResNet-50, which is right: the transformer seems 24 times cheaper than the
# network that it costs four times as much as. With four times the pixels its linear layers and attention seem to cost what they cost
# before. The very same layer as a convolution of 1 by 1 is counted at each place. ConvNeXt-T, whose blocks have linear layers, is told as
# 0.32 G in place of 4.46 G. And ten vectors looked up in a table are multiplications with the whole table. Nothing is said. Reported to
# torchinfo as issues 77 and 226. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchinfo==1.8.0 torchvision==0.29.2 torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchinfo
import torchvision
from torch import nn

print(f"torchinfo {torchinfo.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}")
torch.manual_seed(0)


def told(model: nn.Module, *shape: int) -> int:
    return torchinfo.summary(model, input_size=shape, verbose=0).total_mult_adds


def counted(model: nn.Module, *shape: int) -> int:
    """Multiplications of all linear layers and convolutions with their inputs, by hooks and, of attention, by its shapes"""
    found = []

    def linear(layer, inputs, output):
        found.append(output.numel() * layer.in_features)

    def convolution(layer, inputs, output):
        found.append(output.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1])

    def attention(layer, inputs, output):  # its four projections; what tokens have with each other is left out here, too
        found.append(4 * inputs[0].numel() * layer.embed_dim)

    kinds = {nn.Conv2d: convolution, nn.Linear: linear, nn.MultiheadAttention: attention}
    hooks = [layer.register_forward_hook(kinds[type(layer)]) for layer in model.modules() if type(layer) in kinds]
    with torch.no_grad():
        model.train()(torch.zeros(shape))  # in eval() attention takes a path that calls no layer
    for hook in hooks:
        hook.remove()
    return sum(found)


class Last(nn.Module):
    """A linear layer over the channels of a picture, as a convolution of 1 by 1 is"""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.layer = layer

    def forward(self, picture):
        return self.layer(picture.movedim(1, -1)).movedim(-1, 1)


seen = {}
linear, convolution = nn.Linear(96, 384), nn.Conv2d(96, 384, 1)
with torch.no_grad():
    convolution.weight.copy_(linear.weight[:, :, None, None])
    convolution.bias.copy_(linear.bias)
picture = torch.randn(1, 96, 56, 56)
same = bool(torch.allclose(Last(linear)(picture), convolution(picture), atol=1e-5))
print(f"a linear layer and a convolution of 1 by 1 with its weights give the same: {same}")
for name, model, shape in (("linear, one token", nn.Linear(96, 384), (1, 96)), ("linear, 1,000 tokens", nn.Linear(96, 384), (1, 1000, 96)),
                           ("linear over 56 by 56 places", Last(linear), (1, 96, 56, 56)),
                           ("convolution of 1 by 1 over them", convolution, (1, 96, 56, 56)),
                           ("ResNet-50", torchvision.models.resnet50(), (1, 3, 224, 224)),
                           ("ViT-B/16", torchvision.models.vit_b_16(), (1, 3, 224, 224)),
                           ("ViT-B/16, 448 by 448", torchvision.models.vit_b_16(image_size=448), (1, 3, 448, 448)),
                           ("ConvNeXt-T", torchvision.models.convnext_tiny(), (1, 3, 224, 224))):
    seen[name] = told(model, *shape), counted(model, *shape)
    print(f"{name}: total mult-adds {seen[name][0] / 1e9:.6f} G; of linear layers and convolutions, counted, {seen[name][1] / 1e9:.6f} G")
table = torchinfo.summary(nn.Embedding(50_000, 64), input_data=torch.zeros(1, 10, dtype=torch.long), verbose=0).total_mult_adds
print(f"ten vectors of 64 numbers looked up in a table of 50,000: total mult-adds {table:,}")
ratio = {name: right / found for name, (found, right) in seen.items()}
sys.exit(0 if same and 0.9 < ratio["linear, one token"] < 1.1 and ratio["linear, 1,000 tokens"] > 900
         and ratio["linear over 56 by 56 places"] > 3000 and 0.9 < ratio["convolution of 1 by 1 over them"] < 1.1
         and 0.95 < ratio["ResNet-50"] < 1.05 and ratio["ViT-B/16"] > 50 and ratio["ConvNeXt-T"] > 5
         and seen["ViT-B/16"][0] < seen["ResNet-50"][0] < seen["ViT-B/16"][1] and table >= 50_000 * 64 else 1)
PYTHON
