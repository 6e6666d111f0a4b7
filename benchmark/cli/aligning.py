"""Command `align`: an audit of checkpoints, without training."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Collection, Sequence
from dataclasses import asdict

from benchmark.cli.context import refuse_unwritable, require_torch

ROLES = ("start", "trained", "auxiliary")  # of the files, as their options are called


def align_checkpoints(options: argparse.Namespace, command: str) -> int:
    """Print the cosines by layer, and write them as a table and a figure."""
    require_torch()
    import pandas as pd

    from benchmark.report.align import align_table, draw_align
    from benchmark.report.canvas import drawn, house_style
    from benchmark.report.markup import to_markdown
    from benchmark.transfer.align import ALL, align, read_blocks
    from benchmark.transfer.convert import summarise

    if options.permutations < 20:
        raise ValueError(f"--permutations {options.permutations}: expected at least 20, to tell chance from")
    refuse_unwritable(options.out, "folder")
    files = {role: path for role in ROLES if (path := getattr(options, role)) is not None}
    wanted = sets_of(options.weights, files)
    read = {role: read_blocks(path, wanted.get(role)) for role, path in files.items()}
    start, trained = read["start"], read["trained"]
    auxiliary = trained.auxiliaries if options.auxiliary is None else read["auxiliary"].weights
    for role, blocks in read.items():
        if blocks.taken:
            print(f"of {files[role]} {blocks.taken} (--weights {shlex.quote(f'{role}={blocks.other}')})")
    if others := summarise(list(start.others)):
        print(f"not compared, as only layers of attention and of an MLP of two layers are: {', '.join(others)}")
    if not auxiliary:
        raise ValueError(f"{options.trained} has no pathways, whose auxiliary it could be; name one with --auxiliary")
    frame = pd.DataFrame([asdict(row) for row in align(auxiliary, start.weights, trained.weights, trained.scales,
                                                       options.permutations)]).astype({"scale": "float64"})
    print(to_markdown(align_table(frame)))
    whole = frame[frame["layer"] == ALL].iloc[0]
    layers = frame[frame["layer"] != ALL]
    found = "more than" if whole.p < 0.05 else "no more than"
    print(f"in all {whole.cosine:+.4f}, {found} chance gives (rms {whole.chance:.4f}, p {whole.p:.3g}); beyond chance at "
          f"p < 0.05 are {int((layers['p'] < 0.05).sum())} of {len(layers)} layers, {0.05 * len(layers):.1f} expected")
    names = [str(options.auxiliary or f"pathways of {options.trained.name}"), f"{options.start.name} to {options.trained.name}"]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        frame.to_csv(options.out / "align.csv", index=False)
        with house_style():
            (options.out / "align.png").write_bytes(drawn(draw_align(frame, names), {"png"})["png"])
    except OSError as error:
        raise ValueError(f"{options.out} cannot be written ({error.strerror}); choose another folder with --out") from error
    print(f"written: {options.out}/align.csv, {options.out}/align.png")
    return 0


def sets_of(texts: Sequence[str], files: Collection[str]) -> dict[str, str]:
    """Which set of weights is wanted of which file, as `--weights ROLE=NAME` has it; raises `ValueError`."""
    found: dict[str, str] = {}
    for text in texts:
        role, equals, name = text.partition("=")
        if not equals or role not in ROLES:
            raise ValueError(f"--weights {text}: expected FILE=NAME, FILE one of {', '.join(ROLES)}, such as trained=model_ema")
        if role not in files:
            raise ValueError(f"--weights {text}: there is no --{role}; name its file, or leave this out")
        if role in found:
            raise ValueError(f"--weights {text}: of --{role} a set is named already, {found[role]!r}: give one")
        found[role] = name
    return found
