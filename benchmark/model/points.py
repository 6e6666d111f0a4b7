"""Point clouds in, tokens, neighbourhoods and interpolated features out: what every point task is made of.

Plain batched torch, the same on every device and without scattered sums, so that gradients are deterministic too. The
searches behind `group`, which need no gradient, are compiled loops on a CPU (`benchmark.model.loops`); on a GPU that of
farthest points is one, too (`benchmark.model.kernels`).
Distances are squared and taken difference by difference, so that coinciding points are exactly 0 apart.

Shapes: B batch, N points, G centres (groups), K neighbours, C channels, D embed_dim, E decoder_embed_dim,
M masked tokens, Q labelled points, S samples of a split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from benchmark.data.examples import Batch
from benchmark.data.seeds import SampleRandom, derive_seed
from benchmark.model import loops
from benchmark.model.encoder import Tokenizer, Tokens, gather_tokens
from benchmark.model.folding import folded
from benchmark.model.mae import MaskedTarget
from benchmark.spec.recipes import ModelShape

UP_AXIS = 1


def square_distance(a: Tensor, b: Tensor) -> Tensor:
    """(..., N, 3), (..., M, 3) -> (..., N, M)"""
    total: Tensor = sum((a[..., :, None, axis] - b[..., None, :, axis]).square() for axis in range(3))  # type: ignore[assignment]
    return total


@torch.no_grad()
def farthest_point_sample(points: Tensor, num_samples: int) -> Tensor:
    """(B, N, 3) -> (B, num_samples) indices; begins with point 0, then each time the point farthest from those chosen.

    The same indices on every device, and one launch on a GPU that has Triton (without, or with more than 32768 points, a
    few for each sample). Raises `ValueError` where there are fewer points than samples.
    """
    if not 0 < num_samples <= points.shape[1]:
        raise ValueError(f"cannot choose {num_samples} of {points.shape[1]} points")
    if points.device.type == "cpu":
        return torch.from_numpy(loops.farthest(points.detach().numpy(), num_samples))
    if points.dtype == torch.float32 and points.shape[2:] == (3,) and loops.has_kernels(points.device):
        from benchmark.model import kernels

        if points.shape[1] <= kernels.MAX_POINTS:
            return kernels.farthest(points, num_samples)
    return farthest_by_steps(points, num_samples)


def farthest_by_steps(points: Tensor, num_samples: int) -> Tensor:
    """(B, N, 3) -> (B, S): the same where no compiled loop serves, one chosen point a step, on any device."""
    batch_size, num_points, _ = points.shape
    axes = points.unbind(-1)
    chosen = torch.zeros(batch_size, num_samples, dtype=torch.int64, device=points.device)
    nearest = points.new_full((batch_size, num_points), math.inf)
    for step in range(1, num_samples):
        last = chosen[:, step - 1, None]
        distance = points.new_zeros(())
        for axis in axes:
            distance = distance + (axis - axis.gather(1, last)).square()
        nearest = torch.minimum(nearest, distance)
        chosen[:, step] = nearest.argmax(1)
    return chosen


@torch.no_grad()
def nearest_neighbours(centres: Tensor, points: Tensor, num_neighbours: int) -> Tensor:
    """(B, G, 3), (B, N, 3) -> (B, G, K) indices of the nearest points, nearest first; a centre is its own."""
    if not 0 < num_neighbours <= points.shape[1]:
        raise ValueError(f"cannot choose {num_neighbours} neighbours of {points.shape[1]} points")
    if points.device.type == "cpu":
        return torch.from_numpy(loops.nearest_points(centres.detach().numpy(), points.detach().numpy(), num_neighbours))
    return square_distance(centres, points).topk(num_neighbours, largest=False).indices


def gather_points(points: Tensor, ids: Tensor) -> Tensor:
    """(B, N, C), (B, ...) indices -> (B, ..., C)"""
    flat = ids.flatten(1)[:, :, None].expand(-1, -1, points.shape[-1])
    return points.gather(1, flat).view(*ids.shape, points.shape[-1])


def group(points: Tensor, num_groups: int, group_size: int) -> tuple[Tensor, Tensor]:
    """(B, N, 3) -> centres (B, G, 3) and their neighbourhoods relative to them (B, G, K, 3)"""
    centres = gather_points(points, folded(farthest_point_sample, num_groups, points))
    neighbourhoods = gather_points(points, folded(nearest_neighbours, group_size, centres, points))
    return centres, neighbourhoods - centres[:, :, None]


def chamfer_distance(a: Tensor, b: Tensor) -> Tensor:
    """(P, N, 3), (P, M, 3) sets of points -> scalar: mean squared distance to the nearest point of the other set,
    a to b plus b to a (Point-MAE's ChamferDistanceL2)"""
    distance = square_distance(a, b)
    return distance.amin(2).mean() + distance.amin(1).mean()


@torch.no_grad()
def interpolation_weights(points: Tensor, centres: Tensor) -> Tensor:
    """(B, N, 3), (B, G, 3) -> (B, N, G) rows that sum to 1: inverse squared distance (+ 1e-8) of the three nearest
    centres, 0 elsewhere (PointNet++)"""
    distance = square_distance(points, centres)
    nearest = distance.topk(min(3, distance.shape[2]), largest=False)
    weights = 1 / (nearest.values + 1e-8)
    return torch.zeros_like(distance).scatter_(2, nearest.indices, weights / weights.sum(2, keepdim=True))


def three_nn_interpolate(points: Tensor, centres: Tensor, values: Tensor) -> Tensor:
    """(B, N, 3), (B, G, 3), (B, G, C) -> (B, N, C), from the values of the three nearest centres of each point"""
    return interpolation_weights(points, centres).to(values.dtype) @ values


class PointNorm(nn.BatchNorm1d):
    """Batch normalisation of the last axis over all others; a 1x1 convolution's BatchNorm with channels last."""

    channel_axis = -1  # for whoever normalises in its place

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)"""
        normalised: Tensor = super().forward(x.flatten(0, -2))
        return normalised.view(x.shape)


def _largest(x: Tensor) -> Tensor:
    """(B, G, K, D) -> (B, G, D). Where a gradient follows, by index: on CPUs that of `amax` takes twice the time."""
    return x.max(2).values if x.requires_grad else x.amax(2)


class MiniPointNet(nn.Module):
    """Neighbourhoods to tokens (Point-BERT): 3-t-BN-ReLU-2t, concat with its maximum, 4t-4t-BN-ReLU-D, maximum."""

    def __init__(self, width: int, embed_dim: int):
        super().__init__()
        self.conv1, self.norm1, self.conv2 = nn.Linear(3, width), PointNorm(width), nn.Linear(width, 2 * width)
        self.conv3, self.norm2 = nn.Linear(4 * width, 4 * width), PointNorm(4 * width)
        self.conv4 = nn.Linear(4 * width, embed_dim)

    def forward(self, neighbourhoods: Tensor) -> Tensor:
        """(B, G, K, 3) -> (B, G, D)"""
        local = self.conv2(self.norm1(self.conv1(neighbourhoods)).relu_())
        # conv3 of [maximum, local] in two parts: the maximum is common to all K points, so its part is computed once.
        on_maximum, on_local = self.conv3.weight.chunk(2, 1)
        shared = nn.functional.linear(_largest(local), on_maximum, self.conv3.bias)
        joint = nn.functional.linear(local, on_local) + shared[:, :, None]
        return _largest(self.conv4(self.norm2(joint).relu_()))


def position_mlp(width: int, embed_dim: int) -> nn.Sequential:
    """(..., 3) -> (..., D)"""
    return nn.Sequential(nn.Linear(3, width), nn.GELU(), nn.Linear(width, embed_dim))


class PointTokenizer(Tokenizer):
    """Farthest-point centres, nearest-neighbour groups, mini-PointNet; position is an MLP of the centre (Point-MAE).

    Tokens are made of a cloud's first `input_size` points, so that a denser cloud is grouped as in training; a smaller
    one has fewer centres in proportion, as in Point-MAE's configurations (one for every 16 points). `class_token` adds
    one prefix token; weights without it load with `cls_token` and `cls_position` missing and nothing else.
    """

    position_every_block = True

    def __init__(self, shape: ModelShape, class_token: bool = False):
        super().__init__()
        if (len(shape.input_size), len(shape.patch_size)) != (1, 2):
            raise ValueError("points have input_size (points,) and patch_size (groups, neighbours), not "
                             f"{shape.input_size} and {shape.patch_size}")
        (self.num_points,), (self.num_groups, self.group_size) = shape.input_size, shape.patch_size
        self.num_prefix_tokens = int(class_token)
        self.point_net = MiniPointNet(shape.tokenizer_dim, shape.embed_dim)
        self.position = position_mlp(shape.tokenizer_dim, shape.embed_dim)
        if class_token:
            self.added_for_target = ("cls_token", "cls_position")
            self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.embed_dim))
            self.cls_position = nn.Parameter(torch.zeros(1, 1, shape.embed_dim))
            nn.init.trunc_normal_(self.cls_token, std=0.02)
            nn.init.trunc_normal_(self.cls_position, std=0.02)

    def forward(self, batch: Batch) -> Tokens:
        """ "input" (B, N, 3) -> G tokens, with geometry "centres" (B, G, 3) and "neighbourhoods" (B, G, K, 3)"""
        points = batch["input"][:, : self.num_points]
        num_groups = max(1, self.num_groups * points.shape[1] // self.num_points)
        centres, neighbourhoods = group(points, num_groups, self.group_size)
        return Tokens(self.point_net(neighbourhoods), self.position(centres),
                      {"centres": centres, "neighbourhoods": neighbourhoods})

    def prefix_tokens(self) -> tuple[Tensor, Tensor]:
        if not self.num_prefix_tokens:
            return super().prefix_tokens()
        return self.cls_token, self.cls_position


class ChamferTarget(MaskedTarget):
    """Masked neighbourhoods, relative to their centres, up to the order of their points (Point-MAE)."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        self.num_values = 3 * shape.patch_size[1]
        self.position = position_mlp(shape.tokenizer_dim, shape.decoder_embed_dim)

    def decoder_position(self, tokens: Tokens) -> Tensor:
        """(B, G, E)"""
        position: Tensor = self.position(tokens.geometry["centres"])
        return position

    def target(self, tokens: Tokens, ids_masked: Tensor) -> Tensor:
        """(B, M, 3K)"""
        return gather_tokens(tokens.geometry["neighbourhoods"].flatten(2), ids_masked)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, M, 3K), (B, M, 3K) -> scalar Chamfer distance, each masked token a pair of sets"""
        return chamfer_distance(prediction.float().view(-1, self.num_values // 3, 3),
                                target.float().view(-1, self.num_values // 3, 3))


def shuffle_points(points: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """(S, N, 3) and columns (S, N), all in one fixed random order of points for each cloud: sets are stored sorted."""
    noise = SampleRandom(0, 0, torch.arange(len(points))).uniform("stored order", points.shape[1])
    order = noise.argsort(dim=1, stable=True)
    return gather_points(points, order), *(column.gather(1, order) for column in columns)


STRENGTHS = ("pool", "points", "labelled", "scale", "isotropic_scale", "shift", "rotate", "jitter")


def prepare_points(batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
    """Clouds as stored to floats: int8 by 1/127, floats as they are; altered unless `random` is None. 0 is off.

    In order: `points` random points out of the first `pool` (all), their "label" (B, N) with them, of which the first
    `labelled` (all) keep it and become "query" (B, Q, 3), as a loss on some costs less; `scale` s: U(1/(1+s), 1+s) for
    each axis; `isotropic_scale`: the same factor for all axes; `rotate` r: by U(-r, r) radians about the up
    axis; `shift` s: by U(-s, s) for each axis; `jitter`: normal noise of this standard deviation for each point.
    Raises `ValueError` for an unknown strength.
    """
    unknown = set(strengths) - set(STRENGTHS)
    if unknown:
        raise ValueError(f"unknown augmentation strengths {sorted(unknown)}; points know {', '.join(STRENGTHS)}")
    prepared = dict(batch)
    points = batch["input"]
    points = points.float() / 127 if points.dtype == torch.int8 else points.float()
    if random is None:
        return {**prepared, "input": points}
    strength = {name: strengths.get(name, 0.0) for name in STRENGTHS}
    if strength["points"]:
        pool = min(int(strength["pool"]) or points.shape[1], points.shape[1])
        if strength["points"] > pool:
            raise ValueError(f"augmentation asks for {strength['points']:.0f} of {pool} points")
        ids = random.uniform("points", pool).argsort(dim=1, stable=True)[:, : int(strength["points"])]
        points = gather_points(points, ids)
        if "label" in batch and batch["label"].ndim == 2 and not batch["label"].is_floating_point():
            prepared["label"] = batch["label"].gather(1, ids)
    for name, size in (("scale", 3), ("isotropic_scale", 1)):
        if strength[name]:
            high = 1 + strength[name]
            points = points * random.uniform(name, 1, size, low=1 / high, high=high)
    if strength["rotate"]:
        points = _rotate(points, random.uniform("rotate", low=-strength["rotate"], high=strength["rotate"]))
    if strength["shift"]:
        points = points + random.uniform("shift", 1, 3, low=-strength["shift"], high=strength["shift"])
    if strength["jitter"]:
        points = points + strength["jitter"] * random.normal("jitter", *points.shape[1:])
    if strength["labelled"]:
        prepared["query"] = points[:, : int(strength["labelled"])]
        prepared["label"] = prepared["label"][:, : int(strength["labelled"])]
    prepared["input"] = points
    return prepared


def vote_views(batch: Batch, counts: Mapping[str, int], strengths: Mapping[str, float]) -> Iterator[Batch]:
    """Test views of clouds: as they are, and altered by `strengths`, `votes` in all (Point-MAE's voting, of one round).

    Raises `ValueError` for any other kind of view.
    """
    if set(counts) - {"votes"}:
        raise ValueError(f"test_views {dict(counts)}: points know votes")
    yield prepare_points(batch, None, {})
    for vote in range(1, counts.get("votes", 1)):
        yield prepare_points(batch, SampleRandom(derive_seed(0, "votes"), vote, batch["index"]), strengths)


def _rotate(points: Tensor, angle: Tensor) -> Tensor:
    """(B, N, 3), (B,) radians -> (B, N, 3), turned about the up axis"""
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    axes = list(points.unbind(-1))
    first, second = (axis for axis in range(3) if axis != UP_AXIS)
    axes[first], axes[second] = cos * axes[first] - sin * axes[second], sin * axes[first] + cos * axes[second]
    return torch.stack(axes, -1)
