"""Records as real runs would leave them, with chosen outcomes: for tests of everything that reads records."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Mapping, Sequence

from benchmark.evidence.inputs import TaskInfo
from benchmark.provenance.currency import Standing
from benchmark.records.record import Environment, Layer, Measurement, Record
from benchmark.spec.contracts import Metric
from benchmark.spec.recipes import ModelShape, PretrainRecipe, TrainRecipe
from benchmark.spec.runspec import RunSpec

TASKS = {
    "imagenet": TaskInfo("image", (Metric("top-1"), Metric("top-5")), {"tiny": 2.1}),
    "shapenet": TaskInfo("point", (Metric("instance mIoU"), Metric("class mIoU")), {"tiny": 23.4}),
    "kinetics": TaskInfo("video", (Metric("top-1"), Metric("top-5")), {"tiny": 12.5}, {"tiny": {"one frame": 24.0}}),
    "audioset": TaskInfo("audio", (Metric("mAP"),), {"tiny": 11.8}),
}
MODALITIES = tuple(info.modality for info in TASKS.values())
LEVELS = {"imagenet": 47.0, "shapenet": 57.0, "kinetics": 52.0, "audioset": 60.0}
SHAPE = ModelShape(embed_dim=192, depth=4, num_heads=3, input_size=(32, 32), patch_size=(4, 4))
COMPONENTS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
CODE = {"engine": "c0de" * 4}
OTHER_CODE = {"engine": "abcd" * 4}


def make_spec(
    task: str = "imagenet", arm: str = "finetune", auxiliary: str | None = None, seed: int = 0, **changes
) -> RunSpec:
    """A training of the tiny profile; `changes` overrides any field, and `epochs` the recipe's."""
    epochs = changes.pop("epochs", 12)
    role = {"finetune": "baseline", "scratch": "baseline", "fix": "baseline", "m2pt": "method"}.get(arm, "control")
    modality = TASKS[task].modality if task in TASKS else "tactile"
    fields = {
        "kind": "train", "task": task, "modality": modality, "profile": "tiny", "seed": seed, "shape": SHAPE,
        "recipe": TrainRecipe(epochs=epochs, batch_size=32, lr=1e-3), "num_classes": 10, "arm": arm,
        "setting": "scratch" if arm == "scratch" else "pretrained", "auxiliary": auxiliary, "role": role,
        "starts": {} if arm == "scratch" else {"target": digest(modality, seed)[:12]},
        "data": {f"{task} data": digest(task)},
    }  # fmt: skip
    return RunSpec(**(fields | changes))


def make_record(spec: RunSpec, final: float = 50.0, *, torch: str = "2.11.0", started: str = "", **changes) -> Record:
    """A finished run whose main test metric ends at exactly `final`, after a saturating, noisy curve."""
    noise = random.Random(digest(spec.task, spec.seed, "noise"))
    info = TASKS.get(spec.task, TaskInfo("tactile", (Metric("grasp rate"),)))
    epochs = spec.recipe.epochs
    rows = []
    for step in range(1, epochs + 1):
        grown = final * (1 - math.exp(-4 * step / epochs)) / (1 - math.exp(-4))
        for offset, metric in enumerate(info.metrics):
            jitter = 0.0 if step == epochs else noise.gauss(0, 0.4)
            rows.append(Measurement(split="test", metric=metric.name, step=step, value=grown + 9 * offset + jitter))
            value = grown + 9 * offset + 1 + noise.gauss(0, 0.4)
            rows.append(Measurement(split="val", metric=metric.name, step=step, value=value))
        rows.append(Measurement(split="train", metric="loss", step=step, value=2.5 * math.exp(-3 * step / epochs)))
    environment = Environment(
        commit="0123456789abcdef0123456789abcdef01234567", dirty=False, python="3.11.9", torch=torch, platform="Linux",
        processor="Example CPU", device="cpu", threads=1, deterministic=True,
    ).model_copy(update=changes.pop("environment", {}))  # fmt: skip
    fields = {
        "run_id": spec.run_id, "spec": spec, "measurements": rows, "layers": make_layers(spec),
        "environment": environment, "code": CODE,
        "merge_difference": 1e-7, "parameters": {"training": 3_600_000, "merged": 1_800_000},
        "seconds": {"wall": 61.0}, "started": started or f"2025-01-01T00:{spec.seed:02d}:00+00:00",
        "command": "benchmark run --matrix full",
    }  # fmt: skip
    return Record(**(fields | changes))


def make_layers(spec: RunSpec) -> list[Layer]:
    """Learned scales that grow with depth; none without an auxiliary."""
    if spec.auxiliary is None:
        return []
    noise = random.Random(digest(spec.task, spec.auxiliary, spec.seed, "scales"))
    return [
        Layer(name=f"blocks.{block}.{part}", scale=noise.gauss(0, 0.004) + 0.004 * (block + 1) * (1 + place) / 2)
        for block in range(spec.shape.depth)
        for place, part in enumerate(COMPONENTS)
    ]


def make_pretraining(modality: str, seed: int = 0, profile: str = "tiny") -> Record:
    recipe = PretrainRecipe(epochs=5, batch_size=32, lr=1e-3)
    spec = RunSpec(kind="pretrain", task=modality, modality=modality, profile=profile, seed=seed, shape=SHAPE,
                   recipe=recipe, data={"pool": digest(modality)}, role="pretraining")  # fmt: skip
    rows = [Measurement(split="train", metric="loss", step=step, value=1 / step) for step in range(1, 6)]
    return make_record(make_spec()).model_copy(
        update={"run_id": spec.run_id, "spec": spec, "measurements": rows, "layers": []}
    )


def make_matrix(
    targets: Iterable[str] = tuple(TASKS),
    auxiliaries: Sequence[str] = MODALITIES,
    seeds: Iterable[int] = range(3),
    effects: Mapping[tuple[str, str], float] | None = None,
    scratch: bool = True,
    **changes,
) -> list[Record]:
    """Baseline, every auxiliary of another modality, from scratch; `effects` by (target, auxiliary), else random."""
    records = []
    for task in targets:
        for seed in seeds:
            noise = random.Random(digest(task, seed))
            level = LEVELS.get(task, 40.0) + noise.gauss(0, 0.8)
            records.append(make_record(make_spec(task, seed=seed, **changes), level))
            if scratch:
                spec = make_spec(task, "scratch", seed=seed, **changes)
                records.append(make_record(spec, level - 8 + noise.gauss(0, 1)))
            for auxiliary in auxiliaries:
                effect = (effects or {}).get((task, auxiliary), random.Random(digest(task, auxiliary)).gauss(0.2, 0.7))
                spec = make_spec(task, "m2pt", auxiliary, seed, **changes)
                if auxiliary != spec.modality:
                    records.append(make_record(spec, level + effect + noise.gauss(0, 0.25)))
    return records


def standings_of(records: Iterable[Record], outdated: Iterable[Record] = ()) -> dict[str, Standing]:
    """Every record of today's code but those that are `outdated`"""
    other = {record.identity for record in outdated}
    return {record.identity: Standing("other code" if record.identity in other else "up to date") for record in records}


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
