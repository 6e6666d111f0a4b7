"""A plan in; whether blocks that are to be joined or loaded have one shape, whether the values of a recipe fit each other, and
which runs will have no baseline, said before anything is trained. No torch, but where a head is asked about small batches."""

from __future__ import annotations

from collections.abc import Collection

from benchmark.plan.matrix import Job, Plan
from benchmark.spec.recipes import PretrainRecipe
from benchmark.spec.runspec import RunSpec
from benchmark.spec.weightfile import exact, read_head

# Of a recipe, what a task and its data have a say in; all else is the engine's.
TRIED = ("augment", "test_views", "label_smoothing", "label_share", "mixup", "cutmix", "mask_ratio", "accumulation")
SHARED = ("depth", "embed_dim", "num_heads", "mlp_ratio")  # of a shape: what blocks must have in common
LONGEST_NAME = 240  # bytes, of 255 that file systems take: the folder of a run that is being saved is called by more


def check_blocks(plan: Plan) -> None:
    """Raises `ValueError` naming the first run whose blocks differ from those that it starts from in depth, width or heads, or
    that starts from a file of blocks alone where it wants a whole encoder."""
    for job in plan.jobs:
        for path in (file.weights for role, file in job.files if role == "target"):
            head = read_head(path)
            if head is not None and not any(name.startswith("tokenizer.") for name in head):
                raise ValueError(f"{job.spec.cell} starts from a whole encoder, and {path} has no tokenizer: write it with "
                                 f"benchmark convert FILE {job.task.name}, without --blocks-only")
        shapes = [*((role, run.shape) for role, run in job.needs), *((role, file.shape) for role, file in job.files)]
        for role, shape in shapes:
            wrong = [name for name in SHARED if getattr(job.spec.shape, name) != getattr(shape, name)]
            if wrong:
                ours, theirs = (", ".join(f"{name} {exact(getattr(each, name))}" for name in wrong)
                                for each in (job.spec.shape, shape))
                fields = " and ".join(f"shape.{name}" for name in wrong)
                raise ValueError(f"{job.spec.cell} has blocks of {ours}, and its {role} of {theirs}: they are joined one "
                                 f"to one, so set {fields} alike, for every task or for none")


def check_heads(plan: Plan) -> None:
    """Raises `ValueError` naming the first run whose width is not divided by its heads."""
    for spec in plan.specs:
        for prefix in ("", "decoder_") if spec.kind == "pretrain" else ("",):
            width, heads = getattr(spec.shape, f"{prefix}embed_dim"), getattr(spec.shape, f"{prefix}num_heads")
            if width % heads:
                raise ValueError(f"{spec.cell}: shape.{prefix}num_heads is {heads}, which does not divide {width}, "
                                 f"shape.{prefix}embed_dim; set one to fit the other")


def check_names(plan: Plan) -> None:
    """Raises `ValueError` where a run, which is named by the options of its arm, too, could have no folder of that name."""
    for spec in plan.specs:
        if any(letter in spec.name for letter in ("/", "\\", "\0", "\n")):
            raise ValueError(f"{spec.cell}: a run's folder is named by [{spec.variant}], which has a character that no "
                             "folder's name has; give the option a value without it")
        if (length := len(spec.name.encode(errors="replace"))) > LONGEST_NAME:
            raise ValueError(f"{spec.cell}: a run's folder is named by [{spec.variant}], and its name would have {length} "
                             f"bytes, above {LONGEST_NAME}; give the option a shorter value")


def check_recipes(plan: Plan) -> None:
    """Raises `ValueError` for values that a recipe has one by one, and that together say something else than they read.

    When runs are planned only: records of runs that had them can still be read.
    """
    for job in {(job.task.name, job.spec.kind, job.spec.setting, job.spec.recipe.model_dump_json()): job
                for job in plan.jobs}.values():
        recipe, scope = job.spec.recipe, _scope(job)
        where = f"{job.spec.cell}: {scope}"
        if recipe.min_lr > recipe.lr:
            raise ValueError(f"{where}.min_lr is {recipe.min_lr:g}, above the {recipe.lr:g} of {scope}.lr, from which the rate "
                             f"falls to it; set {scope}.min_lr to {recipe.lr:g} or less")
        if not all(0 <= beta < 1 for beta in recipe.betas):
            raise ValueError(f"{where}.betas is {','.join(f'{beta:g}' for beta in recipe.betas)}, of which a moving mean keeps "
                             "each share of what it was; set both to 0 or more, and less than 1")
        if isinstance(recipe, PretrainRecipe) and (recipe.stop_epoch or 0) > recipe.epochs:
            raise ValueError(f"{where}.stop_epoch is {recipe.stop_epoch}, and the schedule ends after {recipe.epochs} epochs; "
                             f"set {scope}.stop_epoch to {recipe.epochs} or less")
        if recipe.accumulation > recipe.batch_size:
            raise ValueError(f"{where}.accumulation is {recipe.accumulation}, and a batch of {recipe.batch_size} has not so "
                             f"many parts; set it to {recipe.batch_size} or less, or raise {scope}.batch_size")
        if job.spec.kind == "train":
            check_micro_batches(job)
        for name in sorted(job.task.shares & recipe.augment.keys()):
            if not 0 <= recipe.augment[name] <= 1:
                raise ValueError(f"{where}.augment.{name} is {recipe.augment[name]:g}, and it is a share or a probability; "
                                 "set it to a value from 0 to 1")


def check_micro_batches(job: Job, samples: int | None = None) -> None:
    """Raises `ValueError` where the batch norm in a task's head would be given one sample alone. `samples`: how many the run
    trains on, where its data were read, as only then it is known that they are fewer than a batch."""
    recipe = job.spec.recipe
    if smallest_part(job.spec, recipe.accumulation, samples) == 1 < _least_samples(job):
        fitting = next((parts for parts in range(recipe.accumulation, 0, -1)
                        if recipe.batch_size % parts == 0 and smallest_part(job.spec, parts, samples) > 1), None)
        way = "give batches more than one sample" if fitting is None else f"set recipe.accumulation to {fitting}"
        raise ValueError(f"{job.spec.cell}: recipe has a micro-batch of one sample, which the batch norm in the task's head "
                         f"cannot train on; {way}")


def smallest_part(spec: RunSpec, accumulation: int, samples: int | None = None) -> int:
    """Rows in the smallest micro-batch of a run whose batches are cut into so many; see `benchmark.train.feed`."""
    batch_size, repeats = spec.recipe.batch_size, spec.recipe.repeats or 1
    samples = min(batch_size, samples or spec.limit or batch_size)
    parts = -(-samples // -(-batch_size // accumulation))
    size = -(-samples // parts)
    return (samples % size or size) * repeats


def _least_samples(job: Job) -> int:
    """Of the task's head, which is built to be asked: where a micro-batch is that small, and nowhere else"""
    assert job.spec.num_classes is not None
    return job.task.head(job.spec.shape, job.spec.num_classes, job.spec.setting or "pretrained").least_samples


def set_otherwise(job: Job) -> dict[str, object]:
    """What of a run's sizes, and of what its task makes of the recipe, is not its profile's: by name, as --set has it"""
    profile, spec = job.task.profiles[job.spec.profile], job.spec
    own = profile.pretrain if spec.kind == "pretrain" else profile.train[spec.setting or "pretrained"]
    found: dict[str, object] = {}
    for part, before, now, names in (("shape", profile.shape, spec.shape, type(spec.shape).model_fields),
                                     (_scope(job), own, spec.recipe, TRIED)):
        for name in names:
            had, has = getattr(before, name, None), getattr(now, name, None)
            if isinstance(has, dict) and isinstance(had, dict):  # a fold is the seed's
                found |= {f"{part}.{name}.{key}": value for key, value in has.items()
                          if had.get(key) != value and key != "fold"}
            elif had != has:
                found[f"{part}.{name}"] = has
    return found


def note_warmup(plan: Plan) -> list[str]:
    """A line for each kind of run whose warm-up is as long as its training, as it is in short trials"""
    rising: dict[str, set[str]] = {}
    for job in plan.jobs:
        if job.spec.recipe.warmup_epochs >= job.spec.recipe.epochs:
            rising.setdefault(_scope(job), set()).add(job.spec.modality if job.spec.kind == "pretrain" else job.spec.task)
    return [f"note: {scope}.warmup_epochs is no less than {scope}.epochs ({', '.join(sorted(names))}), so the learning rate "
            f"never reaches its peak; for more than a trial, set {scope}.warmup_epochs lower"
            for scope, names in rising.items()]


def _scope(job: Job) -> str:
    return "pretrain" if job.spec.kind == "pretrain" else "recipe"


def without_baseline(plan: Plan, held: Collection[RunSpec] = ()) -> list[RunSpec]:
    """The plan's trainings that no baseline of their seed can be compared with, neither of the plan nor of those `held`."""
    baselines = {(spec.comparison, spec.seed) for spec in (*plan.specs, *held) if spec.role == "baseline"}
    return [spec for spec in plan.specs if spec.kind == "train" and spec.role != "baseline"
            and (spec.comparison, spec.seed) not in baselines]
