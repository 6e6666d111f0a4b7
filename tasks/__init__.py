"""Every task of the suite, by name. Importing this imports no torch."""

from benchmark.spec.contracts import Task
from tasks.audioset import TASK as AUDIOSET
from tasks.fewshot import TASKS as FEW_SHOT
from tasks.imagenet import TASK as IMAGENET
from tasks.kinetics import SINGLE_FRAME as KINETICS_FRAME
from tasks.kinetics import TASK as KINETICS
from tasks.modelnet import TASK as MODELNET
from tasks.partnet import TASK as PARTNET
from tasks.prose import TASK as PROSE
from tasks.scanobjectnn import TASKS as SCANS
from tasks.shapenet import TASK as SHAPENET

TASKS: dict[str, Task] = {task.name: task for task in (
    IMAGENET, MODELNET, SHAPENET, KINETICS, KINETICS_FRAME, AUDIOSET, PARTNET, PROSE, *SCANS, *FEW_SHOT)}
