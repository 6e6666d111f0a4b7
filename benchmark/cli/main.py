"""The command line: arguments in, a command of `benchmark.cli` called, an exit code out."""

from __future__ import annotations

import errno
import gc
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmark.cli.commands import build_parser
from benchmark.cli.config import with_config
from benchmark.cli.terminal import directed, write_plainly

TOLD = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC,
        errno.EDQUOT, errno.EROFS}  # of a path that was given, and no fault of ours
FULL = {errno.ENOSPC, errno.EDQUOT}
SELDOM = (50_000, 20, 100)  # objects, and generations, between two sweeps


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 a run failed, 2 input that does not fit, 3 the time limit left runs, 130 interrupted."""
    command = ["benchmark", *(sys.argv[1:] if arguments is None else arguments)]
    write_plainly()
    try:
        with sweeping_seldom():
            return _call(command)
    except KeyboardInterrupt:
        print("\ninterrupted: finished runs are kept, unfinished ones go on from where they stopped; "
              "run the same command again", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is not None or error.errno not in FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing of it is tried again at the end
        print(f"benchmark: what is printed, or a file, cannot be written ({error.strerror}); make room", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"benchmark: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _call(command: list[str]) -> int:
    parser = build_parser()
    given = with_config(command[1:], parser)
    options = parser.parse_args(given)
    # A name of other bytes is no text for a record.
    text = shlex.join([command[0], *given]).encode(errors="backslashreplace").decode()
    with directed(getattr(options, "quiet", False), getattr(options, "log", None), text):
        try:
            code = int(options.run(options, text))
        except OSError as error:
            if error.filename is None or error.errno not in TOLD or getattr(options, "debug", False):
                raise
            raise ValueError(f"{error.filename2 or error.filename} cannot be read or written ({error.strerror}); see to it, or "
                             "name another path") from error
        if sys.stdout is not None:  # closed, as by >&-
            sys.stdout.flush()  # here, where a reader that has gone is no error
    return code


@contextmanager
def sweeping_seldom() -> Iterator[None]:
    """Let the garbage collector look through everything less often: of what a command imports, plans and reads next to
    nothing is garbage, and looking takes up to a third of its time."""
    usual = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
