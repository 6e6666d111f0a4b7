"""Every arm of the suite, by name. Importing this imports no torch."""

from baselines.controls import CONTROLS
from baselines.m2pt import ARM as M2PT
from baselines.plain import FINETUNE, FIX, SCRATCH
from baselines.planted import PLANTED
from benchmark.spec.contracts import Arm

# The controls that a gain of an arm must beat beside its baseline, to count as knowledge of the auxiliary.
RIVALS: dict[str, tuple[str, ...]] = {
    "m2pt": ("random-norm", "self-copy"), "ceiling": ("self-copy",),
    "merge-whole": ("merge-whole-random", "self-copy"), "merge-whole-random": ("self-copy",),
    "merge-own": ("merge-random", "self-copy"), "merge-random": ("self-copy",)}
BESIDE: dict[str, tuple[str, ...]] = {"m2pt": ("same-modality",)}  # compared for information, outside that rule
TUNED_BASELINE = "higher-lr"  # whose variants are the baseline's, for arms that were tuned
EQUAL_TO_BASELINE = ("zero",)  # to the last bit, or the pipeline is wrong
ARMS: dict[str, Arm] = {arm.name: arm for arm in (FINETUNE, FIX, SCRATCH, M2PT, *CONTROLS, *PLANTED)}
