"""The right to carry out a run, where several machines share a folder whose locks may do nothing."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmark.records import lease
from benchmark.records.lease import FREE, Keeper, claim, holder_of, name_of, takeover_seconds

ROOT = Path(__file__).parents[1]
HOLDER = """
import sys, time
from pathlib import Path
from benchmark.records.lease import claim
print(claim(Path(sys.argv[1])) is not None, flush=True)
time.sleep(600)
"""


def hold_elsewhere(folder: Path, number: int = 1) -> Path:
    """A lease as a runner on another machine leaves it."""
    path = folder / name_of(number)
    path.write_text('{"host": "another", "pid": 1, "born": "1", "where": "node7"}', encoding="utf-8")
    return path


def age(path: Path, seconds: float) -> None:
    written = path.stat().st_mtime - seconds
    os.utime(path, (written, written))


def test_one_holds_until_it_releases(tmp_path):
    first = claim(tmp_path)
    assert first is not None
    assert claim(tmp_path) is None
    assert holder_of(tmp_path).startswith(f"process {os.getpid()} on ")
    first.release()
    assert holder_of(tmp_path) == ""
    second = claim(tmp_path)
    assert second is not None
    assert (first.holds, second.holds) == (False, True)
    first.release()
    assert claim(tmp_path) is None, "what was taken over is nobody's to release"
    assert [path.name for path in tmp_path.iterdir()] == [name_of(2)]


def test_a_claim_that_could_not_be_written_down_is_none(tmp_path):
    """As on a full disk: what is not begun is nobody's, and free as soon as there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        with pytest.raises(OSError, match="File too large"):
            claim(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    assert claim(tmp_path) is not None


def test_what_a_process_of_this_machine_leaves_is_free_as_soon_as_it_has_ended(tmp_path):
    held = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert held.stdout.readline() == "True\n"
    age(tmp_path / name_of(1), 3600)  # it lives, whatever its times say
    assert claim(tmp_path) is None
    held.send_signal(signal.SIGKILL)
    held.wait()
    assert claim(tmp_path) is not None


def test_a_number_given_to_another_process_is_not_its_holder(tmp_path, monkeypatch):
    assert claim(tmp_path) is not None
    path = tmp_path / name_of(1)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'"born": "\d+"', '"born": "1"', text), encoding="utf-8")
    assert claim(tmp_path) is not None


def test_another_machine_s_is_taken_over_after_the_stated_time_only(tmp_path):
    path = hold_elsewhere(tmp_path)
    assert holder_of(tmp_path) == "process 1 on node7"
    for seconds in (0, 60, takeover_seconds() - 5):  # a minute of wrong clocks is no minute without a heartbeat
        path.touch()
        age(path, seconds)
        assert claim(tmp_path) is None, seconds
    path.touch()
    age(path, takeover_seconds() + 5)
    taken = claim(tmp_path)
    assert taken is not None
    assert not path.exists()


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
def test_the_clock_of_this_machine_is_not_asked(tmp_path, monkeypatch, wrong):
    path = hold_elsewhere(tmp_path)
    for name in ("time", "monotonic"):
        right = getattr(time, name)
        monkeypatch.setattr(time, name, lambda right=right: right() + wrong)
    assert claim(tmp_path) is None
    age(path, takeover_seconds() + 5)
    assert claim(tmp_path) is not None


def test_a_lease_of_which_nothing_is_written_yet_is_held(tmp_path):
    (tmp_path / name_of(3)).write_text("", encoding="utf-8")
    assert claim(tmp_path) is None
    age(tmp_path / name_of(3), takeover_seconds() + 5)
    assert claim(tmp_path) is not None
    assert (tmp_path / name_of(4)).exists()


def test_of_many_that_find_it_left_behind_one_takes_it(tmp_path, monkeypatch):
    found = []
    for _ in range(30):
        age(hold_elsewhere(tmp_path, max(lease.numbers_in(tmp_path), default=0) + 1), takeover_seconds() + 5)
        gate = threading.Barrier(8)

        def take(gate: threading.Barrier = gate) -> None:
            gate.wait()
            found.append(claim(tmp_path))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (won,) = filter(None, found)
        assert won.holds
        found.clear()


def test_who_looked_long_ago_gets_nothing_though_the_next_number_has_gone(tmp_path, monkeypatch):
    """It saw 1 released; meanwhile others had 2, and have 3."""
    (tmp_path / name_of(1)).write_text(FREE, encoding="utf-8")
    numbers = iter([[1]])
    real = lease.numbers_in

    def late(folder: Path) -> list[int]:
        try:
            seen = next(numbers)
        except StopIteration:
            return real(folder)
        (folder / name_of(1)).write_text(FREE, encoding="utf-8")
        other = hold_elsewhere(folder, 3)
        assert other.exists()
        return seen

    monkeypatch.setattr(lease, "numbers_in", late)
    assert claim(tmp_path) is None
    monkeypatch.undo()
    assert not (tmp_path / name_of(2)).exists()
    assert claim(tmp_path) is None, "3 is held"


def test_heartbeats_are_seen_and_a_loss_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_TAKEOVER", "0.45")
    held, lost = claim(tmp_path), threading.Event()
    with Keeper([held], lost.set) as keeper:
        age(held.path, 100)
        before = held.path.stat().st_mtime
        deadline = time.monotonic() + 20
        while held.path.stat().st_mtime == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert held.path.stat().st_mtime > before + 50
        assert not keeper.lost
        held.path.unlink()  # as the one does who takes it over
        assert lost.wait(20)
        assert keeper.lost
    assert not held.path.exists(), "nothing is written into what is another's"


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("M2PT_TAKEOVER", text)
    with pytest.raises(ValueError, match=f"M2PT_TAKEOVER={text}: expected seconds, such as 180"):
        takeover_seconds()


def test_locks_that_do_nothing_are_not_needed(tmp_path, monkeypatch):
    """As on a file system that grants every lock to everybody."""
    for name in ("lockf", "flock", "fcntl"):
        monkeypatch.setattr(fcntl, name, lambda *_: None)
    assert claim(tmp_path) is not None
    assert claim(tmp_path) is None
