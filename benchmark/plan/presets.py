"""The named matrices, and a user's own from a file: groups of cells, as values. Pure lists, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from benchmark.plan.matrix import (
    Cell,
    Override,
    Plan,
    Planner,
    join_plans,
    nearest,
    parse_override,
    parse_seeds,
    pick,
    pretraining_tasks,
)
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import SETTINGS, Frozen, Setting

PAPER_TARGETS = ("imagenet", "shapenet", "kinetics", "audioset")
PAPER_PAIRS = (("imagenet", "point"), ("shapenet", "video"))  # of the paper's ablations (Table 5)


class Group(Frozen):
    """The product of some arms, settings, targets, auxiliaries and options, without what does not fit together."""

    arms: tuple[str, ...] = Field(("finetune", "m2pt"), min_length=1)
    settings: tuple[Setting, ...] = Field(("pretrained",), min_length=1)
    targets: tuple[str, ...] | None = Field(PAPER_TARGETS, min_length=1)  # None: every task that has the profile
    auxiliaries: tuple[str, ...] = ()  # modalities; (): every other one
    options: tuple[dict[str, Any], ...] = Field(({},), min_length=1)  # variants of the arms that have these options
    set: tuple[str, ...] = ()  # as --set has it


class Matrix(Frozen):
    """Groups of cells, under some seeds."""

    name: str
    summary: str = ""
    seeds: str = "0-2"
    groups: tuple[Group, ...] = Field(min_length=1)
    limited: bool = False  # a few samples of each split only
    timed: bool = False  # its runs are compared by time, so one after another
    quick: tuple[str, ...] = ()  # as --set has it, for all groups; each may fit nothing


def _pairs(*options: dict[str, Any]) -> tuple[Group, ...]:
    """The paper's ablated pairs, with the plain baseline and some variants of the method."""
    return tuple(Group(targets=(target,), auxiliaries=(auxiliary,), options=options) for target, auxiliary in PAPER_PAIRS)


BASELINES = ("finetune", "fix", "scratch")
FROM_AUXILIARY = ("random-norm", "shuffled", "permuted", "aux-init", "merge")
WITHOUT_AUXILIARY = ("random-init", "same-modality", "self-copy", "zero", "ceiling", "gain", "higher-lr")
PLANTED = ("merge-whole", "merge-whole-random", "merge-own", "merge-random")
LABEL_SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
RATES: tuple[dict[str, Any], ...] = ({}, {"scale_lr_factor": 10.0}, {"scale_lr_factor": 100.0})
PLAIN_RATES: tuple[dict[str, Any], ...] = tuple({"lr_factor": factor} for factor in (0.25, 0.5, 0.7, 1.4, 2.0, 4.0))
STRONGER = (*RATES, *({"scale_per_output": True, **rate} for rate in RATES), {"join_bias": True})

PRESETS: dict[str, Matrix] = {matrix.name: matrix for matrix in (
    Matrix(name="smoke", summary="every cell of the paper's matrix on a few samples for two epochs: does everything run?",
           seeds="0", groups=(Group(),), limited=True,
           quick=tuple(f"{scope}.{value}" for scope in ("recipe", "pretrain") for value in ("epochs=2", "warmup_epochs=1"))),
    Matrix(name="full", summary="every target x auxiliary pair of the paper against its fine-tuned baseline",
           groups=(Group(),)),
    Matrix(name="auxiliaries", summary="do the auxiliaries know anything? pretrained against scratch, for every embedded task",
           groups=(Group(targets=(*PAPER_TARGETS, "modelnet", "kinetics-frame"), arms=("finetune", "scratch"),
                         settings=("pretrained", "scratch")),)),
    Matrix(name="settings", summary="every pair fine-tuned, frozen and from scratch (Tables 1-4)",
           groups=(Group(arms=(*BASELINES, "m2pt"), settings=SETTINGS),)),
    Matrix(name="ablation", summary="which layers, how the scale starts, whether it trains (Table 5)", groups=_pairs(
        *({"layers": [layer]} for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")), {},
        {"scale_init": 1e-2, "train_scale": False}, *({"scale_init": value} for value in (1e-2, 1e-4, 1e-6)))),
    Matrix(name="order", summary="the auxiliary's blocks in order, reversed, permuted (Table 6)",
           groups=_pairs({}, {"order": "reversed"}, {"order": "permuted"})),
    Matrix(name="maturity", summary="the auxiliary early and late in its pretraining (Table 6: 20, 220 and 300 of 300 epochs)",
           groups=_pairs({"maturity": 20 / 300}, {"maturity": 220 / 300}, {})),
    Matrix(name="cost", summary="time, parameters and memory of training and inference (Table 7); one run at a time",
           timed=True,
           groups=(Group(targets=("imagenet",), auxiliaries=("point",)),)),
    Matrix(name="controls", summary="every control on every target, in every setting", seeds="0-5", groups=(
        Group(arms=(*BASELINES, "m2pt", *FROM_AUXILIARY, *WITHOUT_AUXILIARY), settings=SETTINGS),
        Group(arms=("m2pt",), settings=SETTINGS, options=(
            {"order": "reversed"}, {"order": "permuted"}, {"maturity": 20 / 300},
            *({"scale_init": value, "train_scale": False} for value in (0.01, 0.1, 1.0)))),
        Group(arms=("m2pt",), settings=("pretrained", "scratch"), options=(  # under `fix` A is frozen anyway
            {"train_auxiliary": False}, {"auxiliary_decay": False}, {"auxiliary_lr_factor": 10.0})))),
    Matrix(name="evidence", summary="every pair against the controls that a gain must beat, in every setting", seeds="0-5",
           groups=(Group(arms=(*BASELINES, "m2pt", "random-norm", "self-copy", "same-modality"), settings=SETTINGS),)),
    Matrix(name="planted", summary="a known effect, its control and the ceiling, from scratch: does the pipeline see?",
           seeds="0-5",
           groups=(Group(arms=("scratch", *PLANTED, "ceiling", "self-copy"), settings=("scratch",)),)),
    Matrix(name="shuffled-labels", summary="labels dealt out at random: everything must be at chance",
           groups=(Group(set=("recipe.shuffle_labels=true",)),)),
    Matrix(name="labels", summary="5, 10, 25, 50 and 100 % of the labels: does an auxiliary help where labels are few? (4.4.2)",
           groups=tuple(Group(arms=("finetune", "m2pt", "random-norm", "self-copy"), set=(f"recipe.label_share={share:g}",))
                        for share in LABEL_SHARES)),
    Matrix(name="steelman", summary="the method at its best against controls tuned as hard, with few labels and many",
           groups=tuple(Group(arms=arms, settings=SETTINGS, options=options, set=(f"recipe.label_share={share:g}",))
                        for share in (0.1, 1.0) for arms, options in (
                            ((*BASELINES, "m2pt", "random-norm", "self-copy", "same-modality"), STRONGER),
                            (("higher-lr",), PLAIN_RATES)))),
)}


def find_matrix(name: str) -> Matrix:
    """A matrix by name, or from a YAML file; raises `ValueError` saying what is wrong."""
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"unknown matrix {name!r}; {nearest(name, PRESETS)}; or a file that ends in .yaml")
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"matrix {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"matrix {path}: expected a mapping with groups; benchmark info full shows one")
    try:
        matrix = Matrix.model_validate({"name": path.stem, **content})
        parse_seeds(matrix.seeds)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"matrix {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return matrix


def narrow(matrix: Matrix, *, targets: Sequence[str] = (), auxiliaries: Sequence[str] = (), arms: Sequence[str] = (),
           settings: Sequence[Setting] = ()) -> Matrix:
    """What the command line chose: instead of what a matrix of one group has, or from what a matrix of several has.

    Empty means no choice. Raises `ValueError` where nothing is left.
    """
    chosen = {"targets": tuple(targets), "auxiliaries": tuple(auxiliaries), "arms": tuple(arms), "settings": tuple(settings)}
    groups = []
    for group in matrix.groups:
        fields: dict[str, tuple[str, ...]] = {}
        for name, wanted in chosen.items():
            own = getattr(group, name)
            if wanted:
                fields[name] = wanted if len(matrix.groups) == 1 or not own else tuple(x for x in own if x in wanted)
        if all(fields.values()):
            groups.append(group.model_copy(update=fields))
    if not groups:
        asked = "; ".join(f"{name} {', '.join(wanted)}" for name, wanted in chosen.items() if wanted)
        raise ValueError(f"matrix {matrix.name} has no cell with {asked}; benchmark info {matrix.name} says what it has")
    return matrix.model_copy(update={"groups": tuple(groups)})


def plan_matrix(matrix: Matrix, tasks: Mapping[str, Task], arms: Mapping[str, Arm], profile: str, seeds: Sequence[int],
                overrides: Sequence[Override] = (), given: Mapping[str, Path] | None = None, limit: int | None = None) -> Plan:
    """Every run of a matrix; raises `ValueError` for names, options and overrides that fit nothing.

    `given` are weights by modality that take the place of its pretraining; `limit` is of samples of each split.
    """
    quick = [parse_override(text, tasks, may_fit_nothing=True) for text in matrix.quick]
    every = tuple(name for name, task in tasks.items() if profile in task.profiles)
    parts = []
    for group in matrix.groups:
        own = [parse_override(text, tasks) for text in group.set]
        planner = Planner(tasks, profile, [*quick, *own, *overrides], matrix.limited, limit, given or {})
        parts.append((planner, cells_of(tasks, arms, group if group.targets else group.model_copy(update={"targets": every}))))
    if not any(cells for _, cells in parts):
        group = matrix.groups[0]
        raise ValueError(f"no run fits: targets {', '.join(group.targets or tasks)}; arms {', '.join(group.arms)}; "
                         f"settings {', '.join(group.settings)}; auxiliaries {', '.join(group.auxiliaries) or 'all'}")
    return replace(join_plans(parts, seeds), timed=matrix.timed)


def cells_of(tasks: Mapping[str, Task], arms: Mapping[str, Arm], group: Group) -> list[Cell]:
    """Every valid combination: an arm in each setting it allows, with each auxiliary of another modality if it uses one."""
    modalities = list(group.auxiliaries) or list(pretraining_tasks(tasks))
    pick(group.targets, tasks, "task")
    pick(group.arms, arms, "arm")
    pick(group.auxiliaries, pretraining_tasks(tasks), "auxiliary modality")
    variants = _variants([arms[name] for name in group.arms], group.options)
    cells = []
    for task in (tasks[name] for name in group.targets or tasks):
        for setting in (setting for setting in SETTINGS if setting in group.settings):
            for arm in variants:
                if setting not in arm.settings:
                    continue
                if not arm.uses_auxiliary:
                    cells.append(Cell(task, arm, setting))
                else:
                    cells += [Cell(task, arm, setting, modality) for modality in modalities if modality != task.modality]
    return cells


def _variants(arms: Sequence[Arm], options: Sequence[Mapping[str, Any]]) -> list[Arm]:
    """Each arm with each set of options; an arm that has none of them once, as it is."""
    known = {name for arm in arms for name in type(arm).model_fields}
    for name in (name for option in options for name in option):
        if name not in known:
            raise ValueError(f"unknown option {name!r} of arms {', '.join(arm.name for arm in arms)}; {nearest(name, known)}")
    found: list[Arm] = []
    for arm in arms:
        for option in options:
            if not set(option) <= type(arm).model_fields.keys():
                option = {}
            try:
                variant = type(arm).model_validate({**arm.model_dump(), **option})
            except ValidationError as error:
                first = error.errors()[0]
                raise ValueError(f"option {'.'.join(map(str, first['loc']))} of arm {arm.name}: {first['msg']}") from error
            if variant not in found:
                found.append(variant)
    return found
