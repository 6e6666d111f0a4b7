"""This machine and this installation, as a record states them."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.provenance.arithmetic import arithmetic_digest
from benchmark.provenance.certificates import COMPUTING
from benchmark.records.record import Environment
from benchmark.spec.plural import counted

if TYPE_CHECKING:
    import torch

SOURCES = ("benchmark", "tasks", "baselines")
RECORDED_PACKAGES = ("timm", "torchvision", "torchaudio", "numpy", "numba", "scikit-learn", "safetensors",
                     "pillow", "av", "soundfile", "trimesh", "h5py")  # the last five make inputs


def describe_environment(device: torch.device, processes: Sequence[int] = (1,), sittings: Sequence[str] = ()) -> Environment:
    """What a result may depend on besides its spec; `processes` that shared its run, each number of them that there was, and
    `sittings`: where it was computed, as `describe_sitting`."""
    import torch

    commit, dirty, changes = repository_state()
    here = describe_sitting(device) if sittings else ""
    return Environment(
        commit=commit, dirty=dirty, changes=changes, python=platform.python_version(), torch=torch.__version__,
        packages={name: found for name in RECORDED_PACKAGES if (found := _version(name))},
        platform=f"{platform.system()} {platform.machine()}", processor=f"{processor_name()}, {os.cpu_count()} cores",
        arithmetic=arithmetic_digest() if device.type == "cpu" else None,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(), deterministic=torch.are_deterministic_algorithms_enabled(),
        processes=None if set(processes) == {1} else tuple(processes),
        before=tuple(there for there in sittings if there != here) or None)


def describe_sitting(device: torch.device) -> str:
    """What the bits of a run that is computed here depend on besides its code, in words."""
    import torch

    on_gpu = device.type == "cuda"
    return ", ".join([torch.cuda.get_device_name(device) if on_gpu else f"{processor_name()}, arithmetic {arithmetic_digest()}",
                      f"{counted(torch.get_num_threads(), 'thread')}, torch {torch.__version__}",
                      *(f"{name} {_version(name) or 'none'}" for name in COMPUTING)])


def peak_memory_bytes(device: torch.device) -> int:
    """On a GPU what this process allocated at most; on a CPU its largest resident set."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@functools.lru_cache
def repository_state() -> tuple[str | None, bool | None, str | None]:
    """(commit, whether source files differ from it, a digest of how) of the suite's own repository, never of the current
    folder."""
    package = Path(__file__).parents[1]
    try:
        top = _git(package, "rev-parse", "--show-toplevel", "HEAD").decode().split("\n")
        if Path(top[0]) != package.parent:  # installed into some other project's tree
            return None, None, None
        changed = _git(package.parent, "diff", "HEAD", "--binary", "--", *SOURCES)
        listed = _git(package.parent, "ls-files", "-z", "--others", "--exclude-standard", "--", *SOURCES)
        new = [name for name in listed.decode().split("\0") if name]
        digest = hashlib.sha256(changed)
        for name in new:
            digest.update(name.encode() + (package.parent / name).read_bytes())
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None, None, None
    dirty = bool(changed or new)
    return top[1], dirty, digest.hexdigest() if dirty else None


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, timeout=20).stdout


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor_name(told: Path = Path("/proc/cpuinfo")) -> str:
    """As `Environment.processor_name` of a run that is computed here; found without torch, in what Linux has `told`."""
    try:
        lines = told.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    numbers = " ".join(said[key] for key in ("CPU implementer", "CPU part") if key in said)  # ARM has no names there
    return said.get("model name") or " ".join(filter(None, (platform.processor() or platform.machine(), numbers)))
