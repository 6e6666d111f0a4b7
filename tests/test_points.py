"""Properties of point operations, the point tokenizer and the Chamfer target."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from benchmark.bench.measure import torch_threads
from benchmark.data.seeds import SampleRandom
from benchmark.model import loops
from benchmark.model.mae import MaskedAutoencoder
from benchmark.model.points import (
    ChamferTarget,
    PointTokenizer,
    chamfer_distance,
    farthest_by_steps,
    farthest_point_sample,
    gather_points,
    group,
    interpolation_weights,
    nearest_neighbours,
    prepare_points,
    shuffle_points,
    square_distance,
    three_nn_interpolate,
    vote_views,
)
from benchmark.spec.recipes import ModelShape

SHAPE = ModelShape(embed_dim=24, depth=2, num_heads=2, input_size=(64,), patch_size=(8, 6), tokenizer_dim=4,
                   hidden_dim=8, decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2)


def clouds(batch_size: int, num_points: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch_size, num_points, 3, generator=torch.Generator().manual_seed(seed))


def test_farthest_points_equal_a_direct_search():
    points = clouds(3, 40)
    chosen = farthest_point_sample(points, 12)
    for cloud, ids in zip(points.double().numpy(), chosen.tolist(), strict=True):
        expected = [0]
        while len(expected) < 12:
            gaps = [min(((point - cloud[i]) ** 2).sum() for i in expected) for point in cloud]
            expected.append(int(np.argmax(gaps)))
        assert ids == expected


def test_nearest_neighbours_equal_a_tree_search_and_begin_with_the_centre_itself():
    points = clouds(3, 50)
    found = nearest_neighbours(points[:, :7], points, 5)
    assert torch.equal(found[:, :, 0], torch.arange(7).expand(3, -1))
    for cloud, ids in zip(points.numpy(), found.numpy(), strict=True):
        np.testing.assert_array_equal(ids, cKDTree(cloud).query(cloud[:7], 5)[1])


@pytest.mark.parametrize("grid", [None, 3, 12], ids=["in general position", "27 places", "1728 places"])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_search_of_the_cpu_finds_what_that_of_other_devices_does(grid, batch_size):
    """Also where many points coincide or are equally far: then another device may find other places, equally far."""
    points = clouds(batch_size, 200)
    if grid is not None:
        points = torch.randint(grid, points.shape, generator=torch.Generator().manual_seed(1)).float() / 7
    chosen = farthest_point_sample(points, 20)
    assert torch.equal(chosen, farthest_by_steps(points, 20))
    centres = gather_points(points, chosen)
    found = nearest_neighbours(centres, points, 16)
    expected = square_distance(centres, points).topk(16, largest=False)
    assert torch.equal(square_distance(centres, points).gather(2, found), expected.values)
    assert torch.equal(found, square_distance(centres, points).argsort(dim=2, stable=True)[..., :16]), "the first of equals"
    if grid is None:
        assert torch.equal(found, expected.indices)


@pytest.mark.parametrize("threads", [2, 5])
def test_the_search_of_several_threads_finds_what_that_of_one_does(threads):
    points = clouds(4, 200)
    chosen, found = (farthest_point_sample(points, 20), nearest_neighbours(points[:, :30], points, 16))
    with torch_threads(threads):
        assert torch.equal(farthest_point_sample(points, 20), chosen)
        assert torch.equal(nearest_neighbours(points[:, :30], points, 16), found)


def test_a_cloud_that_is_not_of_numbers_is_refused():
    points = clouds(2, 30)
    points[1, 3] = math.nan
    with pytest.raises(ValueError, match="not numbers"):
        nearest_neighbours(points[:, :4], points, 30)


def test_votes_begin_with_the_cloud_as_it_is_and_are_the_same_every_time():
    batch = {"input": clouds(3, 10), "index": torch.arange(3), "category": torch.arange(3)}
    views = list(vote_views(batch, {"votes": 3}, {"scale": 0.5}))
    assert torch.equal(views[0]["input"], batch["input"])
    assert len({view["input"].sum().item() for view in views}) == 3
    again = list(vote_views(batch, {"votes": 3}, {"scale": 0.5}))
    assert all(torch.equal(one["input"], other["input"]) for one, other in zip(views, again, strict=True))
    alone = {name: column[2:] for name, column in batch.items()}
    assert torch.equal(list(vote_views(alone, {"votes": 3}, {"scale": 0.5}))[2]["input"], views[2]["input"][2:])
    with pytest.raises(ValueError, match="points know votes"):
        next(vote_views(batch, {"spatial": 2}, {}))


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="cannot choose 9 of 8 points"):
        farthest_point_sample(clouds(1, 8), 9)
    with pytest.raises(ValueError, match="cannot choose 9 neighbours of 8 points"):
        nearest_neighbours(clouds(1, 2), clouds(1, 8), 9)
    with pytest.raises(ValueError, match="cannot choose 0 neighbours of 8 points"):
        nearest_neighbours(clouds(1, 2), clouds(1, 8), 0)


def test_what_the_loops_would_read_beyond_is_refused():
    with pytest.raises(ValueError, match=r"centres of shape \(1, 4, 3\) do not fit points of shape \(2, 8, 3\)"):
        nearest_neighbours(clouds(1, 4), clouds(2, 8), 2)
    with pytest.raises(ValueError, match=r"points of shape \(2, 8, 2\)"):
        farthest_point_sample(clouds(2, 8)[..., :2], 4)
    assert farthest_point_sample(clouds(1, 8)[:0], 4).shape == (0, 4)
    assert nearest_neighbours(clouds(1, 8)[:0], clouds(1, 8)[:0], 4).shape == (0, 8, 4)


def test_loops_are_compiled_also_where_they_cannot_be_kept(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    points = clouds(1, 30).numpy()
    monkeypatch.setattr(loops, "farthest_loop", loops.compiled(loops.farthest_loop.py_func))
    assert loops.farthest(points, 5).tolist() == farthest_by_steps(torch.from_numpy(points), 5).tolist()


def test_groups_are_relative_to_their_centres():
    points = clouds(2, 30)
    centres, neighbourhoods = group(points, 4, 5)
    assert torch.equal(neighbourhoods[:, :, 0], torch.zeros(2, 4, 3))
    for cloud, around in zip(points, (neighbourhoods + centres[:, :, None]).flatten(1, 2), strict=True):
        assert torch.cdist(around, cloud).amin(1).max() < 1e-3


def test_chamfer_distance_equals_a_double_loop():
    a, b = clouds(3, 5, 1), clouds(3, 7, 2)
    forward = [min(float(((p - q) ** 2).sum()) for q in y) for x, y in zip(a, b, strict=True) for p in x]
    backward = [min(float(((p - q) ** 2).sum()) for p in x) for x, y in zip(a, b, strict=True) for q in y]
    assert float(chamfer_distance(a, b)) == pytest.approx(np.mean(forward) + np.mean(backward), rel=1e-5)
    assert float(chamfer_distance(a, a.flip(1))) == 0


def test_interpolation_equals_the_weighted_mean_of_the_three_nearest():
    points, centres, values = clouds(2, 9, 1), clouds(2, 6, 2), clouds(2, 6, 3)
    found = three_nn_interpolate(points, centres, values)
    for b in range(2):
        for n in range(9):
            distance = ((points[b, n] - centres[b]) ** 2).sum(1)
            nearest = distance.argsort()[:3]
            weight = 1 / (distance[nearest] + 1e-8)
            torch.testing.assert_close(found[b, n], (weight[:, None] * values[b, nearest]).sum(0) / weight.sum())


def test_interpolation_at_a_centre_gives_its_value_and_weights_sum_to_one():
    centres, values = clouds(2, 6, 2), clouds(2, 6, 3)
    torch.testing.assert_close(three_nn_interpolate(centres, centres, values), values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(interpolation_weights(clouds(2, 9), centres).sum(2), torch.ones(2, 9))


def test_tokens_do_not_depend_on_the_order_of_points_after_the_first():
    tokenizer = PointTokenizer(SHAPE).eval()
    points = clouds(2, 64)
    rest = torch.randperm(63, generator=torch.Generator().manual_seed(1))
    reordered = points[:, torch.cat([torch.zeros(1, dtype=torch.int64), 1 + rest])]
    one, other = tokenizer({"input": points}), tokenizer({"input": reordered})
    torch.testing.assert_close(one.embedded, other.embedded, atol=1e-5, rtol=1e-5)
    assert torch.equal(one.position, other.position)


def test_split_convolution_of_the_tokenizer_equals_the_concatenated_form():
    net = PointTokenizer(SHAPE).point_net
    x = clouds(2, 8 * 6).view(2, 8, 6, 3)
    local = net.conv2(net.norm1(net.conv1(x)).relu())
    joined = torch.cat([local.amax(2, keepdim=True).expand_as(local), local], 3)
    expected = net.conv4(net.norm2(net.conv3(joined)).relu()).amax(2)
    torch.testing.assert_close(net(x), expected, atol=1e-5, rtol=1e-5)


def test_a_denser_cloud_is_tokenised_like_its_first_points_and_a_smaller_one_gets_fewer_centres():
    tokenizer = PointTokenizer(SHAPE).eval()
    points = clouds(2, 100)
    assert torch.equal(tokenizer({"input": points}).embedded, tokenizer({"input": points[:, :64]}).embedded)
    assert tokenizer({"input": points[:, :32]}).embedded.shape == (2, 4, 24)


def test_pretrained_tokenizer_lacks_only_the_class_token():
    with_class_token, pretrained = PointTokenizer(SHAPE, class_token=True), PointTokenizer(SHAPE)
    missing, unexpected = with_class_token.load_state_dict(pretrained.state_dict(), strict=False)
    assert (set(missing), unexpected) == ({"cls_token", "cls_position"}, [])


def test_masked_pretraining_reaches_every_parameter_and_ignores_the_order_of_predicted_points():
    model = MaskedAutoencoder(PointTokenizer(SHAPE), ChamferTarget(SHAPE), SHAPE)
    loss = model({"input": clouds(3, 64)}, SampleRandom(0, 0, torch.arange(3)), 0.6)
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    prediction, target = clouds(2, 12, 4).view(2, 2, 18), clouds(2, 12, 5).view(2, 2, 18)
    shuffled = prediction.view(2, 2, 6, 3).flip(2).reshape(2, 2, 18)
    torch.testing.assert_close(model.target.loss(prediction, target), model.target.loss(shuffled, target))


def test_pretraining_at_paper_shapes():
    from tasks.shapenet import TASK

    shape = TASK.profiles["paper"].shape
    with torch.device("meta"):
        tokenizer, target = PointTokenizer(shape), ChamferTarget(shape)
    assert tokenizer.point_net.conv1.weight.shape == (128, 3)
    assert tokenizer.point_net.conv2.weight.shape == (256, 128)
    assert tokenizer.point_net.conv3.weight.shape == (512, 512)
    assert tokenizer.point_net.conv4.weight.shape == (768, 512)
    assert target.num_values == 96
    cheap = PointTokenizer(shape).eval()
    assert cheap({"input": clouds(1, 1024)}).embedded.shape == (1, 64, 768)
    assert cheap({"input": clouds(1, 2048)}).embedded.shape == (1, 128, 768)


STRENGTHS = {"points": 20, "labelled": 10, "scale": 0.5, "isotropic_scale": 0.25, "rotate": 3.0, "shift": 0.2,
             "jitter": 0.01}


def test_augmentation_of_strength_zero_is_the_identity():
    batch = {"input": clouds(4, 30), "label": torch.arange(30).repeat(4, 1)}
    altered = prepare_points(batch, SampleRandom(0, 0, torch.arange(4)), dict.fromkeys(STRENGTHS, 0.0))
    assert set(altered) == set(batch)
    assert all(torch.equal(altered[name], batch[name]) for name in batch)


def test_augmentation_does_not_depend_on_the_batch_and_leaves_its_input_alone():
    points, label = clouds(4, 30), torch.arange(30).repeat(4, 1)
    before = points.clone()
    whole = prepare_points({"input": points, "label": label}, SampleRandom(0, 3, torch.arange(4)), STRENGTHS)
    part = prepare_points({"input": points[2:3], "label": label[2:3]}, SampleRandom(0, 3, torch.tensor([2])), STRENGTHS)
    assert torch.equal(points, before)
    for name in ("input", "query", "label"):
        torch.testing.assert_close(whole[name][2:3], part[name], rtol=0, atol=1e-6)
    assert whole["input"].shape == (4, 20, 3)
    assert torch.equal(whole["query"], whole["input"][:, :10])


def test_labels_stay_with_their_points():
    points = clouds(2, 30)
    label = torch.arange(30).repeat(2, 1)
    altered = prepare_points({"input": points, "label": label}, SampleRandom(0, 0, torch.arange(2)),
                             {"points": 12, "labelled": 5})
    for cloud, query, label in zip(points, altered["query"], altered["label"], strict=True):
        assert torch.equal(query, cloud[label])


def test_pool_limits_which_points_are_drawn():
    label = torch.arange(30).repeat(2, 1)
    altered = prepare_points({"input": clouds(2, 30), "label": label}, SampleRandom(0, 0, torch.arange(2)),
                             {"points": 8, "pool": 10})
    assert altered["label"].max() < 10


@pytest.mark.parametrize(("strengths", "per_axis"), [({"scale": 0.5}, True), ({"isotropic_scale": 0.25}, False)])
def test_scales_stay_in_range(strengths, per_axis):
    points = clouds(500, 4).abs() + 1
    factor = prepare_points({"input": points}, SampleRandom(0, 0, torch.arange(500)), strengths)["input"] / points
    high = 1 + next(iter(strengths.values()))
    assert 1 / high - 1e-4 <= factor.min() < 1 / high + 0.02
    assert high - 0.02 < factor.max() <= high + 1e-4
    assert (factor.std(2).max() > 0.1) == per_axis


def test_rotation_keeps_heights_and_lengths():
    points = clouds(3, 10)
    turned = prepare_points({"input": points}, SampleRandom(0, 0, torch.arange(3)), {"rotate": 3.0})["input"]
    torch.testing.assert_close(turned[..., 1], points[..., 1])
    torch.testing.assert_close(turned.norm(dim=2), points.norm(dim=2))
    assert not torch.allclose(turned, points)


def test_bytes_become_floats_and_an_unknown_strength_is_named():
    batch = {"input": torch.tensor([[[127, -127, 0]]], dtype=torch.int8)}
    assert prepare_points(batch, None, {})["input"].tolist() == [[[1.0, -1.0, 0.0]]]
    with pytest.raises(ValueError, match="unknown augmentation strengths \\['shfit'\\]"):
        prepare_points(batch, None, {"shfit": 1.0})


def test_shuffling_keeps_every_cloud_and_its_labels():
    points, label = clouds(3, 20), torch.arange(20).repeat(3, 1)
    shuffled, moved = shuffle_points(points, label)
    assert not torch.equal(moved[0], moved[1])
    for cloud, new, ids in zip(points, shuffled, moved, strict=True):
        assert torch.equal(new, cloud[ids])
        assert sorted(ids.tolist()) == list(range(20))


def test_sizes_of_other_axes_than_points_have_are_told_what_they_are():
    with pytest.raises(ValueError, match=r"patch_size \(groups, neighbours\), not \(64,\) and \(5,\)"):
        PointTokenizer(SHAPE.model_copy(update={"patch_size": (5,)}))
