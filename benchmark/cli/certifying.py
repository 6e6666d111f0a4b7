"""`certify`: shows that a change of code or packages alters no bit of what is recorded, and writes down what was shown."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.cli.context import load_registry, parse_given, refuse_unwritable, require_torch
from benchmark.evidence.inputs import standing_of
from benchmark.plan.given import file_digest
from benchmark.provenance.certificates import FOLDER, SUITE, Replay, read_certificate
from benchmark.provenance.currency import Judge
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.runner.certify import (
    ROOT,
    Sample,
    Tree,
    certificate_of,
    checked_out,
    choose,
    classes,
    compare,
    replay,
    write_certificate,
)
from benchmark.runner.machine import count_cores
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.plural import counted

say = partial(print, flush=True)
MOST_SHOWN = 12  # classes that differ


def certify(options: argparse.Namespace, command: str) -> int:
    """Exit code 0 where all that was to be carried is, 1 where something differs."""
    require_torch()
    if options.check is not None:
        return check(options)
    tasks, arms = load_registry(options.plugins)
    given = given_to(options, tasks)
    store = Store(options.results)
    records, _ = store.records()
    judge = Judge.beside(store)
    standings = {record.origin: standing_of(record, tasks, arms, judge) for record in records}
    wanted = [record for record in records if options.all or standings[record.origin].state == "other code"]
    if not wanted:
        counts = Counter(standing.state for standing in standings.values())
        say(f"nothing to certify: of {counted(len(records), 'record')} in {store.folder}, "
            + (", ".join(f"{count} are {state}" for state, count in counts.items()) or "none is there")
            + "; --all replays their classes all the same")
        return 0
    grouped = classes(wanted)
    samples = choose(grouped, options.full, tasks, given, say)
    base = options.base or last_known(judge, wanted)
    folder = options.out or (SUITE if SUITE.parent.is_dir() else store.folder.parent / FOLDER)
    refuse_unwritable(folder, "folder")
    with sides(options, base) as (before, after, out):
        other = f"with {before.python}" if options.python else base[:12]
        say(f"{counted(len(wanted), 'record')} in {counted(len(samples), 'class', 'classes')}; before: {other}, "
            "after: this tree")
        replays, pair = compare_sides(samples, before, after, out, tasks, arms, options, judge)
    if pair is None:
        say("no class could be compared; nothing is carried")
        return 1
    equal = {one.group for one in replays if one.difference is None}
    if equal:
        path = write_certificate(certificate_of(replays, *pair, command), folder)
        carried = sum(len(grouped[group]) for group in equal)
        say(f"{carried} of {len(wanted)} records are carried; written: {path}")
    else:
        say("nothing is carried, and no certificate is written")
    return 0 if len(equal) == len(grouped) else 1


def given_to(options: argparse.Namespace, tasks: Mapping[str, Task]) -> dict[str, Path]:
    """The files by modality that --start names; raises `ValueError` where one cannot be read."""
    given = parse_given(options.start, tasks, {text.partition("=")[0] for text in options.start})
    for path in given.values():
        file_digest(path)
    return given


def last_known(judge: Judge, records: Sequence[Record]) -> str:
    """The commit to compare with: the last that a certificate carries records to, else that of the newest record.

    Raises `ValueError` where there is none.
    """
    known = [certificate for certificate in judge.certificates.named.values()
             if certificate.after.commit and not certificate.after.dirty]
    if known:
        return str(max(known, key=lambda certificate: certificate.made).after.commit)
    commit = max(records, key=lambda record: record.started).environment.commit
    if commit is None:
        raise ValueError("the records name no commit that computed them; name it with --base")
    return commit


@contextmanager
def sides(options: argparse.Namespace, base: str) -> Iterator[tuple[Tree, Tree, Path]]:
    """What computes before and after the change, and a folder for it"""
    with ExitStack() as stack:
        here = Path(sys.executable)
        python = here if options.python is None else Path(options.python).expanduser().absolute()  # the link of an environment
        if options.python is not None and not python.is_file():
            raise ValueError(f"--python {python}: no such file; name the interpreter of the other environment")
        same_code = options.python is not None and options.base is None
        before = Tree(ROOT if same_code else stack.enter_context(checked_out(base)), python)
        out = options.work.absolute() if options.work else Path(stack.enter_context(TemporaryDirectory(prefix="replays-")))
        yield before, Tree(ROOT, here), out


def compare_sides(samples: Sequence[Sample], before: Tree, after: Tree, out: Path, tasks: Mapping[str, Task],
                  arms: Mapping[str, Arm], options: argparse.Namespace, judge: Judge
                  ) -> tuple[list[Replay], tuple[Record, Record] | None]:
    """Every class compared, and a record of either side; says what differs and what could not be compared."""
    cores = count_cores()
    short = [sample for sample in samples if sample.extent == "short"]
    earlier = replay(short, before, out / "before", tasks, arms, options.device, cores, say)
    earlier |= {sample.expected.asked: sample.record for sample in samples if sample.extent == "whole"}
    later = replay(samples, after, out / "after", tasks, arms, options.device, cores, say)
    replays: list[Replay] = []
    pair = None
    for sample in samples:
        key = sample.expected.asked
        if key not in earlier or key not in later:
            side = "before" if key not in earlier else "after"
            say(f"not compared: {sample.group}: it was not computed {side} the change")
            continue
        one, two = earlier[key], later[key]
        if options.python is None and judge.certificates.way(sample.group, sample.record.code, one.code) is None:
            say(f"not compared: {sample.group}: other code than that of the commit computed its records; try another --base")
            continue
        replays.append(compare(sample.group, sample.extent, one, two))
        pair = pair or (one, two)
    different = [one for one in replays if one.difference is not None]
    for wrong in different[:MOST_SHOWN]:
        say(f"differs: {wrong.group} ({wrong.run}): {wrong.difference}")
    if len(different) > MOST_SHOWN:
        say(f"and {len(different) - MOST_SHOWN} more classes differ")
    extents = Counter(one.extent for one in replays if one.difference is None)
    say(f"{extents.total()} of {len(samples)} classes are equal to the last bit "
        f"({extents['whole']} replayed whole, {extents['short']} short: evidence, and no proof)")
    return replays, pair


def check(options: argparse.Namespace) -> int:
    """Replay what a certificate says, short, and say whether it still holds."""
    path = newest(options) if options.check == "" else Path(options.check)
    certificate = read_certificate(path)
    tasks, arms = load_registry(options.plugins)
    given = given_to(options, tasks)
    records, _ = Store(options.results).records()
    equal = {one.group for one in certificate.replays if one.difference is None}
    grouped = {group: found for group, found in classes(records).items() if group in equal}
    missing = sorted(equal - grouped.keys())
    base = certificate.before.commit
    if base is None or not grouped:
        raise ValueError(f"{path} cannot be checked here: "
                         + ("it names no commit" if base is None else f"no record in {options.results} is of its classes"))
    options.base = base
    samples = choose(grouped, 0, tasks, given, say)
    with sides(options, base) as (before, after, out):
        say(f"{path.name}: {counted(len(samples), 'class', 'classes')}, before: {base[:12]}, after: this tree")
        judge = Judge.beside(Store(options.results))
        replays, _ = compare_sides(samples, before, after, out, tasks, arms, options, judge)
    if missing:
        say(f"not checked: {counted(len(missing), 'class', 'classes')} of which there is no record here, such as {missing[0]}")
    if any(one.difference is not None for one in replays):
        say("it does not hold for this tree")
    elif len(replays) < len(grouped):
        say(f"{len(replays)} of {len(grouped)} classes were compared, and hold; nothing is said of the others")
    else:
        say("it holds")
        return 0
    return 1


def newest(options: argparse.Namespace) -> Path:
    """The last certificate of the suite, or beside the results; raises `ValueError` where there is none."""
    folders: list[Path] = [SUITE, options.results.resolve().parent / FOLDER]
    found = {path: read_certificate(path) for folder in folders if folder.is_dir() for path in folder.glob("*.json")}
    if not found:
        raise ValueError("there is no certificate to check; benchmark certify writes one")
    return max(found, key=lambda path: found[path].made)
