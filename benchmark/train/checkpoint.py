"""The state of an unfinished run to a file and back, whole or not at all, and the one before it where a file is damaged."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

DIGEST_BYTES = 32  # of SHA-256, at the end of the file


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Atomic: a kill at any moment leaves a whole checkpoint, this one or the one before it."""
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        writer: Any = HashingWriter(file)
        try:
            torch.save(state, writer)
        except RuntimeError as error:  # torch hides a full disk behind one of its own
            raise writer.failure or error from None
        file.write(writer.digest.digest())
        file.flush()
        os.fsync(file.fileno())
    if path.is_file():
        path.replace(_previous(path))
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The newest whole state, or None where there is none. Says which file it skips; loads tensors and plain values only."""
    for candidate in checkpoint_files(path):
        try:
            data = candidate.read_bytes()
            payload, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError("its digest does not fit its content")
            state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        except MemoryError:  # not the file's fault: it may be read when others have ended
            raise
        except Exception as error:  # the unpickler raises whatever damaged bytes make it stumble over
            print(f"checkpoint {candidate} cannot be read ({error}); looking for an earlier one", flush=True)
            continue
        return state
    return None


def checkpoint_files(path: Path) -> Iterator[Path]:
    """Newest first, those that are there"""
    return (file for file in (path, _previous(path)) if file.is_file())


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


class HashingWriter(io.RawIOBase):
    """Passes on what is written, and digests it."""

    def __init__(self, file: BinaryIO):
        super().__init__()
        self.file, self.digest = file, hashlib.sha256()
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.failure = error
            raise
