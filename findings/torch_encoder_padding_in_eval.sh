#!/usr/bin/env bash
# eval() turns dropout off, no_grad() leaves out what gradients need: with dropout 0 a transformer encoder computes the same with and
# without them. torch's does not where tokens are padding. A sample that is padding alone (a clip without sound, a text of no words)
# gives finite numbers in training, and in eval() as long as gradients are on, and NaN once they are off, from
# TransformerEncoderLayer and from a TransformerEncoder without nested tensors. With nested tensors, which are the default, padding comes
# out as 0 there and as other numbers elsewhere, so a mean over all tokens is another one. Real tokens agree to 1e-5.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import torch

warnings.simplefilter("ignore")  # that nested tensors are a prototype
torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
MODULES = {"layer": layer, "encoder": torch.nn.TransformerEncoder(layer, 2),
           "encoder, enable_nested_tensor=False": torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)}
MODES = {"training": (True, True), "eval": (False, True), "eval, no_grad": (False, False)}
tokens = torch.randn(3, 5, 16)
lengths = torch.tensor([5, 3, 0])
padding = torch.arange(5) >= lengths[:, None]


def outputs(tokens: torch.Tensor, padding: torch.Tensor) -> dict[tuple[str, str], torch.Tensor]:
    found = {}
    for name, module in MODULES.items():
        for mode, (training, gradients) in MODES.items():
            module.train(training)
            with torch.set_grad_enabled(gradients):
                found[name, mode] = module(tokens, src_key_padding_mask=padding).detach()
    return found


print(f"torch {torch.__version__}; three samples of 5, 3 and 0 tokens of 5")
found, right = outputs(tokens, padding), True
for (name, mode), out in found.items():
    nan, padded = out[2].isnan().any().item(), out[1, 3:].abs().max().item()
    print(f"{name}, {mode}: the sample of padding is {'NaN' if nan else 'finite'}; largest number at padded places of the second "
          f"{padded:.2f}")
    fast, nested = mode == "eval, no_grad", name == "encoder"
    right &= nan == (fast and not nested) and (padded == 0) == (fast and nested)
    real = found[name, "training"][~padding]
    right &= torch.allclose(out[~padding], real, atol=1e-5)
sys.exit(0 if right else 1)
PYTHON
