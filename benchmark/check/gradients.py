"""Pathways of an arm's own in; where their sum or its gradients are not those of their formula, out.

With G the gradient of the sum, `factors` and `pull_back` of what stands behind a layer say what its parts' gradients are. Here
they are compared with those that torch makes of `apart`, the formula, at a scale that is not 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from benchmark.model.pathway import CrossModal, Gain, Pathway, sum_gradient

SCALE = 0.3  # at 0 most parts have no gradient, whatever is written
CLOSE = 1e-3  # of the largest
INPUTS = 5


def faults_of_pathways(pathways: Sequence[Pathway]) -> Iterator[str]:
    """Of one layer of each class that is not the engine's own. The pathways are altered."""
    seen: set[type] = {CrossModal, Gain}
    for pathway in pathways:
        if type(pathway.cross_modal) not in seen:
            seen.add(type(pathway.cross_modal))
            yield from _faults_of(pathway)


def thawed(pathways: Sequence[Pathway]) -> Iterator[str]:
    """Of a setting that freezes the layers' weights: the first pathway whose copy of them trains all the same."""
    for pathway in pathways:
        if pathway.cross_modal.weight.requires_grad:
            what = f"{type(pathway.cross_modal).__name__} of layer {pathway.name}"
            yield (f"{what}: weight, the copy of the layer's, trains where the setting freezes the layer's: make it with "
                   "requires_grad=linear.weight.requires_grad")
            return


def _faults_of(pathway: Pathway) -> Iterator[str]:
    child, linear = pathway.cross_modal, pathway.linear
    what = f"{type(child).__name__} of layer {pathway.name}"
    random = torch.Generator().manual_seed(0)
    inputs, given = (torch.randn(INPUTS, size, generator=random) for size in (linear.in_features, linear.out_features))
    with torch.no_grad():
        child.scale.fill_(SCALE)
    child.refresh()
    trained = {name: parameter for name, parameter in child.named_parameters() if parameter.requires_grad}
    by_sum, by_formula = linear(inputs), child.apart(inputs)
    if not _close(by_sum, by_formula):
        yield f"{what}: what write_sum writes is not what apart computes, at a scale of {SCALE:g}"
        return
    if not trained:
        return
    wanted = dict(zip(trained, torch.autograd.grad((by_formula * given).sum(), list(trained.values()), allow_unused=True),
                      strict=True))
    for parameter in (*trained.values(), *linear.parameters(recurse=False)):
        parameter.grad = None
    (by_sum * given).sum().backward()
    gradient = sum_gradient(linear.weight)
    child.pull_back()
    stepped = {id(parameter): gradient if factor is None else factor * gradient
               for parameter, factor in child.factors(child.scale.detach())}
    for name, parameter in trained.items():
        found = stepped.get(id(parameter), parameter.grad)
        if found is None:
            yield f"{what}: {name} trains, and neither factors nor pull_back gives it a gradient"
        elif wanted[name] is None or found.shape != wanted[name].shape or not _close(found, wanted[name]):
            yield f"{what}: the gradient of {name} is not that of apart, by its formula"


def _close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).abs().max() <= CLOSE * wanted.abs().max().clamp_min(1e-12))
