"""A model and blocks of another in; these, units in the model's order, out: by what units do on training inputs, or by weights.

Matching activations of Git Re-Basin (Ainsworth et al., ICLR 2023, section 3.1), as correlations (Li et al., ICLR 2016). Blocks
of another modality have a tokenizer that takes no such inputs, so they are given the model's tokens, in the order of the
residual stream that the search has reached, first that of weights. As both then carry the same tokens, units of the stream are
compared by what layers write. Imports torch.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from baselines.kin.matching import Blocks, Units, by_weights, matched
from baselines.kin.matching import scrambled as scrambled

if TYPE_CHECKING:
    from benchmark.data.examples import Batch
    from benchmark.model.encoder import TransformerModel


def in_order_of(model: TransformerModel, blocks: nn.ModuleList) -> nn.ModuleList:
    """A copy, units in the order of the model's: by what they do on `model.inputs` where there are any, else by weights."""
    view = by_weights if model.inputs is None else partial(on_inputs, model, model.inputs)
    found: nn.ModuleList = matched(blocks, model.blocks, view)
    return found


@torch.no_grad()
def on_inputs(model: TransformerModel, inputs: Batch, blocks: Blocks) -> list[Units]:
    """A view of blocks: a unit is what it does on every token of the inputs, with mean 0 and norm 1."""
    noted: list[dict[str, Tensor]] = [{} for _ in blocks]
    hooks = [getattr(getattr(block, part), layer).register_forward_hook(_noting(seen, layer))
             for block, seen in zip(blocks, noted, strict=True)
             for part, layer in (("attn", "qkv"), ("attn", "proj"), ("mlp", "fc1"), ("mlp", "fc2"))]
    parts = [part for part in (model, *blocks) if part.training]
    for part in parts:
        part.eval()  # statistics of batch norms stay, and no path is dropped
    for _ in model.through(blocks, model.tokenizer(inputs)):
        pass
    for part in parts:
        part.train()
    for hook in hooks:
        hook.remove()
    return [_units(seen, block.attn.num_heads) for seen, block in zip(noted, blocks, strict=True)]


def _noting(seen: dict[str, Tensor], layer: str) -> Any:
    def note(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[layer] = _standardised(output)
        if layer == "proj":
            seen["read"] = _standardised(inputs[0])

    return note


def _standardised(values: Tensor) -> Tensor:
    """(B, N, units) -> (B N, units)"""
    centred: Tensor = values.flatten(0, 1) - values.flatten(0, 1).mean(0)
    sizes: Tensor = centred.norm(dim=0)
    return centred / sizes.clamp_min(1e-12)


def _units(seen: dict[str, Tensor], num_heads: int) -> Units:
    heads: Tensor = torch.cat([seen["qkv"], seen["read"]], 1).T.unflatten(0, (4, num_heads, -1))
    return Units([seen["proj"], seen["fc2"]], [seen["fc1"].T], heads)
