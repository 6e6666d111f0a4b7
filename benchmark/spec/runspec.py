"""What to compute, and under which name: a `RunSpec` says everything that can change a result and nothing else."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, PositiveInt

from benchmark.spec.recipes import Frozen, ModelShape, PretrainRecipe, Setting, TrainRecipe

Role = Literal["pretraining", "baseline", "method", "control"]
FOLDS = 10  # of a task whose recipes have a "fold": seed s takes fold s % FOLDS, unless the recipe names one
Count = Annotated[int, Field(ge=0, lt=2**62)]
Report = Callable[[int, int, str], None]  # of a run: epochs done, all epochs, a short text
LABELS = {"role", "variant", "published"}  # say what a run is for, or from; its result does not depend on them


class Form(NamedTuple):
    """What runs share that go through the same code, whatever their numbers."""

    label: str  # kind, task, profile, arm and setting
    switches: str  # digest of which switches of recipe and arm are on; of numbers only whether they are 0


class RunSpec(Frozen):
    """One training, fully resolved. Device, paths, worker counts and output are in `Site`, never here."""

    kind: Literal["pretrain", "train"]
    task: str
    modality: str
    profile: str
    seed: Count
    shape: ModelShape
    recipe: TrainRecipe | PretrainRecipe
    num_classes: PositiveInt | None = None
    limit: Annotated[PositiveInt, Field(lt=2**62)] | None = None  # samples of each split; None: all
    origin: str | None = None  # of a pretraining: the modality whose initial blocks it begins with; None: its own
    setting: Setting | None = None
    arm: str | None = None
    options: dict[str, object] = Field(default_factory=dict)  # of the arm, all of them
    auxiliary: str | None = None  # modality of the auxiliary transformer
    starts: dict[str, str] = Field(default_factory=dict)  # run_id of each run that this starts from, by role
    pretrained: dict[str, str] = Field(default_factory=dict)  # the same whatever the seed: their `comparison`, by role
    published: dict[str, dict[str, str]] | None = None  # of weights that were given and say it: SHA-256 of the files that they
    # were converted from, by role and name
    data: dict[str, str]  # SHA-256 of each data set by name
    role: Role
    variant: str = ""  # e.g. "scale_init=0.0001", where options of the arm differ from its defaults

    @functools.cached_property
    def run_id(self) -> str:
        """Twelve hex digits of the canonical spec: equal if and only if the computation is."""
        return _digest(canonical_json(self._identity()))

    def _identity(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude=LABELS, exclude_none=True)  # so that a new optional field alters no id

    @functools.cached_property
    def asked(self) -> str:
        """Digest of what was asked without the data: of two runs that differ, whether they do in the data alone."""
        left_out = {*LABELS, "data", "starts", "pretrained"}
        return _digest(canonical_json(self.model_dump(mode="json", exclude=left_out, exclude_none=True)))

    @functools.cached_property
    def form(self) -> Form:
        """The run's form: of two with one form and another seed or auxiliary, the same code is gone through."""
        switches = {f"{part}.{name}": value if isinstance(value, str) else True
                    for part, fields in (("recipe", self.recipe.model_dump(mode="json")), ("arm", self.options))
                    for name, value in fields.items() if value not in (None, False, 0, "") and value != {}}
        label = " ".join(filter(None, [self.kind, self.task, self.profile, self.arm, self.setting]))
        return Form(label, hashlib.sha256(canonical_json(switches).encode()).hexdigest()[:8])

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, with an id of its own."""
        copied = super().model_copy(update=update, deep=deep)
        for derived in ("run_id", "asked", "form"):
            copied.__dict__.pop(derived, None)
        return copied

    @property
    def cell(self) -> str:
        """The run's cell for people, e.g. "imagenet method(audio)"; a cell with a seed is a run."""
        if self.kind == "pretrain":
            return f"{self.modality} pretraining" + (f" [{self.variant}]" if self.variant else "")
        label = f"{self.task} {self.arm}" + (f"({self.auxiliary})" if self.auxiliary else "")
        if self.role != "baseline" and self.setting != "pretrained":
            label += f" {self.setting}"
        return label + (f" [{self.variant}]" if self.variant else "")

    @property
    def name(self) -> str:
        """Folder name of the run: legible, and unique through the run_id."""
        if self.kind == "pretrain":
            return "-".join(filter(None, [self.modality, "pretrain", self.variant, f"s{self.seed}", self.run_id]))
        parts = [self.task, self.setting, self.arm, self.auxiliary, self.variant, f"s{self.seed}", self.run_id]
        return "-".join(filter(None, parts))

    def compared_recipe(self) -> dict[str, Any]:
        """The recipe as JSON without what runs that are compared may differ in: the scales' rate, and the seed's fold."""
        recipe = self.recipe.model_dump(mode="json", exclude={"scale_lr"})
        if recipe["augment"].get("fold") == self.seed % FOLDS:
            del recipe["augment"]["fold"]
        return recipe

    @property
    def shares_start(self) -> bool:
        """Whether compared runs begin with the same weights; from scratch, an arm's start is what it is compared for."""
        return self.setting != "scratch"

    @property
    def shared_pretraining(self) -> str | None:
        """How the weights were pretrained that runs which are compared begin with."""
        return self.pretrained.get("target") if self.shares_start else None

    @property
    def comparison(self) -> str:
        """Digest of all that two runs must share to be compared: everything but arm, auxiliary, seed and the seed's fold."""
        names = {"task", "profile", "shape", "num_classes", "limit", "origin", "setting", "data"}
        shared = self.model_dump(mode="json", include=names, exclude_none=True)
        recipe = {name: value for name, value in self.compared_recipe().items() if value is not None}
        identity = canonical_json([shared, recipe, self.shared_pretraining])
        return hashlib.sha256(identity.encode()).hexdigest()[:12]


def recipe_under(recipe: TrainRecipe, seed: int) -> TrainRecipe:
    """The recipe of a run under a seed: one that has folds and names none (-1) gets the seed's."""
    if recipe.augment.get("fold") != -1:
        return recipe
    return recipe.model_copy(update={"augment": {**recipe.augment, "fold": seed % FOLDS}})


class ManySeeds:
    """One run under many seeds, a hundred times faster than by validating and spelling out each."""

    def __init__(self, spec: RunSpec):
        self.spec = spec
        marked = {**spec._identity(), "seed": _SEED, "starts": _STARTS}
        self.before, rest = canonical_json(marked).split(json.dumps(_SEED))
        self.between, self.after = rest.split(json.dumps(_STARTS))

    def under(self, seed: int, starts: dict[str, str]) -> RunSpec:
        """The run under a seed, starting from these pretraining runs."""
        spec = self.spec.model_copy(update={"seed": seed, "starts": starts})
        listed = ",".join(f'"{role}":"{starts[role]}"' for role in sorted(starts))  # names and ids need no escaping
        spec.__dict__["form"] = self.spec.form
        spec.__dict__["run_id"] = _digest(f"{self.before}{seed}{self.between}{{{listed}}}{self.after}")
        return spec


_SEED, _STARTS = "\x00seed", "\x00starts"  # no text of a spec has a NUL


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


class Pretrained(Frozen):
    """What a finished run left for one that starts from it: an encoder, or a merged model of which blocks are taken."""

    weights: Path
    shape: ModelShape


class Site(Frozen):
    """Where and how a run is carried out; not part of its identity."""

    results: str
    device: str = "cpu"
    threads: PositiveInt = 1
    lockstep: PositiveInt = 1  # places of a stack of models that are trained together; 1: each alone
    processes: PositiveInt = 1  # that share a run; on GPUs each has its own
    command: str = ""


def canonical_json(value: object) -> str:
    """One spelling for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
