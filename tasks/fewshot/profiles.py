"""Data, sizes and recipe of few-shot ModelNet40: values only, which enter every run's spec as they are."""

from dataclasses import replace

from tasks.modelnet import profiles as modelnet

# Point-MAE's recipe: as for all of ModelNet40, with half as many epochs. `fold` -1 is that of the run's seed.
FIVE_WAY, TEN_WAY = (
    replace(
        modelnet.PAPER, num_classes=way, chance=100 / way,
        train={setting: recipe.model_copy(update={"epochs": 150, "augment": {**recipe.augment, "fold": -1}})
                  for setting, recipe in modelnet.PAPER.train.items()})
    for way in (5, 10))
