"""What a task and an arm promise the engine. Importing this file imports no torch: readers of results stay light.

Shapes: B batch, N tokens, P prefix tokens, D embed_dim, C classes.
"""

from __future__ import annotations

import functools
import importlib
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from benchmark.spec.recipes import SETTINGS, Frozen, ModelShape, PretrainRecipe, Setting, Split, TrainRecipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from benchmark.data.examples import Batch, Examples
    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import Features, Head, Tokenizer, TransformerModel
    from benchmark.model.mae import MaskedTarget
    from benchmark.model.pathway import Pathway


@dataclass(frozen=True)
class Metric:
    """One measured quantity. Values are stored in `unit`, so 46.1 with unit "%" is 46.1 percent."""

    name: str
    unit: str = "%"
    higher_is_better: bool = True


def add_up(values: Iterable[float]) -> float:
    """The sum from left to right, rounded at each step: the same bits everywhere; `sum` compensates from Python 3.12 on."""
    return functools.reduce(operator.add, values, 0.0)


@dataclass(frozen=True)
class ProfileSpec:
    """What a task is under one profile: its data, sizes and recipes."""

    data_sets: tuple[str, ...]  # embedded sets or official roots that enter a result, digested into its identity
    num_classes: int
    chance: float | None  # of the main metric on the test split, for the answer that is commonest in train; None: not measured
    shape: ModelShape
    pretrain: PretrainRecipe
    train: Mapping[Setting, TrainRecipe]
    smoke_limit: int = 128  # samples of each split in a smoke run
    reader: str = ""  # module that reads the data: `digests`, `load` and, where a pool differs, `load_pool` of data_sets
    shortcuts: Mapping[str, float] | None = None  # what a cheat reaches on the test split, shown beside chance


class Meter(Protocol):
    """Collects predictions of one split, batch by batch."""

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Take the logits of one batch, already averaged over its test views."""

    def compute(self) -> dict[str, float]:
        """Every metric of the task by name, over all that was collected."""


class Task(ABC):
    """One target data set with its modality. Stateless: everything that varies is an argument or in `profiles`.

    Parts that need torch import it inside their method, so that listing tasks stays fast. A task is pickled by
    reference to its class.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    modality: ClassVar[str]  # image, point, video, audio, ...
    metrics: ClassVar[tuple[Metric, ...]]  # the first is the one that is selected on, tabled and tested
    sources: ClassVar[frozenset[str]]  # whose work the data is made of; a pair of tasks that shares one is disclosed
    profiles: ClassVar[Mapping[str, ProfileSpec]]
    shares: ClassVar[frozenset[str]] = frozenset()  # strengths of a recipe's `augment` that are shares or probabilities, 0 to 1
    mixable: ClassVar[bool] = True  # whether mixup and cutmix of two inputs make an input
    on_request: ClassVar[bool] = False  # whether a matrix takes it, as target or auxiliary, only where it names it
    pretrained_by: ClassVar[str | None] = None  # name of the task whose masked pretraining this starts from; None: own

    @property
    def metric(self) -> Metric:
        return self.metrics[0]

    def reader(self, profile: str) -> Any:
        """The module that reads the profile's data; raises `TypeError` where the profile names none."""
        name = self.profiles[profile].reader
        if not name:
            raise TypeError(f"profile {profile} of task {self.name} names no reader, and the task does not load by itself")
        return importlib.import_module(name)

    def data_digests(self, profile: str) -> dict[str, str]:
        """SHA-256 of exactly the data that is used, by name; raises `DataError` where it is missing or damaged."""
        digests: dict[str, str] = self.reader(profile).digests(self.profiles[profile].data_sets)
        return digests

    def load(self, profile: str) -> dict[Split, Examples]:
        """Train, val and test. Inputs are stored as they are (bytes where they are bytes) and made ready by `augment`."""
        splits: dict[Split, Examples] = self.reader(profile).load(self.profiles[profile].data_sets)
        return splits

    def load_pretraining(self, profile: str) -> Examples:
        """The unlabelled pool of masked pretraining: training splits only, no label column.

        Raises `ValueError` for a task that another one pretrains for.
        """
        if self.pretrained_by:
            raise ValueError(f"{self.name} has no pretraining of its own: it starts from that of {self.pretrained_by}")
        if self.profiles[profile].reader and hasattr(self.reader(profile), "load_pool"):
            pool: Examples = self.reader(profile).load_pool(self.profiles[profile].data_sets)
            return pool
        return self.load(profile)["train"].unlabelled()

    @abstractmethod
    def tokenizer(self, shape: ModelShape) -> Tokenizer:
        """The modality's tokenizer, freshly initialised from torch's global generator, which the engine has seeded."""

    @abstractmethod
    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        """Maps (Features, Batch) to logits. See `benchmark.model.encoder.Head`."""

    @abstractmethod
    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        """What masked pretraining of this modality reconstructs."""

    @abstractmethod
    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """Make "input" ready for the tokenizer: floats, normalised; randomly altered unless `random` is None."""

    def views(self, batch: Batch, shape: ModelShape, counts: Mapping[str, int]) -> Iterator[Batch]:
        """Test views of a batch, each ready for the tokenizer; their softmax or sigmoid outputs are averaged.

        `counts` are the recipe's `test_views`, by kind; raises `ValueError` for a kind that the task does not have.
        """
        if counts:
            raise ValueError(f"{self.name} is tested on one view of every sample; remove test_views {dict(counts)}")
        yield self.augment(batch, None, {})

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        """Scalar training loss. Where the engine mixed samples, batch["label"] is (B, C) probabilities."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Scores that test views are averaged over."""
        return logits.softmax(-1)

    def outputs(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What is kept of every sample of a tested batch, as `benchmark.records.outputs` names it; {}: nothing.

        `logits` are those that a meter takes. As it stands, for (B, C) logits and one label a sample.
        """
        if logits.ndim != 2 or batch["label"].ndim != 1:
            return {}
        own = logits.softmax(-1).gather(1, batch["label"][:, None])[:, 0]
        return {"label": batch["label"], "predicted": logits.argmax(-1), "probability": own}

    @abstractmethod
    def meter(self, profile: str) -> Meter:
        """An empty meter."""


@dataclass(frozen=True)
class Start:
    """A pretraining run that a run starts from: of which modality, under which seed, left after which share of its epochs,
    and, where it is not its own, from the initial blocks of which modality."""

    modality: str
    seed: int
    share: float = 1.0
    origin: str | None = None


@dataclass(frozen=True)
class Trained:
    """A training run that a run starts from: of the same task, under an arm in a setting, under which seed."""

    arm: Arm
    setting: Setting
    seed: int


class Arm(Frozen, ABC):
    """How the target's blocks are built and trained. Fields are the arm's options; a variant is a copy with other values."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]  # paper section, or why this control exists
    settings: ClassVar[tuple[Setting, ...]] = SETTINGS
    uses_auxiliary: ClassVar[bool] = False
    is_baseline: ClassVar[bool] = False  # whether other arms of the same setting are compared with this one
    is_method: ClassVar[bool] = True  # False: a control, unless it is a baseline
    adds: ClassVar[bool] = False  # whether its merged model has parts beside the plain one's, which it costs in use, too
    rivals: ClassVar[tuple[str, ...]] = ()  # arms that a gain must beat beside the baseline; (): of a method, the study's
    positive: ClassVar[str] = ""  # an arm that must gain where gains of this one can be seen at all, which the study then names
    later: ClassVar[frozenset[str]] = frozenset()  # options that came after runs were recorded; at their default in no run id
    unnamed: ClassVar[frozenset[str]] = frozenset()  # options that make another run of the same variant: other random numbers

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        """The pretraining runs that `build` needs, by role. "target" is loaded into the model by the engine."""
        starts = {} if setting == "scratch" else {"target": Start(modality, seed)}
        if self.uses_auxiliary:
            if auxiliary is None:
                raise ValueError(f"arm {self.name} needs an auxiliary modality")
            starts["auxiliary"] = Start(auxiliary, seed)
        return starts

    def trained(self, setting: Setting, seed: int) -> dict[str, Trained]:
        """The training runs that `build` needs beside those, by role, none of which is "target"."""
        return {}

    def stream(self, task: str, setting: Setting, auxiliary: str | None) -> tuple[str, ...]:
        """What the arm's stream of random numbers is called; a seed and the same name draw the same numbers."""
        return ("arm", self.name)

    @property
    def num_inputs(self) -> int:
        """How many of the target's training inputs `build` finds in `model.inputs`, ready for its tokenizer and without labels:
        the same ones for every arm of a seed."""
        return 0

    @property
    def variant(self) -> str:
        """The options that differ from their defaults, e.g. "scale_init=0.0001"."""
        changed = [(name, getattr(self, name)) for name, info in type(self).model_fields.items()
                   if getattr(self, name) != info.default and name not in self.unnamed]
        return ",".join(f"{name}={'+'.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in changed)

    def options(self) -> dict[str, object]:
        """The options by name, as JSON has them, as they enter a run's id."""
        fields = type(self).model_fields
        return {name: value for name, value in self.model_dump(mode="json").items()
                if name not in self.later or getattr(self, name) != fields[name].default}

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        """Alter `model`, whose target weights are loaded, and return its pathways (none for a plain model).

        `blocks` holds the blocks of every start but "target"; `random` is the arm's own stream.
        """
        return []

    def merge(self, model: TransformerModel) -> None:
        """Undo what `build` did to the structure of `model`, and keep what it computes: names and shapes are the plain model's
        again; one that `adds` may leave more names beside them. The engine merges pathways that `build` returned by itself,
        after this.
        """

    def tune(self, name: str, lr_scale: float, weight_decay: float) -> tuple[float, float]:
        """(lr_scale, weight_decay) of the parameter `name` of the built model, where the recipe gives those passed in."""
        return lr_scale, weight_decay

    def further_loss(self, model: TransformerModel, batch: Batch, features: Features, logits: Tensor) -> Tensor:
        """A scalar in single precision that is added to the task's loss of a micro-batch: a mean over its samples.

        Of an arm that does not override this nothing is computed. What it trains beside the plain model, such as a map of
        features, is made by `build` as a part of `model`, and removed by `merge`. Such runs train one by one.
        """
        raise TypeError(f"arm {self.name} adds nothing to the loss")
