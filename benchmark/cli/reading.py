"""Commands that read records and registries: `report`, `list`, `info`."""

from __future__ import annotations

import argparse
import functools
import json
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.closing import note_beside
from benchmark.cli.context import load_registry, load_study, not_there, plugins_given, refuse_inner, refuse_unwritable
from benchmark.plan.names import pick
from benchmark.records.record import may_be, names_in, names_under, read_record
from benchmark.records.store import FAILURE, RECORD, Store, read_failure
from benchmark.spec.plural import counted, worded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.status import Status

    from benchmark.evidence.claims import Judgement
    from benchmark.spec.contracts import Task


def show_list(options: argparse.Namespace, command: str) -> int:
    from benchmark.cli.describe import LISTED, list_names
    from benchmark.cli.facts import facts_of, names_of

    if options.results and options.what != "claims":
        raise ValueError("--results says by which records claims are judged; use it with: benchmark list claims")
    tasks, arms = load_registry(options.plugins)
    states = judge_all(options) if options.results else {}
    if options.json:
        kinds = [options.what] if options.what else LISTED
        print(json.dumps({kind: [facts_of(name, tasks, arms, load_study(), judged=states)
                                 for name in names_of(kind, tasks, arms, load_study())] for kind in kinds}, indent=1))
        return 0
    print("\n".join(list_names(tasks, arms, load_study(), [options.what] if options.what else LISTED, states)))
    return 0


def show_info(options: argparse.Namespace, command: str) -> int:
    from benchmark.cli.describe import describe
    from benchmark.cli.facts import facts_of, names_of

    tasks, arms = load_registry(options.plugins)
    study = load_study()
    if file := _file_of_run(options):
        print(_run_text(file, tasks, options))
        return 0
    judge = functools.cache(lambda: judge_all(options))  # which reads records
    text = describe(options.name, tasks, arms, study, options.profile, judge)  # also refuses
    if options.json:
        judged = judge() if options.name in names_of("claims", tasks, arms, study) else {}
        text = json.dumps(facts_of(options.name, tasks, arms, study, options.profile, judged), indent=1)
    print(text)
    return 0


def _file_of_run(options: argparse.Namespace) -> Path | None:
    """The record, or else the failure, of the run of this name in a results folder"""
    places = [folder / "runs" / options.name for folder in _folders(options)] if options.name == Path(options.name).name else []
    files = [place / name for name in (RECORD, FAILURE) for place in places if may_be(f"{place}/{name}")]
    return files[0] if files else None


def _run_text(file: Path, tasks: Mapping[str, Task], options: argparse.Namespace) -> str:
    from benchmark.cli.describe import describe_failure, describe_run

    if file.name == RECORD:
        record = read_record(file)
        return record.model_dump_json(indent=1) if options.json else describe_run(record, file, tasks, plugins_given(options))
    failure = read_failure(file)
    if failure is None:
        raise ValueError(f"{file} cannot be read")
    return failure.model_dump_json(indent=1) if options.json else describe_failure(failure, file)


def _folders(options: argparse.Namespace) -> list[Path]:
    """The results folders that are named, or else all below results/"""
    return options.results or [Path("results", name) for name in names_in(Path("results")) if may_be(f"results/{name}/runs")]


def judge_all(options: argparse.Namespace) -> dict[str, Judgement]:
    """The verdict on every claim by the records of the results folders (none given: all below results/ that have any)."""
    from benchmark.evidence.claims import Judgement, Verdict, load_claims
    from benchmark.evidence.collect import collect
    from benchmark.evidence.estimates import estimate_cells, estimate_effects
    from benchmark.evidence.inputs import gather
    from benchmark.evidence.verdicts import judge_claims

    folders = given_results(options) if options.results else _folders(options)
    found = gather([Store(folder) for folder in folders], *load_registry(options.plugins))
    collection = collect(found.records, tasks=found.tasks, standings=found.standings)
    judged = judge_claims(collection, load_claims(load_study()), estimate_cells(collection), estimate_effects(collection))
    rows = zip(*(judged[name].astype(str) for name in ("id", "verdict", "reason")), strict=True)
    return {claim: Judgement(Verdict(verdict), reason) for claim, verdict, reason in rows}


def given_results(options: argparse.Namespace) -> list[Path]:
    """The folders of `--results` in their order, each once by whatever names it is given; raises as `check_results` does."""
    found: dict[Path, Path] = {}
    for folder in options.results or [Path("results/tiny")]:
        found.setdefault(folder.resolve(), folder)
    for folder in found.values():
        check_results(folder)
    return list(found.values())


def check_results(folder: Path) -> None:
    """Raises `ValueError` for what is no results folder, or one in which no run has come to a record or a failure; `OSError`
    for one that cannot be looked at."""
    refuse_inner(folder)
    if not any(may_be(f"{folder}/runs/{name}/{file}") for name in names_under(folder) for file in (RECORD, FAILURE)):
        raise ValueError(f"no results in {folder}{not_there(folder)}; run a matrix first, for example: "
                         "benchmark run --matrix smoke")


def make_report(options: argparse.Namespace, command: str) -> int:
    from rich.console import Console

    with Console(stderr=True, quiet=options.quiet or options.json).status("reading records", spinner="line") as status:
        return _make_report(options, status)


def _make_report(options: argparse.Namespace, status: Status) -> int:
    from benchmark.evidence.alignment import alignments_of
    from benchmark.evidence.analysis import FINDINGS, Extras, analyse
    from benchmark.evidence.compare import compare_outputs
    from benchmark.evidence.cosines import noted_cosines
    from benchmark.evidence.directions import kept_signed
    from benchmark.evidence.inputs import gather, gather_pictures
    from benchmark.evidence.secondary import kept_endpoints
    from benchmark.evidence.sides import unchanged_cells
    from benchmark.report.document import FORMATS
    from benchmark.report.parts import PARTS
    from benchmark.report.write import left_by_earlier, sentences, write_report

    formats = pick([options.format or ""], dict.fromkeys(FORMATS), "format") or FORMATS
    if options.open and "html" not in formats:
        raise ValueError("--open shows the page, which is html: leave out --format, or name html in it")
    parts = pick([options.only or ""], PARTS, "part") or PARTS
    if options.compare and "compare" not in parts:
        raise ValueError("--compare is shown in the part compare: name it in --only, too")
    fatal = pick([options.fail_on or ""], dict.fromkeys(FINDINGS), "finding")
    folders = given_results(options)
    out = options.out or folders[0] / "report"
    refuse_unwritable(out, "folder")
    for folder in options.compare or []:
        check_results(folder)
    tasks, arms = load_registry(options.plugins)
    stores = [Store(folder) for folder in folders]
    for store in stores:
        if (store.folder / "slurm").is_dir():  # a matrix that nobody may have watched to its end
            try:
                note_beside(store)
            except OSError as error:
                print(f"note: {store.folder} cannot be written to ({error.strerror or error}), so what is noted there of "
                      "weights and outputs when a matrix ends may lack runs", file=sys.stderr)
    records, problems, infos, standings, by_store, spares = gather(stores, tasks, arms)
    alignments = {identity: values for place in by_store for identity, values in alignments_of(*place).items()}
    study = load_study(arms)
    unchanged = unchanged_cells(by_store, study.equal)
    status.update(f"looking at what {counted(len(records), 'record')} say{'s' * (len(records) == 1)}")
    samples, reconstructions, damaged = gather_pictures(by_store)
    cosines = {identity: noted for place in by_store for identity, noted in noted_cosines(*place).items()}
    endpoints, unread = kept_endpoints(by_store)
    compared = gather([Store(folder) for folder in options.compare], tasks, arms) if options.compare else None
    told = {problem.name for problem in problems}
    beside = [problem for problem in (*damaged, *unread) if problem.name not in told]
    analysis = analyse(records, [*problems, *beside], options.select.replace("-", "_"), tasks=infos,
                       study=study, standings=standings, spares=spares, compared=None if compared is None else compared.records,
                       compared_problems=() if compared is None else compared.problems,
                       extras=Extras(alignments, samples, reconstructions, cosines, endpoints,
                                     kept_signed(by_store, study), unchanged,
                                     None if compared is None else compare_outputs(by_store, compared.by_store)))
    try:
        written = write_report(analysis, out, _regenerating(options, folders), formats, parts,
                               lambda part: status.update(f"writing: {part}"))
    except OSError as error:
        raise ValueError(f"the report cannot be written: {error}; choose another folder with --out") from error
    status.stop()
    lost = len(analysis.collection.problems)
    page = next((path for path in written if path.suffix == ".html"), written[0])
    said = sentences(analysis)
    if options.json:
        print(json.dumps({"page": str(page), "answer": said, "records": len(records), "without_result": lost,
                          "findings": {name: count for name in FINDINGS if (count := analysis.count(name))},
                          "written": [str(path) for path in written]}, indent=1))
    elif not options.quiet:
        copies = sum(record == counts for _, record, counts in spares)
        others = len(spares) - copies
        named = "named in the report" if "left-out" in parts else "which --only left-out names"
        more = counted(len(written) - 1, "other page, table or figure", "other pages, tables and figures")
        print(f"{said[0]}\n\n{page}{f', and {more},' * (len(written) > 1)} from "
              + counted(len(records), "record")
              + (f"; {counted(lost, 'run or file has', 'runs or files have')} no result, {named}" if lost else "")
              + (f"; {counted(copies, 'copy of a record counts', 'copies of records count')} once, {named}" if copies else "")
              + (f"; {counted(others, 'other result of a run does', 'other results of runs do')} not count, {named}"
                 if others else ""))
        if old := left_by_earlier(out, written):
            left = counted(len(old), "table or figure", "tables or figures")
            print(f"note: an earlier report left {left} beside these, such as {old[0]}; remove "
                  f"{worded(len(old), 'it', 'them')}, or choose another folder with --out", file=sys.stderr)
    if options.open and not webbrowser.open(page.resolve().as_uri()):
        print(f"note: no browser opens here; the page is {page}", file=sys.stderr)
    found = {finding: analysis.count(finding) for finding in fatal if analysis.count(finding)}
    if found:
        print("failing, as asked: " + ", ".join(f"{count} {finding}" for finding, count in found.items()), file=sys.stderr)
    return 1 if found else 0


def _regenerating(options: argparse.Namespace, folders: list[Path]) -> str:
    """The command that makes the same files, with no more of this machine's paths than was typed."""
    def shown(folder: Path) -> str:
        try:
            return folder.resolve().relative_to(Path.cwd()).as_posix()
        except ValueError:
            return folder.as_posix()

    parts = ["benchmark", "report"]
    for name, values in (("--results", map(shown, folders)), ("--compare", map(shown, options.compare or []))):
        parts += [part for value in values for part in (name, value)]
    for name, value in (("--select", options.select), ("--format", options.format), ("--only", options.only)):
        parts += [name, value] if value and (name, value) != ("--select", "last") else []
    parts += [part for place in options.plugins or () for part in ("--plugins", shown(place))]
    return shlex.join(parts)
