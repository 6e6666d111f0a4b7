#!/usr/bin/env bash
# Numbers of objects in a COCO file are names: any that differ do, and who writes a file counts from 0. pycocotools notes for each
# detection the number of the object that it found, and 0 for none. So a detection that finds object 0 is a false one, and no other can
# find it. A detector that is right everywhere has an AP of 1; of 4 objects numbered from 0 it has 0.56, of 20 0.89, and of one 0, with an
# AR of 0.75, 0.95 and 0. Among many objects it is the class of object 0 that is lower: of ten classes with 4 objects each, found all, the
# first has 0.56 and the others 1. How much is lost hangs on the score, too: where object 0 has the least of 4, AP is 0.75. Numbers of
# pictures and classes may be 0. Nothing is said. Reported to cocoapi as issue 664. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pycocotools==2.0.11 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import contextlib
import io
import sys
from importlib.metadata import version

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

print(f"pycocotools {version('pycocotools')}, numpy {np.__version__}")


def judged(objects: int, first: int, classes: int = 1, rising: bool = False) -> COCOeval:
    """A detector whose boxes are all right, one object a picture, objects numbered from `first`"""
    each = [{"image_id": place, "category_id": place % classes, "bbox": [10, 10, 40, 40]} for place in range(objects)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"info": {}, "images": [{"id": place, "width": 100, "height": 100} for place in range(objects)],
                         "categories": [{"id": name, "name": str(name)} for name in range(classes)],
                         "annotations": [{**box, "id": first + place, "area": 1600, "iscrowd": 0} for place, box in enumerate(each)]}
        truth.createIndex()
        found = truth.loadRes([{**box, "score": 0.1 + 0.8 * (place if rising else objects - 1 - place) / objects}
                               for place, box in enumerate(each)])
        judge = COCOeval(truth, found, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


precision = {}
for objects in (1, 4, 20, 100):
    for first in (0, 1):
        stats = judged(objects, first).stats
        precision[objects, first] = float(stats[0])
        print(f"{objects} objects numbered from {first}, each found: AP {stats[0]:.3f}, AP50 {stats[1]:.3f}, AR {stats[8]:.3f}")
last = float(judged(4, 0, rising=True).stats[0])
print(f"4 objects numbered from 0, object 0 with the least score: AP {last:.3f}")
by_class = judged(40, 0, classes=10).eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
print(f"10 classes of 4 objects numbered from 0: AP of each {by_class.round(3).tolist()}")
sys.exit(0 if all((value < 1 - 1e-6) == (first == 0) for (_, first), value in precision.items()) and precision[1, 0] == 0
         and precision[4, 0] < 0.6 and precision[4, 0] < last < 0.8 and by_class[0] < 0.6 and (by_class[1:] > 1 - 1e-6).all() else 1)
PYTHON
