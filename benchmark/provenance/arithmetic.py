"""How the processor computes, as a digest: the bits of one small training step and of what prepares its inputs.

A processor's name does not settle the bits. Clouds give one name to several generations ("AMD EPYC"), and Linux gives none on
ARM; `ATEN_CPU_CAPABILITY`, `ONEDNN_MAX_CPU_ISA`, `MKL_CBWR` and their like make one processor compute as another would.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

from benchmark.provenance.code import DIGITS

if TYPE_CHECKING:
    import numpy as np


@functools.lru_cache
def arithmetic_digest() -> str:
    """Of this process on its processor, by one thread; some milliseconds. Draws no random numbers."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of how many threads there are records say more than one digest would
    try:
        results = [*_training_step(), *_input_functions()]
    finally:
        torch.set_num_threads(threads)
    return hashlib.sha256(b"".join(result.tobytes() for result in results)).hexdigest()[:DIGITS]


def _training_step() -> list[np.ndarray]:
    """Of a block of a transformer with one attention and an embedding of patches: outputs, loss, gradients, a step of Adam."""
    import torch
    from torch.nn import functional as F

    def wave(rate: float, *shape: int) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return torch.arange(count, dtype=torch.float32, device="cpu").mul(rate).sin().view(shape)

    with torch.enable_grad():
        weights = [wave(1.3, 192, 64), wave(0.9, 64, 3, 4, 4), wave(0.7, 256, 64), wave(1.1, 64, 256)]
        into_heads, into_patches, up, down = (weight.div(8).requires_grad_() for weight in weights)
        tokens = F.conv2d(wave(0.31, 4, 3, 16, 16), into_patches, stride=4).flatten(2).transpose(1, 2)
        q, k, v = F.linear(F.layer_norm(tokens, (64,)), into_heads).view(4, 16, 3, 4, 16).permute(2, 0, 3, 1, 4)
        tokens = tokens + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(4, 16, 64)
        tokens = tokens + F.linear(F.gelu(F.linear(F.layer_norm(tokens, (64,)), up)), down)
        outputs = tokens.mean(1)
        loss = F.cross_entropy(outputs, torch.arange(4, device="cpu"))
        loss = loss + F.binary_cross_entropy_with_logits(outputs, outputs.sigmoid())
        gradients = torch.autograd.grad(loss, (into_heads, into_patches, up, down))
    stepped = up.detach() - 1e-3 * gradients[2] / (gradients[2].square().sqrt() + 1e-8)
    in_half = F.linear(outputs.detach().bfloat16(), up.detach().bfloat16()).float()
    spectrum = torch.view_as_real(torch.fft.rfft(wave(0.01, 4, 400)))
    return [value.detach().contiguous().numpy() for value in (outputs, loss, *gradients, stepped, in_half, spectrum)]


def _input_functions() -> list[np.ndarray]:
    """Of numpy's functions that have other code for other processors"""
    import numpy as np

    values = np.linspace(0.1, 9, 999, dtype=np.float32)
    return [function(values) for function in (np.exp, np.log, np.sin, np.tanh, np.sqrt)]
