"""A model and a recipe in, an optimizer and its schedule out. A trainable parameter that no group covers raises."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import torch
from timm.optim import Lars
from torch import Tensor, nn

from benchmark.model import loops
from benchmark.model.pathway import CrossModal, Gain, connected, is_scale, merge, trained_parameters, weight_norms
from benchmark.spec.recipes import OptimRecipe, TrainRecipe
from benchmark.train.onepass import OnePass, suits_one_pass

DECAYED = {"weight", "auxiliary"}  # last part of a name
PARAMETRIZED = re.compile(r"\.parametrizations\.(\w+)\.original\d*$")  # how torch calls what it makes a weight of
CHUNK = 1 << 18  # numbers of a weight that one pass of the CPU takes: what a step reads of them stays in its cache

Model = TypeVar("Model", bound=nn.Module)
Tune = Callable[[str, float, float], tuple[float, float]]  # see `benchmark.spec.contracts.Arm.tune`


class PathwayAdamW(torch.optim.AdamW):
    """Fused AdamW that steps W, A and s, and writes their sum.

    Equal to AdamW over parameters W, A and s of a `torch.nn.utils.parametrize`d layer. Of large layers those that the paper
    trains, W and A with one scale, are stepped in one pass on a CPU; on a GPU such layers of any size are, all of them at
    once (see `OnePass`; their scales keep no gradient that the step itself took). Others are stepped in pieces that stay in
    its cache (on a GPU one layer at a time), so that s G never exists for more than one of them; where the scale is
    frozen, W takes the very step that it takes in a plain layer.
    """

    def __init__(self, groups: list[dict[str, Any]], pathways: list[CrossModal | Gain], **options: Any):
        super().__init__(groups, fused=True, **options)
        self.pathways = pathways
        self._together: tuple[list[CrossModal], OnePass | None] | None = None  # begun with the first step
        self._step_supports_amp_scaling = False  # a scaler asks whether gradients are finite before it calls `step`

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step everything that holds a gradient, and write the sums anew."""
        together = self._step_together()
        held = [(pathway.scale, pathway.scale.grad) for pathway in together]
        for stepped, _ in held:
            stepped.grad = None
        alone = self.pathways[len(together) :]
        groups = {id(parameter): group for group in self.param_groups for parameter in group["params"]} if alone else {}
        small, looped, pieced = [], [], []
        for pathway in alone:
            pathway.pull_back()
            if _suits_one_loop(pathway):
                looped.append((pathway, pathway.scale.clone()))
            elif pathway.weight.numel() > CHUNK:
                pieced.append((pathway, pathway.scale.clone()))
            else:
                small.append(pathway)
                gradient = pathway.linear.weight.grad
                for parameter, factor in pathway.factors(pathway.scale):  # so small that one call for all is faster
                    parameter.grad = gradient if factor is None else gradient * factor  # type: ignore[operator]
        loss: float | None = super().step(closure)  # leaves out the weights of large layers, which hold no gradient
        loops.spread(loops.step_pathway, (call for pathway, scale in looped
                                          for call in self._in_one_loop(pathway, scale, groups)))
        for pathway, scale in pieced:
            self._step_weights(pathway, scale, groups)
        for pathway in small:
            pathway.write_sum()
            for parameter, _ in pathway.factors(pathway.scale):
                parameter.grad = None
        for pathway in self.pathways:
            if isinstance(pathway, CrossModal) and pathway.joins_bias:
                pathway.write_bias()
        for stepped, gradient in held:
            stepped.grad = gradient
        return loss

    def _step_together(self) -> list[CrossModal]:
        """Step the layers that a GPU takes at once; returns them, the first of `pathways`."""
        if self._together is None:
            device = self.pathways[0].weight.device if self.pathways else torch.device("cpu")
            suiting = [pathway for pathway in self.pathways if isinstance(pathway, CrossModal)
                       and suits_one_pass(pathway, device)] if loops.has_kernels(device) else []
            self.pathways = [*suiting, *(pathway for pathway in self.pathways if pathway not in suiting)]
            self._together = suiting, OnePass(suiting, self.param_groups) if suiting else None
        layers, one_pass = self._together
        for pathway in layers:
            if pathway.joins_bias:  # adds to the gradient of the scale
                pathway.pull_back()
        if one_pass is not None:
            one_pass.step(self.state, self.param_groups)
        return layers

    def _step_weights(self, pathway: CrossModal | Gain, scale: Tensor, groups: dict[int, dict[str, Any]]) -> None:
        """Step W and A by gradients that were taken at `scale`, and write their sum at the new one, in one pass."""
        size = len(pathway.weight)
        rows = size if pathway.weight.is_cuda else max(1, CHUNK // pathway.weight[0].numel())
        stepped = []
        for parameter, factor in pathway.factors(scale):
            state, group = self._state_of(parameter), groups[id(parameter)]
            options = {"lr": group["lr"], "beta1": group["betas"][0], "beta2": group["betas"][1], "eps": group["eps"],
                       "weight_decay": group["weight_decay"], "amsgrad": False, "maximize": False}
            parts = [tensor.split(rows) for tensor in (parameter, state["exp_avg"], state["exp_avg_sq"])]
            factors = [factor] * len(parts[0]) if factor is None or not factor.ndim else factor.split(rows)
            stepped.append((parts, factors, [state["step"]], options))
        gradients = pathway.linear.weight.grad.split(rows) if stepped else ()  # type: ignore[union-attr]
        for index, start in enumerate(range(0, size, rows)):
            for parts, factors, steps, options in stepped:
                gradient, part_factor = gradients[index], factors[index]
                if part_factor is not None:
                    gradient = gradient * part_factor
                torch._fused_adamw_([parts[0][index]], [gradient], [parts[1][index]], [parts[2][index]], [], steps, **options)
            pathway.write_sum(slice(start, start + rows))

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        """The state of AdamW, begun where there is none, with one step more."""
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state.update(step=torch.zeros((), device=parameter.device), exp_avg=torch.zeros_like(parameter),
                         exp_avg_sq=torch.zeros_like(parameter))
        state["step"] += 1
        return state

    def _in_one_loop(self, pathway: CrossModal | Gain, scale: Tensor,
                     groups: dict[int, dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
        """What `_step_weights` does, as calls of `loops.step_pathway`, one for each thread."""
        dtype = pathway.weight.numpy().dtype.type
        moved, rates = [], []
        for parameter, _ in pathway.factors(scale):
            state, group = self._state_of(parameter), groups[id(parameter)]
            (beta1, beta2), step, lr = group["betas"], state["step"].item(), group["lr"]
            moved += [_flat(tensor) for tensor in (parameter, state["exp_avg"], state["exp_avg_sq"])]
            rates.append(tuple(map(dtype, (1 - lr * group["weight_decay"], 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**step),
                                           math.sqrt(1 - beta2**step), group["eps"]))))
        scales = dtype(scale.item()), dtype(pathway.scale.item())
        for part in loops.parts_of(_flat(pathway.linear.weight), _flat(pathway.linear.weight.grad), *moved):
            yield *part[:2], *scales, part[2:5], rates[0], part[5:], rates[1]


def _suits_one_loop(pathway: CrossModal | Gain) -> bool:
    """Whether a large layer's W, A and one scale train, as arrays that `loops.step_pathway` takes"""
    return (isinstance(pathway, CrossModal) and pathway.weight.numel() > CHUNK and not pathway.scale.ndim
            and pathway.weight.device.type == "cpu" and pathway.weight.dtype in (torch.float32, torch.float64)
            and all(parameter.requires_grad for parameter in (pathway.weight, pathway.auxiliary, pathway.scale))
            and all(tensor is not None and tensor.is_contiguous()
                    for tensor in (pathway.weight, pathway.auxiliary, pathway.linear.weight, pathway.linear.weight.grad)))


def _flat(tensor: Tensor | None) -> loops.Array:
    assert tensor is not None
    array: loops.Array = tensor.detach().view(-1).numpy()
    return array


def build_optimizer(model: nn.Module, recipe: OptimRecipe, depth: int, tune: Tune | None = None) -> torch.optim.Optimizer:
    """AdamW or LARS over what trains in `model`, in groups of equal `lr_scale` and weight decay.

    Layer decay as in MAE fine-tuning: the tokenizer is layer 0, block b is layer b + 1, norm and head are layer
    depth + 1, and layer l has lr x layer_decay^(depth + 1 - l). Weights of two or more dimensions decay, also those that torch
    parametrizes; biases, norms, tokens, positions and cross-modal scales do not, and scales have groups of their own. `tune`
    may alter both values of any parameter. Connected layers are stepped in W, A and s. Raises `ValueError` where a
    trainable parameter is left out, and for LARS over the weights of a pathway.
    """
    layer_decay = recipe.layer_decay if isinstance(recipe, TrainRecipe) else 1.0
    scale_lr = recipe.scale_lr if isinstance(recipe, TrainRecipe) else None
    groups: dict[tuple[float, float, bool, bool], list[Tensor]] = {}
    for name, parameter in trained_parameters(model):
        lr_scale = layer_decay ** (depth + 1 - layer_of(name, depth))
        scales = is_scale(name)
        if scales and scale_lr is not None:
            lr_scale = scale_lr / recipe.lr
        decays = parameter.ndim > 1 and PARAMETRIZED.sub(r".\1", name).rsplit(".", 1)[-1] in DECAYED
        decay = recipe.weight_decay if decays else 0.0
        if tune is not None:
            lr_scale, decay = tune(name, lr_scale, decay)
        groups.setdefault((lr_scale, decay, scales, parameter.ndim > 1 and not scales), []).append(parameter)
    if not groups:
        raise ValueError("nothing to train: every parameter is frozen")
    settings = [{"params": parameters, "lr": recipe.lr, "lr_scale": lr_scale, "weight_decay": decay, "always_adapt": matrix}
                for (lr_scale, decay, _, matrix), parameters in sorted(groups.items(), key=lambda item: item[0])]
    pathways = connected(model)
    if recipe.optimizer == "lars":  # whose trust ratio MAE gives to all matrices, decayed or not; scales are no matrices
        if any(pathway.factors(pathway.scale) for pathway in pathways):
            raise ValueError("LARS trains the scales of a pathway and none of its weights; use --set recipe.optimizer=adamw, "
                             "or the setting fix")
        optimizer: torch.optim.Optimizer = Lars(settings, lr=recipe.lr, momentum=0.9, trust_coeff=0.001)

        def pull_back(*_: Any) -> None:
            for pathway in pathways:
                pathway.pull_back()

        def refresh(*_: Any) -> None:
            for pathway in pathways:
                pathway.refresh()

        optimizer.register_step_pre_hook(pull_back)
        optimizer.register_step_post_hook(refresh)
    elif pathways:
        optimizer = PathwayAdamW(settings, pathways, lr=recipe.lr, betas=recipe.betas)
    else:
        optimizer = torch.optim.AdamW(settings, lr=recipe.lr, betas=recipe.betas, fused=True)
    check_coverage(model, optimizer)
    return optimizer


def layer_of(name: str, depth: int) -> int:
    """The layer of a parameter by name, from 0 (tokenizer) to depth + 1 (norm, head, and a decoder)."""
    parts = name.removeprefix("encoder.").split(".")
    if parts[0] == "tokenizer":
        return 0
    return int(parts[1]) + 1 if parts[0] == "blocks" else depth + 1


def check_coverage(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Raise `ValueError` unless the optimizer holds every trainable parameter exactly once, and nothing else."""
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    trainable = {id(parameter): name for name, parameter in trained_parameters(model)}
    missing = [name for identity, name in trainable.items() if held.count(identity) != 1]
    if missing:
        raise ValueError(f"trainable, but not in the optimizer exactly once: {missing}")
    if len(held) != len(trainable):
        raise ValueError(f"the optimizer holds {len(held) - len(trainable)} parameters that the model does not train")


def learning_rate(recipe: OptimRecipe, progress: float) -> float:
    """Linear warm-up from 0, then half a cosine down to `min_lr`; `progress` is in epochs."""
    if progress < recipe.warmup_epochs:
        return recipe.lr * progress / recipe.warmup_epochs
    fraction = (progress - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-9)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(recipe: OptimRecipe, device: torch.device) -> torch.autocast:
    """The precision of a recipe, for the model and its loss; what prepares their input stays outside."""
    return torch.autocast(device.type, AUTOCAST.get(recipe.precision), enabled=recipe.precision in AUTOCAST)


class WeightAverage(Generic[Model]):
    """An exponential moving average of a model's weights, of connected layers that of the sums.

    The average of a sum is not the sum of averages of its factors, so pathways are averaged merged.
    """

    def __init__(self, model: Model, decay: float):
        self.decay = decay
        self.module = copy.deepcopy(model)
        merge(self.module)
        self.module.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards `model`."""
        current = model.state_dict(keep_vars=True)
        pairs = [(tensor, current[name].detach()) for name, tensor in self.module.state_dict().items()]
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in floats], [other for _, other in floats], 1 - self.decay)
        for mine, other in pairs:
            if not mine.is_floating_point():
                mine.copy_(other)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights"""
        state: dict[str, Tensor] = self.module.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from averaged weights."""
        self.module.load_state_dict(state)


def clear_gradients(model: nn.Module) -> None:
    """Leave no gradient in `model`, also none that a pathway pulled back."""
    for parameter in model.parameters():
        parameter.grad = None


def clip_gradients(model: nn.Module, max_norm: float) -> float:
    """Scale the gradients of all that trains to a global norm of at most `max_norm`; returns the norm before.

    The norm is that of the gradients of W, A and s, not of their sum's. The sum over parameters is exactly rounded, so
    that parameters without gradient (a pathway held at scale 0) leave every other gradient bit for bit as it was.
    """
    pathways = connected(model)
    for pathway in pathways:
        pathway.pull_back()
    gradients = [parameter.grad for _, parameter in trained_parameters(model) if parameter.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients)).double().tolist() if gradients else []
    weights = [pathway.linear.weight.grad for pathway in pathways]
    norms += weight_norms(pathways)
    total = math.sqrt(math.fsum(norm * norm for norm in norms))
    if total > max_norm:
        torch._foreach_mul_([*gradients, *(gradient for gradient in weights if gradient is not None)], max_norm / total)
    return total
