"""Whether what a device computes is right, before it is timed: the optimizer's step against float64, points against a CPU's."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmark.bench.measure import Bench, Result
from benchmark.bench.parametrized import plain_adamw
from benchmark.model import loops
from benchmark.model.connect import connect
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import CrossModal, connected, trained_parameters
from benchmark.model.points import farthest_point_sample, nearest_neighbours
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.optim import build_optimizer, clear_gradients, set_learning_rate

RECIPE = TrainRecipe(epochs=1, batch_size=1, lr=1e-3, warmup_epochs=0)
RELATIVE, ABSOLUTE = 1e-4, 1e-5  # of what may be rounded; a step is 1e-3
STEPS = 4


def measure_check(bench: Bench) -> Iterator[Result]:
    """The largest deviation over what is allowed, and how many places differ."""
    launches = "in one launch for all" if loops.has_kernels(bench.device) else "without kernels"
    for what, sizes in (("as ViT-B has", (768, 2, 12)), ("of odd sizes", (21, 3, 3))):
        runs = [_stepped(bench.device, *sizes) for _ in range(2)]
        model, reference = runs[0]
        same = all(torch.equal(one, other) for one, other in zip(model.parameters(), runs[1][0].parameters(), strict=True))
        yield Result("check", f"steps of W, A and s in layers {what}, from float64 over what rounding allows",
                     (_deviation(model, reference),), 1.0,
                     detail=f"{launches}; the second time {'the same' if same else 'NOT the same'} bits")
        if not same:
            raise RuntimeError(f"layers {what} are not stepped the same way twice")
    for clouds, count in ((_clouds(1024), 64), (_clouds(8192), 512), (_clouds(999).mul(4).round(), 200)):
        there, case = clouds.to(bench.device), f"{count} of {clouds.shape[1]} points"
        places = farthest_point_sample(there, count)
        expected = torch.from_numpy(loops.farthest(clouds.numpy(), count))
        yield Result("check", f"farthest points that are not those of a CPU, {case}",
                     (float((places.cpu() != expected).sum()),), 0.0, "places", launches)
    clouds = _clouds(1024)
    ours = nearest_neighbours(clouds[:, :64].to(bench.device), clouds.to(bench.device), 32)
    expected = torch.from_numpy(loops.nearest_points(clouds[:, :64].numpy(), clouds.numpy(), 32))
    yield Result("check", "nearest neighbours that are not those of a CPU, 32 of 1024 points",
                 (float((ours.cpu() != expected).sum()),), 0.0, "places")


def _stepped(device: torch.device, width: int, depth: int, heads: int) -> tuple[nn.Module, nn.Module]:
    """Connected blocks, and the same in double precision, after some steps with the same gradients of the sums"""
    torch.manual_seed(0)
    blocks = build_blocks(width, depth, heads, 4.0, True)
    connect(blocks, build_blocks(width, depth, heads, 4.0, True), scale_init=0.1)
    model = nn.ModuleDict({"blocks": blocks}).to(device)
    reference = copy.deepcopy(model).double()
    ours = build_optimizer(model, RECIPE, depth)
    theirs = plain_adamw(dict(trained_parameters(reference)), RECIPE, depth)
    random = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        set_learning_rate(ours, RECIPE.lr)
        for each in (model, reference):
            clear_gradients(each)
        behind = {id(part) for child in connected(model) for part in child.parameters()}
        for one, other in zip(model.parameters(), reference.parameters(), strict=True):
            if id(one) not in behind:
                gradient = torch.randn(one.shape, generator=random).to(device)
                one.grad, other.grad = gradient, gradient.double()
        ours.step()
        _step_by_equation(reference, theirs)
    return model, reference


@torch.no_grad()
def _step_by_equation(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """dW = G, dA = s G, ds = <G, A>, stepped by torch's AdamW"""
    children = [child for child in connected(model) if isinstance(child, CrossModal)]
    for child in children:
        gradient = child.linear.weight.grad
        assert gradient is not None
        child.weight.grad, child.auxiliary.grad = gradient, child.scale * gradient
        child.scale.grad = (gradient * child.auxiliary).sum()
    optimizer.step()
    for child in children:
        child.refresh()


def _deviation(model: nn.Module, reference: nn.Module) -> float:
    """The largest, over what is allowed"""
    pairs = zip(model.parameters(), reference.parameters(), strict=True)
    return max(((one.double() - other).abs() / (ABSOLUTE + RELATIVE * other.abs())).max().item() for one, other in pairs)


def _clouds(points: int) -> Tensor:
    return torch.rand(8, points, 3, generator=torch.Generator().manual_seed(points))
