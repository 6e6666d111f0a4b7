"""Properties of the ModelNet task."""

import subprocess
import sys

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from benchmark.data.embedded import DataError
from benchmark.model.encoder import TransformerModel
from benchmark.spec.recipes import TrainRecipe
from tasks.modelnet import TASK

TINY = TASK.profiles["tiny"]


def model(setting: str = "pretrained") -> TransformerModel:
    torch.manual_seed(0)
    return TransformerModel(TASK.tokenizer(TINY.shape), TASK.head(TINY.shape, TINY.num_classes, setting), TINY.shape)


def random_batch(size: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(size, TINY.shape.input_size[0], 3, generator=generator)
    return {"input": points, "label": torch.randint(21, (size,), generator=generator)}


@pytest.mark.parametrize("name", ["modelnet", "shapenet"])
def test_importing_the_task_imports_no_torch(name):
    code = f"import sys, tasks.{name}; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_chance_is_the_majority_class_of_the_test_split():
    splits = TASK.load("tiny")
    share = (splits["test"].columns["label"] == splits["test"].columns["label"].mode().values).double().mean()
    assert 100 * float(share) == pytest.approx(TINY.chance, abs=0.05)
    assert {name: len(split) for name, split in splits.items()} == {"train": 1225, "val": 245, "test": 602}


def test_official_data_raises_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path))
    for call in (TASK.load, TASK.data_digests):
        with pytest.raises(DataError, match="data set ModelNet40 is not prepared"):
            call("paper")


def test_logits_do_not_depend_on_the_order_of_points_after_the_first():
    net, batch = model().eval(), random_batch(3)
    size = batch["input"].shape[1]
    order = torch.cat([torch.zeros(1, dtype=torch.int64),
                       1 + torch.randperm(size - 1, generator=torch.Generator().manual_seed(1))])
    with torch.no_grad():
        torch.testing.assert_close(net(batch), net({"input": batch["input"][:, order]}), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("setting", ["pretrained", "fix", "scratch"])
def test_every_parameter_gets_a_gradient(setting):
    net, batch = model(setting), random_batch(4)
    TASK.loss(net(batch), batch, TINY.train[setting]).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_soft_labels_equal_hard_ones_where_they_say_the_same():
    batch, recipe = random_batch(6), TrainRecipe(epochs=1, batch_size=2, lr=1)
    logits = torch.randn(6, 21, generator=torch.Generator().manual_seed(1))
    soft = {**batch, "label": torch.nn.functional.one_hot(batch["label"], 21).float()}
    torch.testing.assert_close(TASK.loss(logits, batch, recipe), TASK.loss(logits, soft, recipe))


def test_accuracies_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(2)
    logits, label = torch.randn(90, 21, generator=generator), torch.randint(19, (90,), generator=generator)
    logits[torch.arange(90), label] += 1
    meter = TASK.meter("tiny")
    for rows in torch.arange(90).split(40):
        meter.update(logits[rows], {"label": label[rows]})
    predicted = logits.argmax(1)
    # scikit-learn, too, means over the classes that occur in the labels
    with pytest.warns(UserWarning, match="not in y_true"):
        balanced = balanced_accuracy_score(label, predicted)
    expected = {"accuracy": 100 * accuracy_score(label, predicted), "mean class accuracy": 100 * balanced}
    assert meter.compute() == pytest.approx(expected)
    assert set(expected) == {metric.name for metric in TASK.metrics}


def test_an_empty_meter_has_no_value():
    with pytest.raises(ValueError, match="no predictions"):
        TASK.meter("tiny").compute()


def test_head_at_paper_shapes():
    paper = TASK.profiles["paper"]
    with torch.device("meta"):
        layers = TASK.head(paper.shape, paper.num_classes, "pretrained").layers
        probe = TASK.head(paper.shape, paper.num_classes, "fix").head
    assert [tuple(layers[index].weight.shape) for index in (0, 4, 8)] == [(256, 1536), (256, 256), (40, 256)]
    assert probe.weight.shape == (40, 1536)


def test_shape_agrees_with_the_pretraining_it_starts_from():
    from tasks.shapenet import TASK as SHAPENET

    for profile, spec in TASK.profiles.items():
        other = SHAPENET.profiles[profile].shape
        for name in ("embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias", "tokenizer_dim"):
            assert getattr(spec.shape, name) == getattr(other, name), (profile, name)
