"""Data, sizes and recipe of scanobjectnn: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from tasks.modelnet import profiles as modelnet

# Point-MAE's recipe for scans: as for ModelNet40, but all 2048 points, as they are stored, in 128 groups.
_TRAIN = {setting: recipe.model_copy(update={"augment": {"points": 2048, "scale": 0.5, "shift": 0.2}})
          for setting, recipe in modelnet.PAPER.train.items()}


def paper(data_set: str) -> ProfileSpec:
    """One variant; the most frequent class has not been counted, as the data are not at hand."""
    return ProfileSpec(
        data_sets=(data_set,), reader="tasks.scanobjectnn.official", num_classes=15, chance=None,
        shape=modelnet.PAPER.shape.model_copy(update={"input_size": (2048,), "patch_size": (128, 32)}),
        pretrain=modelnet.UNUSED_PRETRAIN, train=_TRAIN)
