"""What several test modules share.

A folder of plugins, one for all, as a process knows a module by its name; how hypothesis runs: without deadlines, as no test
may fail by the clock of a slow machine alone; which files several processes begin with; and what is left out where libraries
of the system are missing.
"""

from __future__ import annotations

import ctypes.util
import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import slurm

hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# What open3d's wheel takes for granted, by the Debian packages libgl1, libusb-1.0-0 and libgomp1.
LACKING = [name for name in ("GL", "usb-1.0", "gomp") if ctypes.util.find_library(name) is None]
WITH_OPEN3D = ["test_view.py", "test_meshes.py"]
collect_ignore = WITH_OPEN3D if LACKING and "CI" not in os.environ else []

# What takes longest, or waits, comes first where several processes share the files (tox.ini), or the last one ends alone.
LONGEST = ["test_slurm.py", "test_runner.py", "test_own.py", "test_official_points.py", "test_shared_runs.py", "test_bench.py",
           "test_currency.py", "test_lockstep.py", "test_official_imagenet.py", "test_official_kinetics.py",
           "test_official_audioset.py", "test_committed.py", "test_convert.py", "test_faults.py", "test_layers.py",
           "test_report_parts.py", "test_docs.py", "test_report.py", "test_data_files.py", "test_sixth_task.py", "test_cli.py",
           "test_kernels.py"]


gc.disable()  # until all is imported and collected, of which nothing is garbage


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        place = {name: number for number, name in enumerate(LONGEST)}
        items.sort(key=lambda item: place.get(item.path.name, len(place)))


def pytest_report_header() -> list[str]:
    without = slurm.lacking()
    told = f"slurm: its tests are left out, as here is {without} (.ci/run installs it)" if without else "slurm: its tests run"
    if not collect_ignore:
        return ["open3d: its tests run", told]
    lacking = ", ".join(f"lib{name}" for name in LACKING)
    return [f"open3d: left out are {', '.join(WITH_OPEN3D)}, as this machine lacks {lacking} (.ci/run installs them)", told]


@pytest.fixture(scope="session", autouse=True)
def embedded_once() -> Iterator[None]:
    """Runs in this process share embedded data, which nobody changes: to read it takes half of a short run."""
    from benchmark.spec.contracts import Task  # with torch, which the process that only shares the tests out need not load

    def once(load: Callable[[Task, str], object]) -> Callable[[Task, str], object]:
        kept = cache(load)
        return lambda task, profile: (kept if profile == "tiny" else load)(task, profile)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("load", "load_pretraining"):
            patch.setattr(Task, name, once(getattr(Task, name)))
        yield


PLUGINS = {
    # A task whose training can be told, by files beside it, to die once at the start of an epoch, or to wait there.
    "mortal_task.py": """
import os, signal, time
from pathlib import Path
from sixth_task import Waveforms

HERE = Path(__file__).parent


class Mortal(Waveforms):
    name, modality = "mortal", "mortal"

    def augment(self, batch, random, strengths):
        from benchmark.train.loop import stop_requested

        if random is not None:
            try:
                (HERE / f"die-at-{random.epoch}").unlink()
            except FileNotFoundError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
            while (HERE / f"wait-at-{random.epoch}").exists() and not stop_requested.is_set():
                (HERE / f"waiting-{os.getpid()}").touch()
                time.sleep(0.02)
        return super().augment(batch, random, strengths)


TASK = Mortal()
""",
    "echo_task.py": """
from sixth_task import Waveforms


class Echoes(Waveforms):
    name, modality = "echoes", "echo"


TASK = Echoes()
""",
    "raising_arm.py": """
from pathlib import Path
from benchmark.spec.contracts import Arm


class Raising(Arm):
    name, summary, source, settings = "raising", "fails", "a test", ("pretrained",)

    def build(self, model, blocks, random):
        if Path(__file__).with_name("repaired").exists():
            return []
        raise RuntimeError("this arm\\nalways fails")


ARM = Raising()
""",
    "leaving_arm.py": """
import os
import re
from benchmark.spec.contracts import Arm


class Leaving(Arm):
    name, summary, source, settings = "leaving", "ends its process", "a test", ("pretrained",)

    def build(self, model, blocks, random):
        os._exit(7)


ARM = Leaving()
""",
}


@pytest.fixture(scope="session")
def plugins(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "sixth_task.py").symlink_to(Path(__file__).with_name("sixth_task.py"))
    for name, text in PLUGINS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
