"""What the machine has, and how many runs it carries out at once. No torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 30  # with a driver that does not answer
SHARING = 8  # small processes at once on one GPU, each of which needs a core
STACKS_AT_ONCE = 2  # on one GPU: one trains while a run of the other is measured
PLACES = (48, 32, 24, 16, 8, 4, 2)  # models in a stack, as many of these as there is memory for
SHARES, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # where Linux says what a process may use
NEEDED_MIB = {"tiny": 600, "small": 1500}  # by a place, while the task with the largest activations trains


def default_jobs(profile: str, device: str, cores: int, lockstep: int, processes: int = 1) -> int:
    """Processes at once where nobody says: one a core; one a GPU at paper scale, and several small ones on each GPU, which
    waits for the next kernel most of the time that it trains a small model; two where each trains a stack of models.
    Fewer where several processes share a run, each on a GPU of its own.
    """
    gpus = 0 if device == "cpu" else 1 if ":" in device else count_gpus()
    if processes > 1:
        return max(1, (gpus or cores) // processes)
    if not gpus:
        return cores
    sharing = SHARING if lockstep == 1 else STACKS_AT_ONCE
    return gpus * (1 if profile == "paper" else max(1, min(sharing, cores // gpus)))


def default_lockstep(profile: str, device: str) -> int:
    """Places of a stack where nobody says: 1, each run alone, on a CPU, which one small model keeps busy, and at paper
    scale, where one fills a GPU; elsewhere what fits its free memory beside the other stacks there.
    """
    if profile not in NEEDED_MIB or device == "cpu" or not (":" in device or count_gpus()):
        return 1
    free = free_memory_mib()
    return next((places for places in PLACES if STACKS_AT_ONCE * places * NEEDED_MIB[profile] <= free), 1)


def free_memory_mib() -> int:
    """On that NVIDIA GPU which has least, found without importing torch; 0 where there is none, or it does not say."""
    told = _ask_driver("--query-gpu=memory.free", "--format=csv,noheader,nounits").split()
    return min((int(line) for line in told if line.isdecimal()), default=0)


def count_cores() -> int:
    """Cores that this process may use: of a container with a share of a large machine those of its share"""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError):
        return max(1, int(min(there, share_of_cores(SHARES, OWN_GROUPS.read_text(encoding="utf-8")))))
    return there


def share_of_cores(mounted: Path, groups: str) -> float:
    """How many cores' time Linux grants a process of these control groups, as /proc/self/cgroup has them: the least that any of
    them, or one around it, allows, and infinite where none limits it. Version 2 says it in cpu.max, and version 1 in two files
    of the controller cpu. A container may see its own group as the folder where they are `mounted`.
    """
    found = [float("inf")]
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        places = [mounted / name for name in (controllers, "cpu")] if controllers else []
        base = next((place for place in places if place.is_dir()), mounted)
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
        own = base / path.lstrip("/")
        for folder in (base, own, *own.parents):
            with suppress(OSError, ValueError, ZeroDivisionError):  # there is no such file, or it says "max"
                quota, period = " ".join((folder / name).read_text(encoding="utf-8") for name in names).split()
                found += [int(quota) / int(period)] if int(quota) > 0 else []
    return min(found)


def count_gpus() -> int:
    """NVIDIA GPUs that this process may use, found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() not in ("", "-1")])
    return sum(line.startswith("GPU ") for line in _ask_driver("-L").splitlines())


def _ask_driver(*arguments: str) -> str:
    """What nvidia-smi says; "" where there is none, or it cannot be run or does not answer, as after a fault of a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    try:
        return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
