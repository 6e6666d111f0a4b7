"""A process of its own for runs: output goes to a log, news to the runner, records to disk. No torch before it starts."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

from benchmark.plan.given import digest_now
from benchmark.plan.matrix import Job
from benchmark.provenance.code import edited_since, used_code
from benchmark.records.lease import Keeper, Lease
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.runner.together import compute_together
from benchmark.spec.runspec import Pretrained, Report, Site

PASSING = {"OutOfMemoryError", "MemoryError", "ProcessLost", "StartReplaced"}  # may not come again: others took the memory
OWN_SETTINGS = "M2PT_"  # what the environment's variables that are ours begin with


class StartReplaced(RuntimeError):
    """What a run started from was computed anew while it trained."""


@dataclass(frozen=True)
class Work:
    """What a process is told of a run."""

    job: Job
    folder: Path  # to work in
    starts: Mapping[str, Pretrained]
    replaced: int | None = None  # when the record was written that the new one takes the place of

    @classmethod
    def of(cls, job: Job, store: Store, replaced: int | None) -> Work:
        """Makes the folder; raises `OSError` where it cannot."""
        starts = {role: Pretrained(weights=store.weights(need), shape=need.shape) for role, need in job.needs}
        return cls(job, store.work(job.spec), starts | dict(job.files), replaced)


def own_settings() -> dict[str, str]:
    """The environment's variables that are ours"""
    return {name: value for name, value in os.environ.items() if name.startswith(OWN_SETTINGS)}


def carry_out(works: Sequence[Work], together: bool, site: Site, results: Path, connection: Connection, slot: int,
              settings: Mapping[str, str]) -> None:
    """Take one run to its record, or several `together` to theirs.

    `settings` take the place of the fork server's own. Messages are ("epoch", done, all, text) and, of a stack, ("alone",
    run id, why it trains alone); the last is "done", "busy" (another runner has it), "passing" or "failed", with a reason
    in one line and a traceback.
    """
    for name in own_settings():
        del os.environ[name]
    os.environ.update(settings)
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):  # the runner decides, and ends its processes itself
        signal.signal(number, signal.SIG_IGN)
    store = Store(results)
    try:
        leases = claim_all(works, store)
        works = [work for work in works if work.job.spec.run_id in leases]
        if not works:
            connection.send(("busy", "", ""))
            return
        # Never closed, as threads and generators may say something while this process ends.
        log = (works[0].folder / "log.txt").open("a", buffering=1, encoding="utf-8")
    except OSError as error:
        connection.send(("failed", f"its folder cannot be written ({error})", ""))
        return
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log
    try:
        with Keeper(leases.values(), _stop_this_process) as keeper:
            _tell_how_it_ended(works, together, site, store, connection, slot, log, keeper)
    finally:
        connection.close()


def _stop_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _tell_how_it_ended(works: Sequence[Work], together: bool, site: Site, store: Store, connection: Connection, slot: int,
                       log: TextIO, keeper: Keeper) -> None:
    """Carry out what was claimed; the last message is on its way when this returns."""
    def report(done: int, total: int, text: str) -> None:
        connection.send(("epoch", done, total, text))

    try:
        if together:
            for run_id, reason in _train_together(works, store, site, slot, report, log, keeper).items():
                connection.send(("alone", run_id, reason))
        else:
            _run(works[0], store, site, slot, report, log, keeper)
        connection.send(("done", "", ""))
    except Exception as error:  # whatever a task or an arm raises belongs to this run alone
        trace, cause = traceback.format_exc(), root_cause(error)
        name = type(cause).__name__
        kind = "busy" if keeper.lost else "passing" if name in PASSING else "failed"
        connection.send((kind, f"{name}: {' '.join(str(cause).split())}", trace))
        for folder in [work.folder for work in works[1:]]:
            with suppress(OSError), (folder / "log.txt").open("a", encoding="utf-8") as other:
                other.write(trace)
        with suppress(OSError):  # the disk may be what failed
            log.write(trace)


def death_of(exitcode: int | None) -> tuple[str, str, str]:
    """The outcome of a process that ended without telling one, as the last that `carry_out` tells"""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return "passing", f"the run's process was ended by {name}{hint}", ""
    return "failed", f"the run's process ended with exit code {exitcode} and no result", ""


def run_here(work: Work, store: Store, site: Site, report: Report) -> None:
    """Take one run to its record in this process: nothing is redirected, errors go up, and `breakpoint()` works.

    Raises `ValueError` where another runner has the run.
    """
    leases = claim_all([work], store)
    if not leases:
        holder = store.holder_of(work.job.spec)
        raise ValueError(f"{work.job.spec.name} is being carried out, or has just been, by another runner"
                         + (f" ({holder})" if holder else ""))
    with Keeper(leases.values(), _stop_this_process) as keeper:
        _run(work, store, site, 0, report, sys.stdout, keeper)


def check_files(job: Job) -> None:
    """Raises `ValueError` where files of the user's own, code or weights, are others than when the run was planned: this
    process would compute by what is there now, and the record name what was there then."""
    if edited := edited_since(job.own_files):
        raise ValueError(f"{edited[0]} was edited after this command began, and its runs are computed by one state of the "
                         "code; run the same command again")
    for role, file in job.files:
        _check_start(job, role, file.weights, digest_now(file.weights))


def _check_start(job: Job, role: str, file: Path, digest: str) -> None:
    if not digest.startswith(job.spec.starts[role]):
        raise ValueError(f"{file}, its {role}, was replaced after this command began, and the run's id names what was there; "
                         "run the same command again")


def claim_all(works: Sequence[Work], store: Store) -> dict[str, Lease]:
    """By run id, the leases of those that are to be done here. Raises `OSError` where a single run's folder cannot be
    written; of several, it is left out."""
    leases, kept = {}, True
    for work in works:
        spec, lease = work.job.spec, None
        try:
            if (lease := store.claim(spec)) is None:
                continue
            store.settle(spec)
            written = store.changed_ns(spec)
            if store.is_complete(spec) and written != work.replaced:
                lease.release()
                continue
            if work.replaced is not None and written == work.replaced and not store.is_begun(spec):
                store.clear(spec)
            starts = {role: store.digest_of_weights(need) for role, need in work.job.needs}
            kept &= store.keep_to(spec, work.job.code, starts)
        except OSError:
            if lease is not None:
                lease.release()
            if len(works) == 1:
                raise
            continue
        leases[spec.run_id] = lease
    if not kept:  # a stack goes on from one file, whichever of its runs is begun anew
        for work in (work for work in works if work.job.spec.run_id in leases):
            store.forget_stack(work.job.spec)
    return leases


def _run(work: Work, store: Store, site: Site, slot: int, report: Report, log: TextIO, keeper: Keeper) -> None:
    from benchmark.train.execute import execute

    job = work.job
    check_files(job)
    if site.processes > 1:
        record = compute_together(site.processes, partial(_share, work, site, slot), report)
    else:
        record = execute(job.spec, job.task, job.arm, _placed(site, slot), work.folder, work.starts, report)
    keep(record, job, store, log, keeper)


def _share(work: Work, site: Site, slot: int, rank: int, meeting: str, report: Report) -> Record:
    """One process's part of a run"""
    from benchmark.train.execute import execute
    from benchmark.train.processes import Processes

    placed, job = _placed(site, slot, rank), work.job
    team = Processes(rank, site.processes, meeting, placed.device)
    record = execute(job.spec, job.task, job.arm, placed, work.folder, work.starts, report, team)
    team.close()
    return record


def keep(record: Record, job: Job, store: Store, log: TextIO, keeper: Keeper) -> None:
    """Leave pictures, and then the record with the code that computed it. Raises `ValueError` where a file that it was to start
    from is another now, and `RuntimeError` where another runner has the run, or has computed anew what it started from."""
    for role, file in job.files:  # whose digests are taken when a run has ended
        _check_start(job, role, file.weights, record.weights.get(role, ""))
    for role, digest in store.began_from(job.spec).items():  # as are these: what was loaded may have been others
        if record.weights.get(role, digest) != digest:
            raise StartReplaced(f"the weights of its {role} were computed anew while it trained, so that it is not known which "
                                "of them it began with")
    _depict(job, store, log)  # from the checkpoint, which `save` removes
    if keeper.lost:
        raise RuntimeError("this process showed no sign of life for so long that another runner has taken the run over")
    if job.spec.kind == "train":
        _keep_outputs(job, store)
    where = record.environment.model_copy(update={"packages": {**record.environment.packages, **job.packages}})
    code = used_code(job.code, where.lockstep is not None, where.processes is not None)
    store.save(record.model_copy(update={"code": code, "environment": where}))


def _keep_outputs(job: Job, store: Store) -> None:
    """Beside the record, what there is of the outputs, made small, and of the pathways."""
    from benchmark.records import outputs, signed

    work, folder = store.work(job.spec), store.staged(job.spec)
    outputs.keep_small(work, folder)
    looked = signed.read_signed(work / signed.FILE)
    if looked is not None:
        signed.write_signed(folder / signed.FILE, looked)


def _train_together(works: Sequence[Work], store: Store, site: Site, slot: int, report: Report, log: TextIO,
                    keeper: Keeper) -> dict[str, str]:
    """Returns why some train alone, by run id."""
    from benchmark.train.members import Member
    from benchmark.train.stack import train_stack

    jobs = {work.job.spec.run_id: work.job for work in works}
    for job in jobs.values():
        check_files(job)
    members = [Member(work.job.spec, work.job.task, work.job.arm, work.folder, work.starts) for work in works]
    return train_stack(members, _placed(site, slot),
                       lambda record: keep(record, jobs[record.run_id], store, log, keeper), report)


def _placed(site: Site, slot: int, rank: int = 0) -> Site:
    """With the device that this process is to use, the one of `rank` among those that share the run; a signal to stop is
    heard by the trainer from here on.
    """
    import torch

    from benchmark.train.loop import stop_requested

    signal.signal(signal.SIGTERM, lambda number, frame: stop_requested.set())
    device = site.device
    count = torch.cuda.device_count()
    if device == "auto":
        device = "cuda" if count else "cpu"
    if device == "cuda" and count:
        device = f"cuda:{(slot * site.processes + rank) % count}"  # runs take turns among the GPUs
    return site.model_copy(update={"device": device})


def root_cause(error: BaseException) -> BaseException:
    """The failure of storage behind an error, where there is one: a full disk says more than what could not cope with it."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno:
            return behind
        behind = behind.__cause__ or behind.__context__
    return error


def _depict(job: Job, store: Store, log: TextIO) -> None:
    """Leave pictures for the report. No result depends on them: what goes wrong here is in the log, and costs no run."""
    from benchmark.records.pictures import FILE, write_pictures
    from benchmark.train.pictures import depict_reconstruction, depict_samples

    spec = job.spec
    try:
        if spec.kind == "pretrain":
            pictures = depict_reconstruction(spec, job.task, store.work(spec) / "checkpoint.pt")
            write_pictures(store.staged(spec) / FILE, pictures)
        elif not (sheet := store.samples(spec.task, spec.profile)).is_file():
            write_pictures(sheet, depict_samples(spec, job.task))
    except Exception:
        with suppress(OSError):  # the disk may be what failed
            log.write(f"no pictures: {traceback.format_exc()}")
