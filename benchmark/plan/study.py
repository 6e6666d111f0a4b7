"""A method under test, as one value: its question, what was published of it, its matrices, its rivals. No torch.

The engine knows of no method but by this value, which the command line hands in. A method is a folder of `baselines`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from benchmark.plan.names import nearest, parse_seeds, pick
from benchmark.plan.presets import Matrix, explain
from benchmark.spec.contracts import Arm


@dataclass(frozen=True)
class SecondRule:
    """A rule that was written down, in a protocol, before the seeds that it judges were run."""

    protocol: Path
    profile: str
    setting: str
    seeds: range  # all of them, and no others
    pairs: Mapping[str, tuple[str, ...]]  # by target: the auxiliaries whose mean is judged


@dataclass(frozen=True)
class Study:
    """What is asked of a method, and of what. Left as it is, it asks nothing in particular of any runs."""

    name: str = "study"  # of its folder
    title: str = "Report"
    summary: str = ""  # what the command line says of itself
    question: str = "What do these runs show?"  # that the report answers
    method: str = ""  # the arm that the question is about
    arms: tuple[str, ...] = ()  # of a group of cells that names none
    targets: tuple[str, ...] | None = None  # of a group that names none; None: every task that has the profile
    matrices: Mapping[str, Matrix] = field(default_factory=dict)  # by name
    rivals: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by arm: the controls that its gain must beat
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)  # compared for information, outside that rule
    told: Mapping[str, Sequence[str]] = field(default_factory=dict)  # likewise, in tables alone: of no spread, and of no null
    positive: Mapping[str, str] = field(default_factory=dict)  # by arm: one that must gain where gains of it can be seen at all
    tuned_baseline: str | None = None  # the arm whose variants are the baseline's, for arms that were tuned
    noise: tuple[str, ...] = ()  # arms whose cells of one target differ, by auxiliary, in nothing that is known to matter
    dose: tuple[str, str] | None = None  # an arm, and its option that is the cosine of its A with a known solution
    second_rule: SecondRule | None = None
    treatment: str = "the method"  # what the arm does, in words, for readers who know none
    called: Mapping[str, str] = field(default_factory=dict)  # what arms are, in words, by name
    stand_ins: Mapping[str, str] = field(default_factory=dict)  # by task: what its data are, under any profile but `profile`
    limits: tuple[str, ...] = ()  # what a null does not say
    equal: tuple[str, ...] = ()  # arms that equal their baseline to the last bit, or the pipeline is wrong
    profile: str = ""  # the one with the data, shapes and recipes of the publication
    claims: Path | None = None  # files: the published numbers,
    sources: Path | None = None  # where each number of the profile is from,
    variants: Path | None = None  # and the choices that the profile does not make


def with_rivals(study: Study, arms: Mapping[str, Arm]) -> Study:
    """The study, with what gains of arms that it does not name must beat: the rivals of the arm, or, of a method that has
    none, those of the study's own method, without those of an auxiliary where the arm uses none; and with the positive
    controls of such arms.

    Raises `ValueError` for a rival or a positive control that is no arm.
    """
    rivals = dict(study.rivals)
    positive = dict(study.positive)
    for name, arm in arms.items():
        if name in rivals or arm.is_baseline:
            continue
        if arm.rivals:
            rivals[name] = pick(arm.rivals, arms, f"rival of arm {name},")
        elif arm.is_method:
            rivals[name] = [rival for rival in study.rivals.get(study.method, ())
                            if arm.uses_auxiliary or not arms[rival].uses_auxiliary]
        if arm.positive and name not in positive:
            (positive[name],) = pick([arm.positive], arms, f"positive control of arm {name},")
    return replace(study, rivals=rivals, positive=positive)


def find_matrix(name: str, study: Study) -> Matrix:
    """A matrix of the study by name, or one from a YAML file; raises `ValueError` saying what is wrong.

    A group of a file that names no arms or no targets has those of the study.
    """
    if name in study.matrices:
        return study.matrices[name]
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        here = next((file for file in map(Path, (f"{name}.yaml", f"{name}.yml")) if file.is_file()), None)
        hint = (f"did you mean the file {here}?" if here is not None
                else "a matrix is a YAML file, whose name ends in .yaml; benchmark info full shows one" if path.is_file()
                else f"{nearest(name, study.matrices)}; or a file that ends in .yaml")
        raise ValueError(f"unknown matrix {name!r}; {hint}")
    from benchmark.spec.yamlfile import read_yaml

    try:
        content = read_yaml(path)
    except ValueError as error:
        raise ValueError(f"matrix {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"matrix {path}: expected a mapping with groups, in YAML; benchmark info full shows one")
    groups = content.get("groups")
    if isinstance(groups, list):
        given = {"arms": study.arms, "targets": study.targets}
        content["groups"] = [{**given, **group} if isinstance(group, dict) else group for group in groups]
    try:
        matrix = Matrix.model_validate({"name": path.stem, **content})
        parse_seeds(matrix.seeds, "seeds")
    except ValidationError as error:
        raise ValueError(f"matrix {path}: {explain(error)}") from error
    except ValueError as error:  # of the seeds
        raise ValueError(f"matrix {path}: {error}") from error
    return matrix
