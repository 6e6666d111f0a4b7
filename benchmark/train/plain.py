"""A model as its arm altered it in, the plain model out: what is tested and exported has its names and shapes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from benchmark.model.encoder import TransformerModel
from benchmark.model.pathway import CHILD, Pathway, merge
from benchmark.spec.contracts import Arm

Layout = dict[str, torch.Size]  # of every tensor that is exported, by name
MOST = 1e-2  # by which a merge of an arm's own may change logits, relative to the largest: rounding is less


def layout_of(model: TransformerModel) -> Layout:
    """What the model holds beside the parts of its pathways"""
    return {name: tensor.shape for name, tensor in model.state_dict().items() if f".{CHILD}." not in name}


def check_apart(model: nn.Module) -> None:
    """Raises `ValueError`, before anything is trained, where two tensors of a model are one: their file would refuse them."""
    known: dict[int, str] = {}
    for name, tensor in model.state_dict().items():
        other = known.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if other != name:
            raise ValueError(f"{other} and {name} share memory, and weights are exported each by its name: give one of them a "
                             "weight of its own, or keep the layer under one name")


def merges_itself(arm: Arm) -> bool:
    """Whether an arm has a `merge` of its own"""
    return type(arm).merge is not Arm.merge


def make_plain(model: TransformerModel, arm: Arm) -> None:
    """Merge what the arm built, and the pathways."""
    arm.merge(model)
    merge(model)


def part_classes(copied: nn.Module) -> None:
    """Give layers of a copy that torch parametrizes classes of their own: it shares them with the copied, and what removes the
    parametrization alters the class."""
    for module in copied.modules():
        if is_parametrized(module):
            shared = type(module)
            own = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
            module.__class__ = type(shared.__name__, shared.__bases__, own)


class NoPathways(ValueError):
    """What an arm's `build` returned is no list of pathways."""


def check_built(model: TransformerModel, pathways: Any, plain: Layout, arm: Arm) -> None:
    """Raises `ValueError`, before anything is trained, where the model of an arm would not be plain once it is merged, and
    `NoPathways` where its `build` returned something else than `pathways`."""
    if not isinstance(pathways, list | tuple) or not all(isinstance(one, Pathway) for one in pathways):
        said = "None" if pathways is None else f"an object of {type(pathways).__name__}"
        raise NoPathways(f"build() returned {said}; return a list of pathways, or [] where there are none")
    if merges_itself(arm):
        model = copy.deepcopy(model)
        part_classes(model)
        make_plain(model, arm)
    check_plain(model, plain, arm)


def check_plain(model: TransformerModel, plain: Layout, arm: Arm) -> None:
    """Raises `ValueError` naming what is missing, too many or of another shape in a model that is to be exported.

    Of an arm that `adds` there may be more; what the plain model has must be there all the same.
    """
    found = layout_of(model)
    if arm.adds:
        found = {name: shape for name, shape in found.items() if name in plain}
    if found != plain:
        missing, more = sorted(plain.keys() - found.keys()), sorted(found.keys() - plain.keys())
        shapes = [f"{name} of {tuple(found[name])} for {tuple(plain[name])}"
                  for name in sorted(plain.keys() & found.keys()) if found[name] != plain[name]]
        wrong = [*(f"without {name}" for name in missing[:2]), *(f"with {name}" for name in more[:2]), *shapes[:2]]
        hint = "let its `merge` undo" if merges_itself(arm) else "give it a `merge(model)` that undoes"
        raise ValueError(f"the merged model of arm {arm.name} is not the plain one: {', '.join(wrong)}; {hint} what would be "
                         "exported under other names or shapes, or return pathways from `build`; where its model has parts "
                         "more, it declares that it `adds`")


def check_difference(difference: float, arm: Arm) -> None:
    """Raises `ValueError` where an arm's own `merge` makes another model; `difference` is of logits, over the largest."""
    if merges_itself(arm) and not difference <= MOST:
        raise ValueError(f"the merged model of arm {arm.name} differs by {difference:.1e} of the largest logit from the one "
                         "that was trained; its `merge` must leave what the model computes as it is")
