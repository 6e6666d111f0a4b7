"""Every command and option: a parser, which names what carries each command out."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from benchmark import __version__
from benchmark.cli import (
    aligning,
    certifying,
    completing,
    exporting,
    files,
    own,
    reading,
    running,
    speed,
    standing,
    viewing,
)
from benchmark.cli import cluster as cluster_jobs
from benchmark.cli.context import DEFAULT_MATRIX, load_study
from benchmark.cli.parsing import Parser, parse_duration, parse_states
from benchmark.provenance.currency import AGAIN
from benchmark.spec.recipes import SETTINGS, SPLITS

PROFILES = ("tiny", "small", "paper")
EPILOG = """flow: data source -> tokenizer -> blocks (with pathways) -> head -> loss / metric -> trainer -> run record
      -> statistics -> tables and figures

start with:  benchmark run --matrix smoke, then benchmark run --matrix quick"""


def plan_options(matrices: Iterable[str], without: str) -> Parser:
    """The options that choose runs, of a parser to inherit from; `without` says what is meant where no matrix is named."""
    plan = Parser(add_help=False)
    chosen = plan.add_argument_group("which runs")
    chosen.add_argument("--matrix", metavar="NAME", help=f"{', '.join(matrices)}, or a .yaml file ({without})")
    chosen.add_argument("--profile", choices=PROFILES, default="tiny", help="data and sizes: embedded for a CPU, embedded for "
                        "a GPU, or the official data with ViT-B (default: %(default)s)")
    chosen.add_argument("-t", "--target", action="append", metavar="TASK", help="only these tasks, with commas between, or "
                        "repeated; so with -x and --arm")
    chosen.add_argument("-x", "--aux", action="append", metavar="MODALITY", help="only these auxiliaries, such as audio")
    chosen.add_argument("--arm", action="append", metavar="ARM", help="these arms instead of the matrix's; a gain is a "
                        "difference to a baseline, such as finetune, so that belongs among them")
    chosen.add_argument("--setting", action="append", metavar="SETTING",
                        help=f"these settings instead of the matrix's, some of {', '.join(SETTINGS)}, with commas between")
    chosen.add_argument("--seeds", metavar="SEEDS", help="such as 0-2 or 0,3 (default: the matrix's)")
    chosen.add_argument("--limit", type=int, metavar="N", help="at most this many samples of each split: a trial, whose "
                        "results are kept and reported apart")
    chosen.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="alter [TASK.]recipe.FIELD, pretrain.FIELD, shape.FIELD or arm.FIELD; may be repeated. Under "
                        "--profile paper the learning rate follows recipe.batch_size unless it is set, too")
    chosen.add_argument("--variant", action="append", default=[], metavar="NAME", dest="variants",
                        help="a choice of the paper or its code that --profile paper does not make, by name; may be repeated "
                        "(see list variants)")
    chosen.add_argument("--start", action="append", default=[], metavar="MODALITY=FILE",
                        help="begin from these weights instead of pretraining the modality; may be repeated (see convert)")
    where = plan.add_argument_group("where")
    where.add_argument("--results", type=Path, metavar="DIR", help="results folder (default: results/PROFILE, "
                       "results/smoke for the smoke matrix and with --limit, results/quick for the quick matrix)")
    return plan


def build_parser() -> Parser:
    """Every command and option."""
    study = load_study()
    parser = Parser(prog="benchmark", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
                    description=study.summary)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    plan, counted, queued = (plan_options(study.matrices, without) for without in (
        f"default: {DEFAULT_MATRIX}", "without any of these, what the folder holds is counted",
        "without any of these, all jobs of the folder"))
    config = Parser(add_help=False)
    config.add_argument("--config", type=Path, metavar="FILE", help="options by their names, from a .yaml or .toml file; those "
                        "that are typed win")
    plugins = Parser(add_help=False)
    plugins.add_argument("--plugins", type=Path, action="append", metavar="PATH", help="a Python file that defines TASK or "
                         "ARM, or a folder of such; may be repeated")

    as_json = Parser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="the same for programs")

    run = verbs.add_parser("run", parents=[plan, plugins, config], help="train every run of a matrix that has no record yet",
                              description="Train every run of a matrix that has no record yet. Running it again resumes.")
    run.add_argument("-j", "--jobs", type=int, metavar="N", help="processes at once (default: one a core; with GPUs "
                     "one a GPU at paper scale, else two, or up to eight where each run trains alone)")
    run.add_argument("--lockstep", type=int, metavar="N", help="train runs that differ in arm and seed alone in stacks of N "
                     "models, one pass for all (default: what a GPU's free memory holds, up to 48; at paper scale and "
                     "on a CPU 1: each alone). A run's bits "
                     "depend on N, so runs of different N are not compared")
    run.add_argument("--gpus-per-run", type=int, metavar="N", help="let N GPUs of this machine share each run, a part of every "
                     "batch on each (default: 1). Runs of different N are not compared; see docs/on-a-cluster.md")
    run.add_argument("--processes-per-run", type=int, metavar="N", help="the same on a CPU, by N processes")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: %(default)s)")
    run.add_argument("--overwrite", type=parse_states, metavar="STATES", default=AGAIN,
                     help="which recorded runs to compute again beside what has no result: some of up-to-date, carried, "
                     "other-code and other-data, or all, or none (default: other-code,other-data)")
    run.add_argument("--timeout", type=parse_duration, metavar="TIME",
                     help="end a run that finishes no epoch for this long, such as 90s, 30m or 2h (default: wait for ever)")
    run.add_argument("--time-limit", type=parse_duration, metavar="TIME", help="begin nothing that would take longer than what "
                     "is left of this time, as far as recorded runs and epochs tell, stop what is running at a checkpoint "
                     "when it is over, and exit with 3 where runs are left")
    run.add_argument("--retries", type=int, default=1, metavar="N",
                     help="how often to try again what was killed, hung or ran out of memory (default: %(default)s)")
    run.add_argument("--allow-missing", action="store_true",
                     help="train on official data that lack files or classes; every record and the report say how many")
    run.add_argument("--dry-run", action="store_true", help="list the runs, their states, the time that is left and the "
                     "difference from which on these seeds find a pair, and stop")
    told = run.add_mutually_exclusive_group()
    told.add_argument("-v", "--verbose", action="store_true", help="a line for every epoch, and the whole traceback of what "
                      "failed")
    told.add_argument("-q", "--quiet", action="store_true", help="say nothing but what fails")
    run.add_argument("--log", type=Path, metavar="FILE", help="also write what happens, with times and every epoch, to the "
                     "end of this file")
    run.add_argument("--debug", action="store_true", help="carry out what is to do here, one run after the other in this "
                     "process, nothing redirected, to the first error: breakpoint() works")
    cluster = run.add_argument_group("on a cluster (docs/on-a-cluster.md)")
    cluster.add_argument("--executor", choices=("local", "slurm"), default="local", help="where runs are carried out: slurm "
                         "submits job arrays, one job a run or a stack (--lockstep), and watches them (default: %(default)s)")
    cluster.add_argument("--slurm", action="append", default=[], metavar="NAME=VALUE,...", help="what each job asks for: time "
                         "(needed: 90m, 20h, 2d, or as sbatch takes it; a job that reaches it is requeued and goes on), "
                         "partition, account, qos, constraint, gpus, cpus, mem, or any long option of sbatch; may be repeated")
    cluster.add_argument("--max-jobs", type=int, metavar="N", help="jobs that run at once, at most (default: all)")
    cluster.add_argument("--detach", action="store_true", help="submit everything and return; see status and cancel")
    run.set_defaults(run=running.run_matrix)

    status = verbs.add_parser("status", parents=[counted, plugins, as_json, config],
                              help="what a results folder holds, or which runs of a matrix are up to date, carried, of other "
                              "code or data, failed or missing",
                              description="What a results folder holds; of a matrix, run by run: up to date, carried, of other "
                              "code or data, failed with its error, or missing (docs/how-results-stay-valid.md). Nothing is "
                              "computed.")
    status.set_defaults(run=standing.show_status)

    stop = verbs.add_parser("cancel", parents=[queued, plugins], help="end the jobs of a results folder on Slurm, or those of "
                            "the runs that are named", description="End jobs that run --executor slurm submitted. What has a "
                            "checkpoint goes on from it when it is run again.")
    stop.set_defaults(run=cluster_jobs.cancel_jobs)

    certificate = verbs.add_parser(
        "certify", parents=[plugins], help="show that a change of code or packages alters no recorded result",
        description="Compute one run of each class of records whose code has changed, before and after the change, on this "
        "machine, and compare everything bit for bit. What is equal is written down, and carries the records of its class.")
    certificate.add_argument("--base", metavar="COMMIT", help="a commit that computes the records (default: the last that a "
                             "certificate carries records to, else the one that the newest of them names)")
    certificate.add_argument("--python", metavar="FILE", help="compute the first side with the interpreter of another "
                             "environment; without --base with this code, to compare packages alone")
    certificate.add_argument("--full", type=int, default=0, metavar="N", help="replay N classes at their recorded size, "
                             "against the records themselves (default: %(default)s)")
    certificate.add_argument("--all", action="store_true", help="replay all classes, also those of today's code")
    certificate.add_argument("--check", nargs="?", const="", metavar="FILE",
                             help="replay what a certificate says (default: the newest) and say whether it holds")
    certificate.add_argument("--start", action="append", default=[], metavar="MODALITY=FILE", help="weights that runs start "
                             "from, as they were given to them; may be repeated")
    certificate.add_argument("--results", type=Path, default=Path("results/tiny"), metavar="DIR",
                             help="the records (default: %(default)s)")
    certificate.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N (default: %(default)s)")
    certificate.add_argument("--work", type=Path, metavar="DIR", help="keep the replays there, and go on from them")
    certificate.add_argument("--out", type=Path, metavar="DIR", help="where the certificate is written")
    certificate.set_defaults(run=certifying.certify)

    listing = verbs.add_parser("list", parents=[plugins, as_json], help="tasks, arms, matrices, variants, claims",
                               description="The names that other commands take, each with a line; info NAME says the rest.")
    listing.add_argument("what", nargs="?", choices=("tasks", "arms", "matrices", "variants", "claims"),
                         help="default: tasks, arms and matrices")
    listing.add_argument("--results", type=Path, action="append", metavar="DIR",
                         help="of claims: also the verdicts by these records; may be repeated")
    listing.set_defaults(run=reading.show_list)

    info = verbs.add_parser("info", parents=[plugins, as_json],
                            help="everything about one task, arm, matrix, variant, claim or run",
                            description="Of a task its data, sizes and recipes; of an arm its options; a matrix as a file to "
                            "start from; of a claim what was published, the command that tests it and what came out; of a "
                            "run what its record says, or why it failed.")
    info.add_argument("name", metavar="NAME", help="as list, list variants and list claims have it; of a run, its folder's")
    info.add_argument("--profile", choices=PROFILES, help="of a task (default: tiny, or the one it has)")
    info.add_argument("--results", type=Path, action="append", metavar="DIR",
                      help="by whose records a claim is judged, or which has the run; may be repeated "
                      "(default: all below results/)")
    info.set_defaults(run=reading.show_info)

    new = verbs.add_parser("new", help="write a commented file for an arm or a task of your own, and its test",
                           description="Write a commented file to alter, and its test beside it; nothing is written over. "
                           "Every command finds what it defines with --plugins FILE (docs/own-arm.md, docs/own-task.md).")
    new.add_argument("kind", choices=("arm", "task"), metavar="arm|task",
                     help="a method or control; or a data set with its model's two ends")
    new.add_argument("name", metavar="NAME", help="such as my-arm: small letters, digits and single dashes")
    new.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="default: this folder")
    new.set_defaults(run=own.write_new)

    examine = verbs.add_parser("check", parents=[plugins], help="does a task or an arm hold to what the suite asks of it?",
                               description="Look at a task's data and declared chance, or at an arm on every embedded task, "
                               "and take a step of training, all in a minute or two. Exit code 1 where something is wrong.")
    examine.add_argument("name", metavar="NAME", help="of a task or an arm")
    examine.add_argument("--profile", choices=PROFILES, default="tiny", help="default: %(default)s")
    examine.set_defaults(run=own.check)

    report = verbs.add_parser("report", parents=[plugins, as_json, config],
                             help="the answer, its appendix, tables and figures from records",
                             description="Print the answer that records give, and write it with its appendix as pages, tables "
                             "and figures. Nothing is computed but statistics (docs/read-a-report.md).")
    report.add_argument("--results", type=Path, action="append", metavar="DIR",
                        help="results folder; may be repeated (default: results/tiny)")
    report.add_argument("--out", type=Path, metavar="DIR", help="default: RESULTS/report")
    report.add_argument("--select", choices=("last", "best-val", "oracle"), default="last",
                        help="which epoch counts (default: %(default)s)")
    report.add_argument("--format", metavar="LIST", help="some of md, latex, csv, json, html, png, svg, pdf, with commas "
                        "between (default: all)")
    report.add_argument("--only", metavar="LIST", help="these parts, with commas between: gains, verdicts, mechanism, limits, "
                        "matrix, controls, secondary, sanity, labels, power, paper, cost, claims, pretraining, selection, "
                        "curves, scales, samples, compare, left-out, provenance (default: all)")
    report.add_argument("--compare", type=Path, action="append", metavar="DIR",
                        help="another results folder, to set beside these cell by cell; may be repeated")
    report.add_argument("--fail-on", metavar="LIST", help="exit with 1 where there is any of contradicted, not-reproduced, "
                        "other-code, other-data, missing (of every target with every auxiliary that was run), failed, "
                        "unreadable, conflicting (two records of one run with other results), in-doubt (as status says)")
    report.add_argument("--open", action="store_true", help="show the page in a browser")
    report.add_argument("-q", "--quiet", action="store_true", help="say nothing but what --fail-on finds")
    report.set_defaults(run=reading.make_report)

    logs = verbs.add_parser("export-logs", parents=[plugins], help="curves, scales and times of recorded runs for TensorBoard, "
                            "and as CSV or Parquet", description="Write what recorded runs logged, one value a row by tag and "
                            "epoch, for other tools; benchmark.load(DIR, kind=\"logs\") gives the same rows.")
    logs.add_argument("--results", type=Path, action="append", metavar="DIR",
                      help="results folder; may be repeated (default: results/tiny)")
    logs.add_argument("--to", default="csv", metavar="LIST", help=f"some of {','.join(exporting.FORMATS)} "
                      "(default: %(default)s; the others need the extra of their name)")
    logs.add_argument("--out", type=Path, default=Path("logs"), metavar="DIR", help="default: %(default)s")
    logs.set_defaults(run=exporting.export_logs)

    complete = verbs.add_parser("completion", help="a script by which a shell completes commands, options and names",
                                description="Print it: eval \"$(benchmark completion bash)\" in ~/.bashrc; for zsh, "
                                "benchmark completion zsh > a folder of $fpath/_benchmark.")
    complete.add_argument("shell", choices=completing.SHELLS, help="the one that you type commands into")
    complete.set_defaults(run=completing.print_completion, parser=parser)

    sides = verbs.add_parser("view", parents=[plugins], help="the test samples on which a run and its baseline differ",
                             description="Show the test samples that changed sides against the baseline of the same seed, "
                             "with what both say of them, as one picture or a page.")
    sides.add_argument("run_name", metavar="RUN", help="name or id of a run, as under RESULTS/runs")
    sides.add_argument("--results", type=Path, default=Path("results/tiny"), metavar="DIR", help="default: %(default)s")
    sides.add_argument("--number", type=int, default=24, metavar="N", help="samples at most (default: %(default)s)")
    sides.add_argument("--out", type=Path, metavar="FILE", help="a .png or .html (default: RUN.png)")
    sides.set_defaults(run=viewing.view_run)

    again = verbs.add_parser("reproduce", parents=[plugins], help="compute a recorded run again and compare",
                                description="Compute a recorded run again, with the same threads, and say whether it gives the "
                                "same numbers and weights. Exit code 0: bit-equal or within the tolerance; 1: it differs.")
    again.add_argument("run_name", metavar="RUN", help="name or id of a run, as under RESULTS/runs")
    again.add_argument("--results", type=Path, default=Path("results/tiny"), metavar="DIR", help="default: %(default)s")
    again.add_argument("--out", type=Path, metavar="DIR", help="keep what is computed here (default: nothing is kept)")
    again.add_argument("--tolerance", type=float, default=0.5, metavar="X",
                       help="how far the main metric may move where it is not bit-equal, in its unit (default: %(default)s)")
    again.set_defaults(run=running.reproduce_run)

    data = verbs.add_parser("data", parents=[plugins], help="official data sets: list, prepare, verify, stats, view",
                            description="Official data sets for --profile paper. `prepare` looks at every file once and writes "
                            "what is there, with a digest, into the catalogue (./data, or M2PT_DATA); `verify` looks again.")
    data.add_argument("action", choices=("list", "prepare", "verify", "stats", "view"),
                      help="what there is and how it lies on disk; look at every file; look again; what a data set's numbers "
                      "are made of; samples as a picture, also of embedded data")
    data.add_argument("task", nargs="?", metavar="TASK", help="needed by all but list")
    data.add_argument("--root", type=Path, metavar="DIR", help="where the data set lies, as it was distributed")
    data.add_argument("--set", metavar="NAME", help="which, of a task with several")
    data.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="files at once (default: %(default)s)")
    data.add_argument("--strip-prefix", default="", metavar="DIR",
                      help="what lists of another machine begin their paths with, such as /their/kinetics")
    data.add_argument("--follow-links", action="store_true",
                      help="read files outside of the folder where links in it lead there (default: they are refused)")
    view = data.add_argument_group("view", "samples of a split on one sheet, as the model would see them unaltered")
    view.add_argument("--profile", choices=PROFILES, help="default: tiny, or the one that the task has")
    view.add_argument("--split", choices=SPLITS, default="train", help="default: %(default)s")
    view.add_argument("--number", type=int, default=12, metavar="N", help="samples (default: %(default)s)")
    view.add_argument("--out", type=Path, metavar="FILE.png", help="default: TASK-PROFILE-SPLIT.png")
    view.add_argument("--window", action="store_true", help="clouds of points in a window that turns them (extra `view`)")
    data.set_defaults(run=files.manage_data)

    convert = verbs.add_parser("convert", parents=[plugins], help="a published checkpoint (MAE, timm, VideoMAE, Point-MAE, "
                               "AudioMAE, Hugging Face, open_clip, JAX, Whisper) under our names",
                               description="Rewrite a published checkpoint under our names, every key accounted for. "
                               "Reads tensors only: no code in a file is run, and one that calls any is refused.")
    convert.add_argument("file", type=Path, metavar="FILE", help="the checkpoint as published: .pth, .pt, .bin, .safetensors, "
                         ".npz, or the .index.json of one in parts")
    convert.add_argument("task", metavar="TASK", help="whose encoder it is for; with --blocks-only also a name of your own for "
                         "a modality that no task has, such as speech")
    convert.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors",
                         help="the weights under our names, with their sizes and the digest of what they came from")
    convert.add_argument("--profile", choices=PROFILES, default="paper", help="default: %(default)s")
    convert.add_argument("--set", action="append", default=[], metavar="shape.FIELD=VALUE", dest="overrides",
                         help="where the model is of another shape; may be repeated")
    convert.add_argument("--blocks-only", action="store_true", help="the blocks alone, to serve as an auxiliary; of no "
                         "task's modality in the sizes that the file has")
    convert.add_argument("--heads", type=int, metavar="N", help="attention heads, where neither the file nor a config.json "
                         "beside it says it")
    convert.add_argument("--first-blocks", type=int, metavar="N", help="only so many blocks, from the first on")
    convert.add_argument("--interpolate", action="store_true", help="fit positions of another grid (bicubic)")
    convert.add_argument("--weights", metavar="NAME", help="which set, where the file has several, such as model_ema, "
                         "student or visual (default: the first that is no moving average, of a teacher before a student)")
    convert.set_defaults(run=files.convert_checkpoint)

    audit = verbs.add_parser("align", help="what an auxiliary's weights have in common with what training changed, without "
                             "training", description="The cosine of A and tau = trained - start in every linear layer of the "
                             "blocks, beside its chance distribution (rows and columns of A permuted), of any checkpoints that "
                             "convert reads.")
    audit.add_argument("--auxiliary", type=Path, metavar="FILE",
                       help="A (default: those of the pathways in --trained, as the released ones have them)")
    audit.add_argument("--start", type=Path, required=True, metavar="FILE", help="the target's weights before training")
    audit.add_argument("--trained", type=Path, required=True, metavar="FILE", help="the same model after it")
    audit.add_argument("--weights", action="append", default=[], metavar="FILE=NAME", help="which set, where the file of "
                       "start, trained or auxiliary has several, such as trained=model_ema; may be repeated (default: as in "
                       "convert)")
    audit.add_argument("--permutations", type=int, default=100, metavar="N", help="of chance (default: %(default)s)")
    audit.add_argument("--out", type=Path, default=Path("align"), metavar="DIR",
                       help="for align.csv and align.png (default: %(default)s)")
    audit.set_defaults(run=aligning.align_checkpoints)

    bench = verbs.add_parser("bench", help="measure speed and memory on this machine",
                             description="Measure what the suite costs on this machine: pathways beside the plain model, the "
                             "trainer, points, planning, reading. Medians of alternating repeats, as a table and a figure.")
    bench.add_argument("--only", metavar="LIST", help="some of check, optimizer, steps, tiny, trainer, memory, inference, "
                       "points, planning, inputs, smoke, stack, sharing, evidence, with commas between (default: all but "
                       "evidence, which takes hours on a CPU)")
    bench.add_argument("--gpu", action="store_true", help="what a GPU has to show, each measurement in a process and under a "
                       "time limit of its own, six minutes in all; what is found is kept as it comes")
    bench.add_argument("--time-limit", type=parse_duration, metavar="TIME", help="of --gpu as a whole, such as 5m")
    bench.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    bench.add_argument("--repeats", type=int, default=7, metavar="N", help="default: %(default)s")
    bench.add_argument("--threads", type=int, default=0, metavar="N", help="of one process (default: all cores)")
    bench.add_argument("--results", type=Path, metavar="DIR",
                       help="also measure how busy the runs recorded here kept the machine")
    bench.add_argument("--out", type=Path, metavar="DIR", help="default: results/speed/MACHINE")
    bench.add_argument("--strict", action="store_true", help="exit with 1 where a bound is not kept, or a "
                       "measurement was not finished")
    bench.set_defaults(run=speed.run_bench)

    export = verbs.add_parser("export", help="copy a finished run's merged weights, named as timm names them",
                              description="Copy a finished run's merged weights, and print the call of timm that takes them. "
                              "Weights stay where a run was computed; no repository holds those of committed records.")
    export.add_argument("run_name", metavar="RUN", help="name or id of a run, as under RESULTS/runs")
    export.add_argument("--results", type=Path, default=Path("results/tiny"), metavar="DIR", help="default: %(default)s")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: RUN.safetensors")
    export.set_defaults(run=files.export_run)
    parser.commands = verbs.choices
    return parser
