"""The image task: its facts are those of its data, its parts fit at tiny and at full size."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from benchmark.data.embedded import DataError
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import TransformerModel
from benchmark.model.mae import MaskedAutoencoder
from benchmark.model.weights import export_weights, read_weights
from benchmark.spec.recipes import SETTINGS
from tasks.imagenet import TASK

TINY, PAPER = TASK.profiles["tiny"], TASK.profiles["paper"]


def test_importing_the_task_imports_no_torch():
    code = "import sys, tasks.imagenet, tasks.kinetics; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_chance_is_the_share_of_the_largest_class_of_the_test_split():
    counts = TASK.load("tiny")["test"].columns["label"].bincount(minlength=TINY.num_classes)
    assert TINY.chance == pytest.approx(100 * counts.max().item() / counts.sum().item(), abs=0.005)
    assert len(counts) == TINY.num_classes
    assert counts.min() > 0


def test_splits_are_rgb_bytes_and_share_no_image():
    splits = TASK.load("tiny")
    assert {name: len(split) for name, split in splits.items()} == {"train": 2982, "val": 437, "test": 1299}
    assert splits["train"].columns["input"].dtype == torch.uint8
    assert splits["train"].columns["input"].shape[1:] == (3, 32, 32)
    seen = {split: {image.numpy().tobytes() for image in splits[split].columns["input"]} for split in splits}
    assert not seen["train"] & seen["test"]
    assert not seen["val"] & seen["test"]


def test_pretraining_sees_the_training_split_without_labels():
    pool = TASK.load_pretraining("tiny")
    assert set(pool.columns) == {"input"}
    assert torch.equal(pool.columns["input"], TASK.load("tiny")["train"].columns["input"])


def test_digests_name_the_data_that_is_used():
    assert set(TASK.data_digests("tiny")) == set(TINY.data_sets)


def test_official_data_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path))
    for ask in (TASK.load, TASK.load_pretraining, TASK.data_digests):
        with pytest.raises(DataError, match="imagenet1k is not prepared"):
            ask("paper")


def test_weights_that_are_loaded_as_the_readme_says_give_the_features_of_the_model(tmp_path):
    ours = TransformerModel(TASK.tokenizer(PAPER.shape), TASK.head(PAPER.shape, 10, "pretrained"), PAPER.shape).eval()
    torch.nn.init.normal_(ours.head.fc_norm.weight)
    export_weights(ours, tmp_path / "vit.safetensors")
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (create,) = re.findall(r"`timm\.create_model\((.*?)\)`", readme)
    theirs = eval(f"timm.create_model({create})", {"timm": timm}).eval()
    missing = theirs.load_state_dict(read_weights(tmp_path / "vit.safetensors"), strict=False)
    assert (missing.missing_keys, sorted(missing.unexpected_keys)) == ([], ["head.bias", "head.weight"])
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.head.head(theirs(x)), ours({"input": x}), rtol=0, atol=1e-5)


def test_model_of_paper_scale_has_86567656_parameters():
    with torch.device("meta"):
        model = TransformerModel(TASK.tokenizer(PAPER.shape), TASK.head(PAPER.shape, 1000, "pretrained"), PAPER.shape)
        logits = model({"input": torch.empty(2, 3, 224, 224)})
    assert sum(parameter.numel() for parameter in model.parameters()) == 86_567_656
    assert logits.shape == (2, 1000)


def test_masked_autoencoder_of_paper_scale_keeps_49_of_196_patches():
    shape, x = PAPER.shape, torch.zeros(1, 3, 224, 224)
    tokenizer, target = TASK.tokenizer(shape), TASK.masked_target(shape)
    with torch.no_grad():
        tokens = tokenizer({"input": x})
    assert tokens.embedded.shape == (1, 196, 768)
    assert target.target(tokens, torch.arange(147)[None]).shape == (1, 147, 768)
    assert target.decoder_position(tokens).shape == (1, 196, 512)
    with torch.device("meta"):
        model = MaskedAutoencoder(TASK.tokenizer(shape), TASK.masked_target(shape), shape)
        values = model.reconstruct(model.encoder.tokenizer({"input": torch.empty(1, 3, 224, 224)}),
                                   torch.zeros(1, 49, dtype=torch.long), torch.zeros(1, 147, dtype=torch.long))
    assert values.shape == (1, 147, 768)


@pytest.mark.parametrize("setting", SETTINGS)
def test_one_tiny_batch_gives_a_loss_and_gradients(setting):
    split, recipe = TASK.load("tiny")["train"], TINY.train[setting]
    model = TransformerModel(TASK.tokenizer(TINY.shape), TASK.head(TINY.shape, TINY.num_classes, setting), TINY.shape)
    batch = TASK.augment(split.batch(torch.arange(8)), SampleRandom(0, 0, torch.arange(8)), recipe.augment)
    TASK.loss(model(batch), batch, recipe).backward()
    silent = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not silent


def test_tiny_pretraining_accepts_its_recipe():
    model = MaskedAutoencoder(TASK.tokenizer(TINY.shape), TASK.masked_target(TINY.shape), TINY.shape)
    random = SampleRandom(0, 0, torch.arange(8))
    batch = TASK.augment(TASK.load_pretraining("tiny").batch(torch.arange(8)), random, TINY.pretrain.augment)
    assert model(batch, random, TINY.pretrain.mask_ratio).isfinite()
