"""A task's profile and a batch of its samples in; what each sample is called out, for those who look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.data.catalogue import folder, read
from benchmark.data.embedded import DIGESTS, arrays_of

if TYPE_CHECKING:
    from benchmark.data.examples import Batch
    from benchmark.spec.contracts import ProfileSpec

KEYS = ("classes", "categories", "tags")  # of an embedded set: what its labels count


def class_names(profile: ProfileSpec) -> list[str]:
    """In the order of labels; [] where the first of the profile's data sets says none, or is neither embedded nor prepared, as
    that of a task of one's own. Raises `DataError` where its file is missing or damaged.
    """
    if not profile.data_sets:
        return []
    name = profile.data_sets[0]
    if name not in DIGESTS:
        return list(read(name).classes) if (folder() / f"{name}.json").is_file() else []
    arrays = arrays_of(name)
    return next(([str(each) for each in arrays[key]] for key in KEYS if key in arrays), [])


def sample_names(profile: ProfileSpec, batch: Batch) -> list[str]:
    """One for each sample: its class, its category where labels are of points, its tags with commas between.

    [] where there are none, or where names are not as many as the classes that are learned, as of a fold of few of them.
    """
    label, names = batch.get("category", batch.get("label")), class_names(profile)
    if label is None or not names:
        return []
    if label.ndim == 2 and label.is_floating_point() and label.shape[1] == len(names):
        return [", ".join(name for name, given in zip(names, row, strict=True) if given > 0) for row in label.tolist()]
    fits = int(label.max()) < len(names) if "category" in batch else len(names) == profile.num_classes
    return [names[place] for place in label.tolist()] if label.ndim == 1 and fits else []
