"""The right to carry out a run, as a file of its folder, for runners of several machines that share a file system.

Locks of the kernel are not trusted, as some shared file systems grant one to everybody. A lease is a file that is made by
exclusive creation, `.lease-000001`; whoever finds it left behind makes `.lease-000002`, which only one can. The highest
number holds; lower ones are removed, the highest never, so that no number is made twice.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

TAKEOVER = "M2PT_TAKEOVER"  # environment variable: seconds
TAKEOVER_S = 180.0  # above a minute of wrong clocks, a minute of cached times and a heartbeat together
BEATS = 9  # in that time
PREFIX = ".lease-"
FREE = "released"


class Lease:
    """A claim that is held until it is released, or another has taken it over."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def holds(self) -> bool:
        """Whether it has not been taken over"""
        return self.path.exists()

    def beat(self) -> None:
        """Let others see that the holder lives: the file server sets the time."""
        with suppress(OSError):  # taken over, which `holds` tells, or a file server that may be back for the next beat
            os.utime(self.path)

    def release(self) -> None:
        """Let others claim it at once."""
        with suppress(OSError):  # then it is taken over after a while
            if self.holds:
                self.path.write_text(FREE, encoding="utf-8")


def claim(folder: Path) -> Lease | None:
    """The right to what lies in `folder`; None where another has it. Raises `OSError` where it cannot be written.

    A holder on this machine counts until its process has ended; one on another, until it has shown no heartbeat for
    `takeover_seconds`, by the times that the file server gives to its lease and to a file that is written now.
    """
    last = max(numbers_in(folder), default=0)
    if last and not _is_free(folder / name_of(last)):
        return None
    path = folder / name_of(last + 1)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps({"host": _host(), "pid": os.getpid(), "born": _born(os.getpid()),
                                   "where": socket.gethostname(), "job": os.environ.get("SLURM_JOB_ID", "")}))
    except FileExistsError:
        return None
    except OSError:  # such as a disk that is full: a claim that names nobody would stand for minutes
        path.unlink(missing_ok=True)
        raise
    numbers = numbers_in(folder)
    if max(numbers, default=0) > last + 1:  # what was looked at had been released, claimed and removed by others meanwhile
        path.unlink(missing_ok=True)
        return None
    for number in numbers:
        if number <= last:
            (folder / name_of(number)).unlink(missing_ok=True)
    return Lease(path)


class Keeper:
    """Heartbeats for leases while the `with` block lasts, then releases them.

    `on_loss` is called once, from another thread, where one has been taken over.
    """

    def __init__(self, leases: Collection[Lease], on_loss: Callable[[], None]):
        self.leases, self.on_loss = leases, on_loss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether one has been taken over"""
        return not all(lease.holds for lease in self.leases)

    def _beat(self) -> None:
        while not self._over.wait(takeover_seconds() / BEATS):
            for lease in self.leases:
                lease.beat()
            if self.lost:
                self.on_loss()
                return

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for lease in self.leases:
            lease.release()


def takeover_seconds() -> float:
    """Without a heartbeat, before a lease of another machine is taken over; raises `ValueError`."""
    text = os.environ.get(TAKEOVER, "")
    try:
        seconds = float(text or TAKEOVER_S)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{TAKEOVER}={text}: expected seconds, such as {TAKEOVER_S:.0f}")
    return seconds


def holder_of(folder: Path) -> str:
    """Which machine and process have the lease, for people; "" where none."""
    last = max(numbers_in(folder), default=0)
    owner = _owner(folder / name_of(last)) if last else None
    return f"process {owner.get('pid')} on {owner.get('where')}" if owner else ""


def name_of(number: int) -> str:
    """Of the file"""
    return f"{PREFIX}{number:06}"


def numbers_in(folder: Path) -> list[int]:
    """Those of the leases in a folder"""
    return [int(name.removeprefix(PREFIX)) for name in os.listdir(folder)
            if name.startswith(PREFIX) and name.removeprefix(PREFIX).isdecimal()]


def _owner(path: Path) -> dict[str, object] | None:
    """What a lease says of its holder; nothing where it is being written, None where it is released."""
    text = path.read_text(encoding="utf-8")
    if text == FREE:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_free(path: Path) -> bool:
    """Whether its holder has released it, or has gone."""
    try:
        owner = _owner(path)
        if owner is None:
            return True
        if owner.get("host") == _host():
            return _born(int(str(owner["pid"]))) != owner["born"]
        clock = path.with_name(f"{PREFIX}clock")
        clock.touch()
        return clock.stat().st_mtime - path.stat().st_mtime > takeover_seconds()
    except FileNotFoundError:  # superseded at this moment
        return False


def _host() -> str:
    """What processes have in common that see each other's numbers: the machine, as it was started, and their namespace."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    return f"{socket.gethostname()}/{os.getpid()}"  # no two processes see each other


def _born(pid: int) -> str:
    """When a process of this machine started, so that a number that is given again is another; "" where it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # one that has ended is a zombie until its parent looks
    return ""
