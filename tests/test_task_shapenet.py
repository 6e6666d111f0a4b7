"""Properties of the ShapeNet task."""

import pytest
import torch

from benchmark.data import embedded
from benchmark.data.embedded import DataError
from benchmark.model.encoder import Features, Tokens, TransformerModel
from benchmark.model.mae import MaskedAutoencoder
from benchmark.model.points import three_nn_interpolate
from benchmark.spec.recipes import ModelShape
from tasks.shapenet import PART_OFFSETS, TASK
from tasks.shapenet.model import PartMeter, PartSegmenter, shape_iou

TINY = TASK.profiles["tiny"]


def random_features(head: PartSegmenter, shape: ModelShape, batch_size: int, num_points: int, num_groups: int):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(batch_size, num_points, 3, generator=generator)
    taps = [torch.randn(batch_size, num_groups, shape.embed_dim, generator=generator) for _ in head.taps]
    tokens = Tokens(taps[0], taps[0], {"centres": points[:, :num_groups]})
    category = torch.arange(batch_size) % head.num_categories
    return Features(taps[-1], taps, 0, tokens), {"input": points, "category": category}


def naive_logits(head: PartSegmenter, features: Features, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The head as the paper draws it: everything concatenated for every point."""
    points, tokens = batch["input"], torch.cat(features.taps, 2)
    spread = three_nn_interpolate(points, features.tokens.geometry["centres"], tokens)
    local = head.propagation(torch.cat([spread, points], 2))
    hot = torch.nn.functional.one_hot(batch["category"], head.num_categories).float()
    named = torch.nn.functional.leaky_relu(head.category_norm(head.category_conv(hot)), 0.2)
    common = torch.cat([tokens.max(1).values, tokens.mean(1), named], 1)[:, None].expand(-1, points.shape[1], -1)
    return head.layers(torch.cat([local, common], 2))


def test_fast_head_equals_the_concatenated_form():
    shape = ModelShape(embed_dim=24, depth=4, num_heads=2, input_size=(64,), patch_size=(8, 6), hidden_dim=8)
    head = PartSegmenter(shape, 49, 8)
    features, batch = random_features(head, shape, 4, 50, 8)
    head(features, batch)  # gives the running statistics other values than their initial ones
    head.eval()
    torch.testing.assert_close(head(features, batch), naive_logits(head, features, batch), atol=1e-5, rtol=1e-5)


def test_head_at_paper_shapes():
    paper = TASK.profiles["paper"]
    head = TASK.head(paper.shape, paper.num_classes, "pretrained").eval()
    assert head.taps == [3, 7, 11]
    assert head.category_conv.weight.shape == (64, 16)
    assert head.category_conv.bias is None
    assert [tuple(head.propagation[index].weight.shape) for index in (0, 3)] == [(3072, 2304 + 3), (1024, 3072)]
    assert [tuple(head.layers[index].weight.shape) for index in (0, 4, 7)] == [(512, 5696), (256, 512), (50, 256)]
    features, batch = random_features(head, paper.shape, 1, 2048, 128)
    with torch.no_grad():
        assert head.global_features(torch.cat(features.taps, 2), batch["category"]).shape == (1, 4672)
        assert head(features, batch).shape == (1, 2048, 50)


@pytest.mark.parametrize("setting", ["pretrained", "fix", "scratch"])
def test_every_parameter_gets_a_gradient(setting):
    torch.manual_seed(0)
    net = TransformerModel(TASK.tokenizer(TINY.shape), TASK.head(TINY.shape, TINY.num_classes, setting), TINY.shape)
    batch = {"input": torch.randn(3, TINY.shape.input_size[0], 3), "category": torch.tensor([0, 3, 7]),
             "label": torch.randint(49, (3, TINY.shape.input_size[0]))}
    TASK.loss(net(batch), batch, TINY.train[setting]).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_only_queried_points_are_labelled():
    head = TASK.head(TINY.shape, TINY.num_classes, "fix")
    net = TransformerModel(TASK.tokenizer(TINY.shape), head, TINY.shape).eval()
    batch = {"input": torch.randn(2, 1024, 3), "category": torch.tensor([1, 2])}
    with torch.no_grad():
        every, some = net(batch), net({**batch, "query": batch["input"][:, :100]})
    assert every.shape == (2, 1024, 49)
    torch.testing.assert_close(every[:, :100], some, atol=1e-5, rtol=1e-5)


def test_loss_covers_all_points_and_parts():
    generator = torch.Generator().manual_seed(0)
    logits, label = torch.randn(2, 5, 49, generator=generator), torch.randint(49, (2, 5), generator=generator)
    expected = -logits.log_softmax(-1).gather(2, label[:, :, None]).mean()
    torch.testing.assert_close(TASK.loss(logits, {"label": label}, TINY.train["pretrained"]), expected)


def test_iou_of_a_hand_computed_shape():
    # part 0: 1 of 2; part 1: 2 of 4; part 2: 0 of 1; part 3 is in neither: 1
    prediction, label = torch.tensor([[0, 1, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1, 2]])
    assert shape_iou(prediction, label, 4).tolist() == pytest.approx([(1 / 2 + 2 / 4 + 0 + 1) / 4])


def test_mean_ious_of_hand_computed_categories():
    meter = PartMeter((0, 2, 4, 5))
    logits = torch.zeros(3, 4, 5)
    logits[:, :, 4] = 9  # never a part of categories 0 and 1, so never predicted there
    logits[0, :2, 0] = logits[0, 2:, 1] = 1  # category 0: predicts 0 0 1 1
    logits[1, :, 0] = 1  # category 0: predicts 0 0 0 0
    logits[2, :, 3] = 1  # category 1: predicts 3 3 3 3
    label = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0], [2, 3, 3, 3]])
    meter.update(logits[:2], {"label": label[:2], "category": torch.tensor([0, 0])})
    meter.update(logits[2:], {"label": label[2:], "category": torch.tensor([1])})
    first, second, third = (2 / 3 + 1 / 2) / 2, (1 + 1) / 2, (0 + 3 / 4) / 2
    assert meter.compute() == pytest.approx({
        "instance mIoU": 100 * (first + second + third) / 3,
        "class mIoU": 100 * ((first + second) / 2 + third) / 2,  # category 2 does not occur
    })


def test_an_empty_meter_has_no_value():
    with pytest.raises(ValueError, match="no predictions"):
        TASK.meter("tiny").compute()


def test_chance_is_the_majority_part_of_each_category_and_parts_are_those_of_the_set():
    arrays = embedded.arrays_of("pointcloud_seg")
    offsets = PART_OFFSETS[TINY.num_classes]
    assert tuple(arrays["part_offset"].tolist()) == offsets
    splits, meter = TASK.load("tiny"), TASK.meter("tiny")
    train = splits["train"].columns
    majority = [int(train["label"][train["category"] == category].flatten().mode().values) for category in range(8)]
    test = splits["test"].columns
    answer = torch.tensor(majority)[test["category"]]
    meter.update(torch.nn.functional.one_hot(answer, 49)[:, None].expand(-1, 1024, -1), test)
    assert meter.compute()["instance mIoU"] == pytest.approx(TINY.chance, abs=0.05)
    first, end = torch.tensor(offsets)[test["category"]], torch.tensor(offsets)[test["category"] + 1]
    assert ((test["label"] >= first[:, None]) & (test["label"] < end[:, None])).all()
    assert set(meter.compute()) == {metric.name for metric in TASK.metrics}


def test_the_pretraining_pool_is_both_training_splits_without_labels():
    pool = TASK.load_pretraining("tiny")
    assert set(pool.columns) == {"input"}
    assert pool.columns["input"].shape == (1270 + 1225, 1024, 3)
    assert set(TASK.data_digests("tiny")) == {"pointcloud_seg", "pointcloud_cls"}


def test_paper_offsets_have_sixteen_categories_and_official_data_raises_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path))
    assert len(PART_OFFSETS[50]) == 17
    for call in (TASK.load, TASK.load_pretraining, TASK.data_digests):
        with pytest.raises(DataError, match=r"data set ShapeNet\S+ is not prepared"):
            call("paper")


@pytest.mark.parametrize(("width", "heads", "expected"), [(384, 6, 27_063_730), (768, 12, 99_128_242)])
def test_the_segmenter_has_as_many_parameters_as_the_published_one(width, heads, expected):
    shape = TASK.profiles["paper"].shape.model_copy(update={"embed_dim": width, "num_heads": heads, "qkv_bias": False})
    with torch.device("meta"):
        model = TransformerModel(TASK.tokenizer(shape), TASK.head(shape, 50, "pretrained"), shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_every_norm_of_points_has_point_maes_epsilon_at_paper_scale_and_none_below():
    for profile, expected in (("tiny", 1e-6), ("small", 1e-6), ("paper", 1e-5)):
        shape = TASK.profiles[profile].shape
        with torch.device("meta"):
            model = MaskedAutoencoder(TASK.tokenizer(shape), TASK.masked_target(shape), shape)
        assert {module.eps for module in model.modules() if isinstance(module, torch.nn.LayerNorm)} == {expected}
        assert ("norm_eps" in shape.model_dump(exclude_none=True)) == (profile == "paper"), "ids of other profiles stay"
