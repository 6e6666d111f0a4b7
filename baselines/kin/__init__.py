"""The next claims, by the same rule: what else is said of weights of another modality. One file an arm; docs/kin.md has all.

Importing this imports no torch.
"""

from baselines.kin.aligned import Aligned, AlignedKnown, AlignedNoise, AlignedPermuted
from baselines.kin.distil import Distil, DistilOwn, DistilRandom
from baselines.kin.fpt import Fpt, FptOwn, FptRandom, FptShuffled
from baselines.kin.frozen_block import FrozenBlock, FrozenBlockNone, FrozenBlockOwn, FrozenBlockRandom
from baselines.kin.lora import Lora
from baselines.kin.low_rank import LowRank, LowRankKnown, LowRankNoise
from baselines.kin.task_vector import TaskVector, TaskVectorKnown, TaskVectorNoise, TaskVectorPermuted
from benchmark.spec.contracts import Arm

KIN: tuple[Arm, ...] = (
    Lora(), LowRank(), LowRankNoise(), LowRankKnown(), Fpt(), FptRandom(), FptShuffled(), FptOwn(),
    Aligned(), AlignedNoise(), AlignedPermuted(), AlignedKnown(),
    TaskVector(), TaskVectorNoise(), TaskVectorPermuted(), TaskVectorKnown(),
    FrozenBlock(), FrozenBlockRandom(), FrozenBlockNone(), FrozenBlockOwn(),
    Distil(), DistilRandom(), DistilOwn())
