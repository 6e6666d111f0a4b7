"""An audit of checkpoints: cosines that are known come out, and chance is that of weights without an order."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from benchmark.cli.main import main
from benchmark.model.weights import CheckpointError
from benchmark.transfer.align import ALL, align, read_blocks

SHAPES = {"attn.qkv": (24, 8), "attn.proj": (8, 8), "mlp.fc1": (16, 8), "mlp.fc2": (8, 16)}


def layers(seed: int, depth: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {f"blocks.{block}.{name}": torch.randn(shape, generator=generator)
            for block in range(depth) for name, shape in SHAPES.items()}


def with_cosine(tau: dict[str, torch.Tensor], rho: float, seed: int = 9) -> dict[str, torch.Tensor]:
    """A of this cosine with tau in every layer"""
    made = {}
    for name, noise in layers(seed).items():
        across = noise - tau[name] * (noise * tau[name]).sum() / tau[name].square().sum()
        made[name] = 3 * (rho * tau[name] / tau[name].norm() + (1 - rho**2) ** 0.5 * across / across.norm())
    return made


def write(path, weights, **more) -> None:
    """As timm names them"""
    save_file({**{f"{name}.weight": tensor.contiguous() for name, tensor in weights.items()},
               **{f"{name}.bias": torch.zeros(len(tensor)) for name, tensor in weights.items()}, **more}, path)


@pytest.mark.parametrize("rho", [1.0, 0.5, -0.3, 0.0])
def test_a_known_cosine_comes_out_in_every_layer_and_in_all(rho):
    start, tau = layers(1), {name: 0.01 * tensor for name, tensor in layers(2).items()}
    trained = {name: start[name] + tau[name] for name in start}
    rows = align(with_cosine(tau, rho), start, trained, permutations=200)
    assert [row.layer for row in rows] == [*start, ALL]
    for row in rows[:-1]:
        assert row.cosine == pytest.approx(rho, abs=1e-4)
        assert row.chance == pytest.approx(row.numbers**-0.5, rel=0.25)
        assert row.low < 0 < row.high
        assert row.auxiliary_norm == pytest.approx(3, rel=1e-4)
    assert rows[-1].numbers == sum(row.numbers for row in rows[:-1])
    assert rows[-1].cosine == pytest.approx(rho, abs=0.05)
    assert (rows[-1].p < 0.01) == (rho != 0)


def test_p_values_of_weights_in_no_order_are_those_of_chance():
    start = layers(1)
    found = [align(layers(100 + seed), start, {name: start[name] + tensor for name, tensor in layers(200 + seed).items()},
                   permutations=50)[-1].p for seed in range(60)]
    assert sum(p < 0.1 for p in found) <= 14
    assert 0.35 < sum(found) / len(found) < 0.65


def test_what_cannot_be_compared_is_said_in_one_line(tmp_path, capsys):
    start = layers(1)
    for name, weights in (("start", start), ("deeper", layers(2, depth=3)), ("wide", {key: torch.cat([value, value], 1)
                          for key, value in start.items()}), ("trained", layers(3))):
        write(tmp_path / f"{name}.safetensors", weights)

    def said(auxiliary, trained="trained", *more) -> str:
        named = [] if auxiliary is None else ["--auxiliary", str(tmp_path / f"{auxiliary}.safetensors")]
        assert main(["align", *named, "--start", str(tmp_path / "start.safetensors"), "--trained",
                     str(tmp_path / f"{trained}.safetensors"), "--out", str(tmp_path / "out"), *more]) == 2
        return capsys.readouterr().err

    assert "layer blocks.2.attn.qkv is in --auxiliary and not in --start; models of equal depth" in said("deeper")
    assert "is (24, 8) in --start and (24, 16) in --auxiliary; models of equal width" in said("wide")
    assert "no layer was changed" in said("trained", "start")
    assert "has no pathways, whose auxiliary it could be; name one with --auxiliary" in said(None)
    assert "--permutations 3: expected at least 20" in said("trained", "trained", "--permutations", "3")
    assert "cannot be read" in said("nowhere")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("alter", "fault"), [
    (lambda tensor: (100 * tensor).to(torch.int8), "has int8 numbers, whose scale is not known"),
    (lambda tensor: tensor / 0, "has numbers that are not finite")])
@pytest.mark.parametrize("part", ["weight", "aux_weight", "cross_modal_scale"])
def test_numbers_that_are_no_weights_are_refused_as_convert_does(part, alter, fault, tmp_path, capsys):
    start = layers(1)
    name = "blocks.1.attn.proj"
    more = {f"{name}.{part}": alter(torch.ones(1) if part == "cross_modal_scale" else start[name])}
    write(tmp_path / "start.safetensors", start)
    write(tmp_path / "wrong.safetensors", start, **more)
    assert main(["align", "--auxiliary", str(tmp_path / "start.safetensors"), "--start", str(tmp_path / "start.safetensors"),
                 "--trained", str(tmp_path / "wrong.safetensors"), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert f"wrong.safetensors: {name}.{part} {fault}" in printed
    assert printed.count("\n") == 1


def test_weights_with_a_scale_beside_them_are_refused(tmp_path):
    weights = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in layers(1).items()}
    write(tmp_path / "small.safetensors", weights)
    assert torch.equal(read_blocks(tmp_path / "small.safetensors").weights["blocks.0.mlp.fc1"],
                       weights["blocks.0.mlp.fc1"].float())
    write(tmp_path / "scaled.safetensors", weights, **{"blocks.0.mlp.fc1.weight_scale": torch.ones(16)})
    with pytest.raises(CheckpointError, match=r"blocks\.0\.mlp\.fc1\.weight_scale is left over, .*; write the weights out"):
        read_blocks(tmp_path / "scaled.safetensors")


@pytest.mark.parametrize(("name", "size"), [
    ("blocks.0.attn.qkv.lora_A", (4, 8)), ("blocks.1.mlp.fc2.lora_B.default.weight", (8, 4)), ("blocks.0.gamma_1", (8,)),
    ("blocks.1.attn.q.weight", (8, 8))])
def test_weights_with_low_rank_parts_or_factors_beside_them_are_refused(name, size, tmp_path):
    write(tmp_path / "beside.safetensors", layers(1), **{name: torch.ones(size)})
    with pytest.raises(CheckpointError, match=rf"{re.escape(name)} is left over, .*; write the weights out in full first"):
        read_blocks(tmp_path / "beside.safetensors")


def test_weights_that_are_in_no_layer_of_ours_are_named(tmp_path, capsys):
    more = {f"blocks.{block}.mlp.gate.weight": torch.ones(4, 8) for block in (0, 1)}
    for seed, name in enumerate(("auxiliary", "start", "trained")):
        write(tmp_path / f"{name}.safetensors", layers(seed), **more)
    options = [text for name in ("auxiliary", "start", "trained")
               for text in (f"--{name}", str(tmp_path / f"{name}.safetensors"))]
    assert main(["align", *options, "--out", str(tmp_path / "out")]) == 0
    assert "not compared, as only layers of attention and of an MLP of two layers are: blocks.N.mlp.gate.weight\n" in (
        capsys.readouterr().out)


def test_the_command_leaves_a_table_and_a_figure_and_reads_released_pathways(tmp_path, capsys):
    start, tau = layers(1), {name: 0.01 * tensor for name, tensor in layers(2).items()}
    auxiliary = with_cosine(tau, 0.4)
    write(tmp_path / "start.safetensors", start)
    write(tmp_path / "trained.safetensors", {name: start[name] + tau[name] for name in start}, **{
        f"{name}.aux_weight": tensor.contiguous() for name, tensor in auxiliary.items()}, **{
        f"{name}.cross_modal_scale": torch.tensor([0.25]) for name in auxiliary})
    assert read_blocks(tmp_path / "trained.safetensors").scales == dict.fromkeys(start, 0.25)
    assert main(["align", "--start", str(tmp_path / "start.safetensors"), "--trained", str(tmp_path / "trained.safetensors"),
                 "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "| blocks.1.mlp.fc2 | +0.4000 |" in printed
    assert "more than chance gives" in printed
    frame = pd.read_csv(tmp_path / "out" / "align.csv")
    assert list(frame["cosine"][:-1]) == pytest.approx([0.4] * len(start), abs=1e-3)
    assert set(frame["scale"][:-1]) == {0.25}
    assert (tmp_path / "out" / "align.png").read_bytes().startswith(b"\x89PNG")


def test_which_of_several_sets_of_weights_is_compared_is_said(tmp_path, capsys):
    start, tau = layers(1), layers(2)
    raw, average = ({f"{name}.weight": start[name] + share * tau[name] for name in start} for share in (0.1, -0.1))
    write(tmp_path / "start.safetensors", start)
    write(tmp_path / "auxiliary.safetensors", tau)
    torch.save({"model": raw, "model_ema": average}, tmp_path / "both.pth")
    command = ["align", "--auxiliary", str(tmp_path / "auxiliary.safetensors"), "--start", str(tmp_path / "start.safetensors"),
               "--out", str(tmp_path / "out"), "--permutations", "20", "--trained"]
    assert main([*command, str(tmp_path / "both.pth")]) == 0
    said = capsys.readouterr().out
    assert (f"of {tmp_path}/both.pth taken: the weights under 'model'; there are also model_ema (--weights trained=model_ema)"
            in said)
    assert "in all +1.0000" in said
    assert main([*command, str(tmp_path / "both.pth"), "--weights", "trained=model_ema"]) == 0
    said = capsys.readouterr().out
    assert "taken: the weights under 'model_ema'; there are also model (--weights trained=model)" in said
    assert "in all -1.0000" in said
    torch.save({"model_ema": average}, tmp_path / "average.pth")
    assert main([*command, str(tmp_path / "average.pth")]) == 0
    said = capsys.readouterr().out
    assert "taken" not in said
    assert "in all -1.0000" in said


@pytest.mark.parametrize(("given", "said"), [
    (["model_ema"], "--weights model_ema: expected FILE=NAME, FILE one of start, trained, auxiliary, such as trained="),
    (["model=ema"], "--weights model=ema: expected FILE=NAME"),
    (["auxiliary=model"], "--weights auxiliary=model: there is no --auxiliary; name its file, or leave this out"),
    (["trained=a", "trained=b"], "--weights trained=b: of --trained a set is named already, 'a': give one"),
    (["trained=student"], "no single set of weights 'student' in the file; it has (no name)")])
def test_a_set_that_cannot_be_told_is_refused_in_one_line(given, said, tmp_path, capsys):
    write(tmp_path / "start.safetensors", layers(1))
    file = str(tmp_path / "start.safetensors")
    options = [part for text in given for part in ("--weights", text)]
    assert main(["align", "--start", file, "--trained", file, "--out", str(tmp_path / "out"), *options]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_factors_of_a_pathway_checkpoint_scale_its_auxiliaries_as_they_do_its_weights(tmp_path, capsys):
    """y = gamma (W + s A) x: by the factors W moves along gamma A, of which the cosine with gamma W1 - gamma W0 is asked"""
    start, auxiliary = layers(1), layers(2)
    gamma = {f"blocks.{block}.ls{which}.gamma": torch.linspace(0.01, 3, 8) * which for block in (0, 1) for which in (1, 2)}
    write(tmp_path / "start.safetensors", start, **gamma)
    write(tmp_path / "trained.safetensors", {name: start[name] + 0.3 * auxiliary[name] for name in start}, **gamma, **{
        f"{name}.aux_weight": tensor for name, tensor in auxiliary.items()}, **{
        f"{name}.cross_modal_scale": torch.tensor([0.25]) for name in auxiliary})
    read = read_blocks(tmp_path / "trained.safetensors")
    for layer, which in (("attn.proj", 1), ("mlp.fc2", 2), ("attn.qkv", 0), ("mlp.fc1", 0)):
        factor = gamma[f"blocks.1.ls{which}.gamma"][:, None] if which else 1
        assert torch.equal(read.auxiliaries[f"blocks.1.{layer}"], auxiliary[f"blocks.1.{layer}"] * factor)
    assert main(["align", "--start", str(tmp_path / "start.safetensors"), "--trained", str(tmp_path / "trained.safetensors"),
                 "--out", str(tmp_path / "out")]) == 0
    assert "in all +1.0000" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "out" / "align.csv")["cosine"].round(5)) == {1.0}


@pytest.mark.parametrize("size", [(), (1,), (7,), (8, 8)])
def test_factors_that_do_not_fit_their_layer_are_left_over(size, tmp_path):
    write(tmp_path / "odd.safetensors", layers(1), **{"blocks.0.ls1.gamma": torch.ones(size)})
    with pytest.raises(CheckpointError, match=r"blocks\.0\.ls1\.gamma is left over"):
        read_blocks(tmp_path / "odd.safetensors")
