"""Named arrays in, one compressed file out, and back: what lies beside records. No torch."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.record import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Whole or not at all, and nothing where there are none; the same bytes for the same arrays."""
    import numpy as np

    if not arrays:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    write_whole(path, buffer.getvalue())


def read_arrays(path: Path, what: str, kind: str, most_bytes: int, fits: Callable[[dict[str, NDArray[Any]]], bool]
                ) -> dict[str, NDArray[Any]]:
    """{} where there is no file; raises `ValueError` in one line for one that is damaged, larger than `most_bytes` unpacked,
    or whose arrays do not fit. `what` names the file there, and `kind` what its arrays should be, such as "pictures".
    """
    import numpy as np

    if not path.is_file():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > most_bytes:
                raise ValueError(f"more than {most_bytes // 2**20} MiB unpacked")
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        if not fits(arrays):
            raise ValueError(f"its arrays are not those of {kind}")
        return arrays
    except (OSError, ValueError, TypeError, EOFError, NotImplementedError, RuntimeError, OverflowError, MemoryError,
            SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{what} cannot be read: {' '.join(str(error).split())}") from error
