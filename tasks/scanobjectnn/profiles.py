"""Data, sizes and recipe of scanobjectnn: values only, which enter every run's spec as they are."""

from dataclasses import replace

from tasks.modelnet import profiles as modelnet

# Point-MAE's recipe for scans: as for ModelNet40, but all 2048 points, as they are stored, in 128 groups. The most frequent
# class has not been counted, as the data are not at hand.
OBJ_BG, OBJ_ONLY, PB_T50_RS = (
    replace(
        modelnet.PAPER, data_sets=(data_set,), reader="tasks.scanobjectnn.official", num_classes=15, chance=None,
        shape=modelnet.PAPER.shape.model_copy(update={"input_size": (2048,), "patch_size": (128, 32)}),
        train={setting: recipe.model_copy(update={"augment": {"points": 2048, "scale": 0.5, "shift": 0.2}})
                  for setting, recipe in modelnet.PAPER.train.items()})
    for data_set in ("ScanObjectNN-OBJ_BG", "ScanObjectNN-OBJ_ONLY", "ScanObjectNN-PB_T50_RS"))
