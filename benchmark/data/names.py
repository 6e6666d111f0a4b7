"""A task's profile and a batch of its samples in; what each sample is called out, for those who look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.data.catalogue import folder, read
from benchmark.data.embedded import DIGESTS, arrays_of
from benchmark.spec.named import NamedProfile

if TYPE_CHECKING:
    from benchmark.data.examples import Batch
    from benchmark.spec.contracts import ProfileSpec

KEYS = ("classes", "categories", "tags")  # of an embedded set: what its labels count


def class_names(profile: ProfileSpec) -> list[str]:
    """In the order of labels: those that the profile states, or else those of the first of its data sets; [] where that says
    none, or is neither embedded nor prepared. Raises `DataError` where its file is missing or damaged.
    """
    if stated := stated_names(profile):
        return stated
    if not profile.data_sets:
        return []
    name = profile.data_sets[0]
    if name not in DIGESTS:
        return list(read(name).classes) if (folder() / f"{name}.json").is_file() else []
    arrays = arrays_of(name)
    return next(([str(each) for each in arrays[key]] for key in KEYS if key in arrays), [])


def stated_names(profile: ProfileSpec) -> list[str]:
    """Those that a task of one's own gives its classes"""
    return list(profile.class_names) if isinstance(profile, NamedProfile) else []


def label_names(profile: ProfileSpec) -> list[str]:
    """As `class_names`, where they are as many as the classes that are learned; else []: of a fold of few, or of categories."""
    names = class_names(profile)
    return names if len(names) == profile.num_classes else []


def sample_names(profile: ProfileSpec, batch: Batch) -> list[str]:
    """One for each sample: its class, its category where labels are of points, its tags with commas between.

    [] where there are none, or where names are not as many as the classes that are learned, as of a fold of few of them.
    Names that a profile states are of classes, and say nothing of a category.
    """
    names, by_category = class_names(profile), "category" in batch and not stated_names(profile)
    label = batch.get("category" if by_category else "label")
    if label is None or not names:
        return []
    if label.ndim == 2 and label.is_floating_point() and label.shape[1] == len(names):
        return [", ".join(name for name, given in zip(names, row, strict=True) if given > 0) for row in label.tolist()]
    fits = int(label.max()) < len(names) if by_category else len(names) == profile.num_classes
    return [names[place] for place in label.tolist()] if label.ndim == 1 and fits else []
