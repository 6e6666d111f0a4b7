"""Data, sizes and recipe of few-shot ModelNet40: values only, which enter every run's spec as they are."""

from benchmark.spec.contracts import ProfileSpec
from tasks.modelnet import profiles as modelnet


def paper(way: int) -> ProfileSpec:
    """Point-MAE's recipe: as for all of ModelNet40, with half as many epochs. `fold` -1 is that of the run's seed."""
    return ProfileSpec(
        data_sets=modelnet.PAPER.data_sets, reader=modelnet.PAPER.reader, num_classes=way, chance=100 / way,
        shape=modelnet.PAPER.shape, pretrain=modelnet.UNUSED_PRETRAIN,
        train={setting: recipe.model_copy(update={"epochs": 150, "augment": {**recipe.augment, "fold": -1}})
               for setting, recipe in modelnet.PAPER.train.items()})
