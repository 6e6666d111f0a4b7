"""What a pathway costs beside the plain model: optimizer steps, training steps, memory, inference, and the trainer itself."""

from __future__ import annotations

import gc
import multiprocessing
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmark.bench.measure import Bench, Result, alternate, alternate_anew, milliseconds, ratios
from benchmark.bench.parametrized import parametrized, plain_adamw
from benchmark.data.examples import Batch
from benchmark.data.seeds import SampleRandom
from benchmark.model.connect import connect
from benchmark.model.encoder import TransformerModel, build_blocks
from benchmark.model.pathway import CrossModal, connected, merge
from benchmark.model.weights import export_weights, read_weights
from benchmark.plan.matrix import Cell, Planner, pretraining_tasks
from benchmark.spec.contracts import Task
from benchmark.spec.recipes import ModelShape, TrainRecipe
from benchmark.spec.runspec import RunSpec
from benchmark.train.feed import batches, epoch_order
from benchmark.train.loop import fit
from benchmark.train.optim import autocast, build_optimizer, clear_gradients, learning_rate, set_learning_rate
from benchmark.train.setup import build_model, prepare, train_recipe

VIT_B = ModelShape(input_size=(224, 224), patch_size=(16, 16))
NUM_CLASSES = 1000
BYTES_OF_A_PATHWAY = 28  # a number of A and of its two moments is read and written, one of the sum is written; 4 bytes each
KINDS = ("plain", "pathway", "parametrized")
Step = Callable[[], object]


def vit_b(task: Task, device: torch.device, depth: int, kind: str = "plain") -> TransformerModel:
    """ViT-B/16 for 1000 classes, with pathways from another one unless plain."""
    torch.manual_seed(0)
    shape = VIT_B.model_copy(update={"depth": depth})
    with device:  # to draw its weights elsewhere takes seconds
        model = TransformerModel(task.tokenizer(shape), task.head(shape, NUM_CLASSES, "pretrained"), shape)
        if kind != "plain":
            connect(model.blocks, blocks_like(shape), scale_init=1e-3)
    return model.to(device)


def blocks_like(shape: ModelShape) -> nn.ModuleList:
    """Freshly initialised blocks of a shape"""
    return build_blocks(shape.embed_dim, shape.depth, shape.num_heads, shape.mlp_ratio, shape.qkv_bias)


def trained(kind: str, model: nn.Module, recipe: TrainRecipe, depth: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model and optimizer of a kind; `model` has pathways unless plain."""
    if kind != "parametrized":
        return model, build_optimizer(model, recipe, depth)
    copied, named = parametrized(model)
    return copied, plain_adamw(named, recipe, depth, fused=True)


def image_step(model: nn.Module, optimizer: torch.optim.Optimizer, recipe: TrainRecipe, x: Tensor, label: Tensor) -> None:
    """A training step on prepared images."""
    clear_gradients(model)
    with autocast(recipe, x.device):
        loss = nn.functional.cross_entropy(model({"input": x}).float(), label)
    loss.backward()
    optimizer.step()


def measure_optimizer(bench: Bench) -> Iterator[Result]:
    """The optimizer's step with pathways less the plain one, over the time of moving the bytes that it must move."""
    device = bench.device
    recipe = TrainRecipe(epochs=1, batch_size=1, lr=1e-4)
    steps: dict[str, Step] = {}
    for kind in KINDS[:2]:
        model, optimizer = trained(kind, vit_b(bench.tasks["imagenet"], device, bench.depth, kind), recipe, bench.depth)
        behind = {id(parameter) for child in connected(model) for parameter in child.parameters()}
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter) * 1e-3 if id(parameter) not in behind else None
        steps[kind] = partial(_step_anew, optimizer, [child.scale for child in connected(model)])
    numbers = sum(parameter.numel() for name, parameter in model.named_parameters() if name.endswith("pathway.auxiliary"))
    source = torch.empty(200_000_000 if device.type == "cpu" else 1_000_000_000, device=device).fill_(1)
    target = torch.empty_like(source)
    seconds = alternate({**steps, "copy": partial(target.copy_, source)}, bench.repeats, bench.wait)
    bandwidth = [8 * source.numel() / spent for spent in seconds["copy"]]
    floors = [BYTES_OF_A_PATHWAY * numbers / speed for speed in bandwidth]
    extra = [one - other for one, other in zip(seconds["pathway"], seconds["plain"], strict=True)]
    yield Result("pathway", "optimizer step: what a pathway adds, over the time to move 28 bytes a number",
                 ratios(extra, floors), 1.3 if device.type == "cpu" else 1.5,
                 detail=f"adds {milliseconds(extra)} to {milliseconds(seconds['plain'])}; floor {milliseconds(floors)} at "
                        f"{statistics.median(bandwidth) / 1e9:.0f} GB/s, {numbers / 1e6:.0f} M numbers")


def _step_anew(optimizer: torch.optim.Optimizer, scales: list[Tensor]) -> None:
    for scale in scales:
        scale.grad = None
    optimizer.step()


def measure_steps(bench: Bench) -> Iterator[Result]:
    """Training steps of ViT-B/16 with pathways over plain ones, at three batch sizes."""
    device, depth, task = bench.device, bench.depth, bench.tasks["imagenet"]
    gpu = device.type == "cuda"
    bounds = {256: 1.015, 128: 1.03, 64: 1.06} if gpu else {16: 1.04, 4: 1.15, 1: 1.40}
    recipe = TrainRecipe(epochs=1, batch_size=1, lr=1e-4, precision="bf16" if gpu else "fp32")

    def build(x: Tensor, label: Tensor) -> dict[str, Step]:
        return {kind: partial(image_step, *trained(kind, vit_b(task, device, depth, kind), recipe, depth), recipe, x, label)
                for kind in KINDS}

    for batch_size, bound in bounds.items():
        x = torch.randn(batch_size, 3, 224, 224, device=device)
        label = torch.zeros(batch_size, dtype=torch.int64, device=device)
        seconds = alternate_anew(partial(build, x, label), bench.repeats, bench.wait, warm_up=1)
        plain = ratios(seconds["parametrized"], seconds["plain"])
        what = f"training step of ViT-B/16 with pathways, batch {batch_size}, {recipe.precision}"
        yield Result("pathway", what, ratios(seconds["pathway"], seconds["plain"]), bound,
                     detail=f"plain {milliseconds(seconds['plain'])}; plain parametrization {statistics.median(plain):.3f}")
        if gpu:
            yield Result("pathway", f"{what}, over the plain parametrization's",
                         ratios(seconds["pathway"], seconds["parametrized"]), 1.0)


def tiny_run(bench: Bench, task: Task) -> RunSpec:
    """The baseline from scratch of a task, under the profile tiny."""
    return Planner(bench.tasks, "tiny").plan([Cell(task, bench.arms["scratch"], "scratch")], [0]).specs[-1]


def measure_tiny(bench: Bench) -> Iterator[Result]:
    """Training steps of the tiny profile's models at batch 64, augmentation included, with pathways over plain ones."""
    device = bench.device
    for task in (task for task in pretraining_tasks(bench.tasks).values() if not task.on_request):
        spec = tiny_run(bench, task)
        batch = task.load("tiny")["train"].batch(torch.arange(64), device)
        seconds = alternate_anew(partial(_tiny_works, task, spec, batch), 3 * bench.repeats, bench.wait)
        plain = ratios(seconds["parametrized"], seconds["plain"])
        floor = 1 + statistics.median(ratios(seconds["least"], seconds["plain"]))
        yield Result("pathway", f"training step of the tiny {task.name} model with pathways, batch 64",
                     ratios(seconds["pathway"], seconds["plain"]), 1.08,
                     detail=f"plain {milliseconds(seconds['plain'])}; plain parametrization {statistics.median(plain):.3f}; "
                            f"{floor:.3f} if torch's own step of A and s, and their sum, were all that is added")


def _tiny_works(task: Task, spec: RunSpec, batch: Batch) -> dict[str, Step]:
    """A training step of each kind, and of the least that a pathway adds"""
    recipe = spec.recipe
    assert isinstance(recipe, TrainRecipe)
    works: dict[str, Step] = {}
    for kind in KINDS:
        model = build_model(spec, task)
        if kind != "plain":
            connect(model.blocks, blocks_like(spec.shape), scale_init=1e-3)
        model = model.to(batch["input"].device)
        works[kind] = partial(_tiny_step, task, spec, *trained(kind, model, recipe, spec.shape.depth), batch)
        if kind == "pathway":
            works["least"] = _least_step(model, recipe)
    return works


def _least_step(model: nn.Module, recipe: TrainRecipe) -> Step:
    """What no pathway can do without, in as few calls as torch has for it: gradients of A and s, a fused step, the sum."""
    held = [(child.weight, child.auxiliary, child.scale) for child in connected(model) if isinstance(child, CrossModal)]
    weights, auxiliaries, scales = ([each[part].detach().clone() for each in held] for part in range(3))
    gradients = [torch.randn_like(weight) * 1e-3 for weight in weights]
    groups: list[dict[str, Any]] = [{"params": auxiliaries}, {"params": scales, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)

    def step() -> None:
        products = torch._foreach_mul(gradients, auxiliaries)
        for scale, product in zip(scales, products, strict=True):
            scale.grad = product.sum()
        for auxiliary, gradient in zip(auxiliaries, torch._foreach_mul(gradients, scales), strict=True):
            auxiliary.grad = gradient
        optimizer.step()
        torch._foreach_add(torch._foreach_mul(auxiliaries, scales), weights)

    return step


def _tiny_step(task: Task, spec: RunSpec, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    model.train()
    clear_gradients(model)
    loss_on(task, spec, model, batch, SampleRandom(0, 0, batch["index"])).backward()
    optimizer.step()


def loss_on(task: Task, spec: RunSpec, model: nn.Module, batch: Batch, random: SampleRandom) -> Tensor:
    """The loss of a training on a batch as it is stored"""
    recipe = train_recipe(spec)
    prepared = prepare(task, spec, batch, random, recipe.augment)
    with autocast(recipe, batch["index"].device):
        return task.loss(model(prepared), prepared, recipe)


def measure_trainer(bench: Bench) -> Iterator[Result]:
    """An epoch through `fit` over a bare loop of the same steps on the same model, the optimizer built anew."""
    device, task = bench.device, bench.tasks["imagenet"]
    spec = tiny_run(bench, task)
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"epochs": 1, "warmup_epochs": 0})})
    recipe, examples = train_recipe(spec), task.load("tiny")["train"]
    model = build_model(spec, task).to(device)
    compute_loss = partial(loss_on, task, spec, model)

    def bare() -> None:
        model.train()
        optimizer = build_optimizer(model, recipe, spec.shape.depth)
        order = batches(epoch_order(len(examples), 0, 0), recipe.batch_size)
        for step, chosen in enumerate(order):
            set_learning_rate(optimizer, learning_rate(recipe, (step + 1) / len(order)))
            clear_gradients(model)
            batch = examples.batch(chosen, device)
            compute_loss(batch, SampleRandom(0, 0, batch["index"])).backward()
            optimizer.step()

    def ours() -> None:
        fit(model, compute_loss, recipe, spec.shape.depth, examples, 0, device)

    seconds = alternate({"trainer": ours, "bare": bare}, 3 * bench.repeats, bench.wait)
    yield Result("trainer", "an epoch of the plain arm over a bare loop with the same model, batches and augmentation",
                 ratios(seconds["trainer"], seconds["bare"]), 1.03, detail=f"bare {milliseconds(seconds['bare'])}")


def measure_memory(bench: Bench) -> Iterator[Result]:
    """Peak memory of ViT-B/16 training with pathways less the plain one's, over A, its two moments and the sum."""
    peaks: dict[str, list[int]] = {kind: [] for kind in KINDS[:2]}
    measure = _peak_here if bench.device.type == "cuda" else _peak_alone
    for _ in range(1 if bench.device.type == "cuda" else bench.repeats):  # a GPU's peak is the same every time
        for kind, measured in peaks.items():
            peak, numbers = measure(kind, bench)
            measured.append(peak)
    needed = 4 * 4 * numbers
    plain, pathway = (statistics.median(peaks[kind]) / 2**30 for kind in KINDS[:2])
    yield Result("pathway", "peak memory that a pathway adds, over that of A, its two moments and one sum",
                 tuple((ours - theirs) / needed for ours, theirs in zip(peaks["pathway"], peaks["plain"], strict=True)), 1.15,
                 detail=f"{plain:.2f} GiB plain, {pathway:.2f} GiB with pathways")


def _peak_alone(kind: str, bench: Bench) -> tuple[int, int]:
    """In a process of its own, whose peak is its own"""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(kind, bench, send))
    process.start()
    send.close()
    try:
        peak: tuple[int, int] = receive.recv()
    except EOFError as error:
        raise RuntimeError("the process that measures memory ended early; is there enough of it?") from error
    finally:
        process.join()
    return peak


def _peak_here(kind: str, bench: Bench) -> tuple[int, int]:
    """On a GPU, whose allocator counts from where it is told to"""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(bench.device)
    before = torch.cuda.memory_allocated(bench.device)
    numbers = _train_a_little(kind, bench)
    return torch.cuda.max_memory_allocated(bench.device) - before, numbers


def _peak(kind: str, bench: Bench, send: Any) -> None:
    numbers = _train_a_little(kind, bench)
    send.send((_peak_resident(), numbers))


def _train_a_little(kind: str, bench: Bench) -> int:
    """Three steps of ViT-B; returns how many numbers its connected layers have."""
    where = bench.device
    recipe = TrainRecipe(epochs=1, batch_size=1, lr=1e-4)
    model, optimizer = trained(kind, vit_b(bench.tasks["imagenet"], where, bench.depth, kind), recipe, bench.depth)
    x, label = torch.randn(1, 3, 224, 224, device=where), torch.zeros(1, dtype=torch.int64, device=where)
    for _ in range(3):
        image_step(model, optimizer, recipe, x, label)
    return sum(linear.weight.numel() for linear in model.modules() if isinstance(linear, nn.Linear)) - NUM_CLASSES * 768


def _peak_resident() -> int:
    """Bytes that this process held at most. Linux's `ru_maxrss` counts the parent's too, from before `exec`."""
    try:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_inference(bench: Bench) -> Iterator[Result]:
    """A merged and exported ViT-B/16, loaded into timm's, over timm's own; and whether they are one model."""
    device = bench.device
    model = vit_b(bench.tasks["imagenet"], device, bench.depth, "pathway")
    merge(model)
    plain, exported = (timm.create_model("vit_base_patch16_224", global_pool="avg", num_classes=NUM_CLASSES,
                                         depth=bench.depth).to(device).eval() for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        export_weights(model, Path(folder) / "weights.safetensors")
        state = read_weights(Path(folder) / "weights.safetensors")
    missing = exported.load_state_dict(state, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - {"pos_embed"}:
        raise RuntimeError(f"the exported model is not timm's: {missing}")
    x = torch.randn(4, 3, 224, 224, device=device)
    with torch.inference_mode():
        works: dict[str, Step] = {"exported": partial(exported, x), "plain": partial(plain, x)}
        seconds = alternate(works, 3 * bench.repeats, bench.wait)
    counts = [sum(parameter.numel() for parameter in each.parameters()) for each in (exported, plain)]
    if counts[0] != counts[1]:
        raise RuntimeError(f"the exported model has {counts[0]} parameters and timm's {counts[1]}")
    operations = [count_operations(each, x) for each in (exported, plain)]
    if operations[0] != operations[1]:
        raise RuntimeError(f"the exported model does {operations[0]} operations and timm's {operations[1]}")
    yield Result("pathway", "inference of the merged and exported ViT-B/16 over timm's",
                 ratios(seconds["exported"], seconds["plain"]), 1.01, least=0.99,
                 detail=f"{milliseconds(seconds['plain'])} for 4 images; {counts[0]:,} parameters and "
                        f"{sum(operations[0].values()) / 1e9:.4g} Gflop each")


def count_operations(model: nn.Module, x: Tensor) -> dict[str, int]:
    """Floating-point operations of a forward pass, by kind; those of attention are products of its parts (aten.bmm).

    The counter knows no operations of the fused kernel that a CPU takes, so it would count attention as none.
    """
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(x)
    return {str(kind): count for kind, count in counter.get_flop_counts()["Global"].items()}
