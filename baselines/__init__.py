"""Every arm of the suite, by name. Importing this imports no torch."""

from baselines.controls import CONTROLS
from baselines.m2pt import ARM as M2PT
from baselines.plain import FINETUNE, FIX, SCRATCH
from benchmark.contracts import Arm

ARMS: dict[str, Arm] = {arm.name: arm for arm in (FINETUNE, FIX, SCRATCH, M2PT, *CONTROLS)}
