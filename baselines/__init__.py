"""Every arm of the suite, by name, and the study that they belong to. Importing this imports no torch."""

from baselines.controls import CONTROLS
from baselines.kin import KIN
from baselines.m2pt import ARM as M2PT
from baselines.m2pt.study import STUDY
from baselines.plain import FINETUNE, FIX, SCRATCH
from baselines.planted import PLANTED
from baselines.solution import SOLUTIONS
from benchmark.spec.contracts import Arm

ARMS: dict[str, Arm] = {arm.name: arm for arm in (FINETUNE, FIX, SCRATCH, M2PT, *CONTROLS, *PLANTED, *SOLUTIONS, *KIN)}

__all__ = ["ARMS", "STUDY"]
