"""A Slurm of two small nodes on this machine alone, with accounting, for tests: it needs root and Debian's packages.

Everything lies in one folder and listens on 127.0.0.1: a munge with a key of its own, a MariaDB behind slurmdbd, slurmctld, and
one slurmd a node. By hand: `python tests/slurm.py FOLDER` starts it, says what to export, and stops it on Ctrl-C.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "slurmdbd", "mariadbd")  # .ci/run names their packages
NODES = ("node1", "node2")
SLURM_CONF = """ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.socket
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize=1001
MaxJobCount=20000
KillWait=3
SlurmdTimeout=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DBD_CONF = """AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=trial
"""


def lacking() -> str:
    """Why no Slurm can be started here; "" where one can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return "not root" if os.getuid() else f"no {', '.join(missing)}" if missing else ""


class Cluster:
    """Starts when the `with` block is entered, and ends all that it started with it."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.started: list[subprocess.Popen[bytes]] = []
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Cluster:
        (self.folder / "state").mkdir(parents=True)
        ports = free_ports(2 + len(NODES))
        host = socket.gethostname().partition(".")[0]
        nodes = "\n".join(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=2000"
                          for name, port in zip(NODES, ports[2:], strict=True))
        values = {"folder": self.folder, "host": host, "port": ports[0], "dbd_port": ports[1], "nodes": nodes}
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.folder / "slurmdbd.conf").write_text(DBD_CONF.format(**values))
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(128))
        for name in ("slurmdbd.conf", "munge.key"):
            (self.folder / name).chmod(0o600)
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_all(self) -> None:
        place = self.folder
        self._start(["munged", "--foreground", "--force", f"--key-file={place}/munge.key", f"--socket={place}/munge.socket",
                     f"--pid-file={place}/munged.pid", f"--log-file={place}/munged.log", f"--seed-file={place}/munge.seed"])
        subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={place}/sql", "--skip-test-db",
                        "--auth-root-authentication-method=socket"], check=True, capture_output=True)
        self._start(["mariadbd", "--no-defaults", "--user=root", f"--datadir={place}/sql", f"--socket={place}/sql.socket",
                     "--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"])
        await_(lambda: (place / "sql.socket").exists() and (place / "munge.socket").exists(), "munge and MariaDB")
        self._start(["slurmdbd", "-D"], MYSQL_UNIX_PORT=f"{place}/sql.socket")
        await_(lambda: self.says("sacctmgr", "-n", "show", "stats"), "slurmdbd")
        self.call("sacctmgr", "-i", "add", "cluster", "trial")
        self._start(["slurmctld", "-D"])
        await_(lambda: self.says("scontrol", "ping"), "slurmctld")
        for name in NODES:
            self.switch_on(name)
        await_(lambda: self.call("sinfo", "-hN", "-t", "idle", "-o", "%N").split() == list(NODES), "idle nodes")

    def _start(self, command: Sequence[str], **more: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}.out").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                       env={**os.environ, **self.environment, **more})
        self.started.append(process)
        return process

    def switch_on(self, node: str) -> None:
        """Start a node's slurmd."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self.nodes[node] = self._start(["slurmd", "-D", "-N", node])

    def switch_off(self, node: str) -> None:
        """As a power cut does: its slurmd, and all that jobs started on it, at once."""
        for pid in self._processes_of(node):
            kill(pid)
        self.nodes[node].wait()

    def _processes_of(self, node: str) -> list[int]:
        return processes_with([f"SLURMD_NODENAME={node}", self._own], self.folder / f"slurmd-{node}.log")

    @property
    def _own(self) -> str:
        return f"SLURM_CONF={self.folder}/slurm.conf"

    def signal_job(self, job: str, number: signal.Signals) -> None:
        """To all that a job such as 17_3 has started; SIGKILL is what the kernel does when memory runs out."""
        of_array, _, index = job.partition("_")
        names = [f"SLURM_ARRAY_JOB_ID={of_array}", f"SLURM_ARRAY_TASK_ID={index}"] if index else [f"SLURM_JOB_ID={of_array}"]
        reached: set[int] = set()
        while found := set(processes_with([*names, self._own])) - reached:  # one may start another meanwhile
            reached |= found
            for pid in found:
                kill(pid, number)

    def call(self, *command: str) -> str:
        """What a command of Slurm prints; raises `CalledProcessError`."""
        return subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True,
                              timeout=60).stdout

    def says(self, *command: str) -> bool:
        """Whether a command succeeds"""
        return subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, check=False,
                              timeout=60).returncode == 0

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            for pid in self._processes_of(node):
                kill(pid)
        for process in reversed(self.started):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    """Of 127.0.0.1"""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def processes_with(held: Iterable[str], log: Path | None = None) -> list[int]:
    """What has all of these in its environment, or has a log open: Slurm's daemons show no environment."""
    wanted, found = {text.encode() for text in held}, []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended
            if entry.name.isdecimal() and (
                    wanted <= set((entry / "environ").read_bytes().split(b"\0"))
                    or (log and str(log) in [os.readlink(link) for link in (entry / "fd").iterdir()])):
                found.append(int(entry.name))
    return found


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def await_(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Raises `TimeoutError` where it does not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} after {seconds:.0f} s")
        time.sleep(0.1)


if __name__ == "__main__":
    with Cluster(Path(sys.argv[1])) as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
