"""Sound files in, samples out, whole or not at all.

What stores every sample is read by libsndfile, exactly; all else, and what states no length, by FFmpeg, which reads sounds
without an index and chained ones to their end and gives the same bits where both can.

Shapes: S samples, C channels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
import soundfile
from av.container import InputContainer

from benchmark.data.embedded import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LONGEST_SECONDS, MOST_CHANNELS, LOWEST_RATE, HIGHEST_RATE = 600, 16, 1_000, 768_000  # of a sound that is no mistake
STORED = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"}
UNKNOWN_FRAMES = 2**62  # what libsndfile gives for a FLAC that was written to a pipe is above
FORMATS = ("mp3,ogg,wav,w64,aiff,au,caf,flac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,avi,flv,mpeg,mpegts,aac,ac3,eac3,amr,"
           "wv,tta")  # none of them leads to other files
ERRORS = (av.error.FFmpegError, OSError, ValueError)
CANCELLED = 1e-4  # of the channels' power: what is left of their mean where they are each other's opposite


def read_samples(source: str | Path | bytes) -> tuple[Samples, int]:
    """((S, C) float32 in about [-1, 1], samples a second) of a file, or of a file's bytes.

    Raises `DataError` where it is damaged, cut short, empty, too large or of an unknown codec.
    """
    what = f"{len(source)} bytes of sound" if isinstance(source, bytes) else f"sound {source}"
    _refuse_second_part(source, what)
    try:
        about = soundfile.info(_open(source))
    except (soundfile.SoundFileError, OSError, TypeError):
        about = None
    if about is not None and about.format in STORED and 0 < about.frames < UNKNOWN_FRAMES:
        check_size(what, about.frames, about.channels, about.samplerate)
        try:
            samples, rate = soundfile.read(_open(source), dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{what} cannot be read, it is damaged or truncated: {error}") from error
        if len(samples) < about.frames:
            raise DataError(f"{what} is truncated: it states {about.frames} samples and has {len(samples)}")
    else:
        samples, rate = _decode(source, what)
    if not len(samples):
        raise DataError(f"{what}: no samples in it")
    return samples, rate


def check_size(what: str, num_samples: int, channels: int, rate: int) -> None:
    """Raises `DataError` for a sound too long, of too many channels or of a rate that none has."""
    if channels > MOST_CHANNELS:
        raise DataError(f"{what} has {channels} channels; at most {MOST_CHANNELS} are read: "
                        "mix it to one or two")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise DataError(f"{what} states {rate} samples a second, which no recording has "
                        f"({LOWEST_RATE} to {HIGHEST_RATE})")
    if num_samples > LONGEST_SECONDS * rate:
        raise DataError(f"{what} is too long: over {num_samples // rate} s, where at most "
                        f"{LONGEST_SECONDS} s are read; cut it")


def to_one_channel(samples: Samples) -> Samples:
    """(S, C) -> (S,): the mean, or the first channel where the channels cancel each other."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean: Samples = samples.mean(1)
    power = np.square(samples, dtype=np.float64).mean()
    cancelled = np.square(mean, dtype=np.float64).mean() < CANCELLED * power
    return np.ascontiguousarray(samples[:, 0]) if cancelled else mean


def _refuse_second_part(source: str | Path | bytes, what: str) -> None:
    """Of a WAV of two chunks of samples libsndfile reads the last, and FFmpeg the first."""
    with (suppress(OSError),  # the reader that comes next says why
          io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file):
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        found = 0
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            found += chunk[:4] == b"data"
            if found > 1:
                raise DataError(f"{what} holds its samples in two parts (two chunks named "
                                "'data'), of which readers take one; write it anew, in one part")
            if chunk[:4] == b"data" and size in (0, 2**32 - 1):
                return  # written to a pipe: the samples go on to the end
            file.seek(size + size % 2, io.SEEK_CUR)


def _open(source: str | Path | bytes) -> io.BytesIO | str:
    return io.BytesIO(source) if isinstance(source, bytes) else str(Path(source).absolute())


def _decode(source: str | Path | bytes, what: str) -> tuple[Samples, int]:
    """By FFmpeg, packet by packet; one channel where parts of a chained file differ in number."""
    try:
        with av.open(_open(source), options={"format_whitelist": FORMATS,
                                             "protocol_whitelist": "file"}) as container:
            if not isinstance(container, InputContainer) or not container.streams.audio:
                raise DataError(f"{what} cannot be read: no sound is in it")
            parts: list[Samples] = []
            rates, count = set(), 0
            for part, rate in _frames(container, what):
                parts.append(part)
                rates.add(rate)
                count += len(part)
                check_size(what, count, part.shape[1], rate)
    except DataError:
        raise
    except ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{what} cannot be read: {reason}") from error
    if len(rates) > 1:
        raise DataError(f"{what} has parts of {' and '.join(map(str, sorted(rates)))} Hz; "
                        "write it anew, in one part")
    if len({part.shape[1] for part in parts}) > 1:
        parts = [to_one_channel(part)[:, None] for part in parts]
    samples = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return samples, rates.pop() if rates else 1


def _frames(container: InputContainer, what: str) -> Iterator[tuple[Samples, int]]:
    stream = container.streams.best("audio")
    if stream is None or getattr(stream, "codec_context", None) is None:
        raise DataError(f"{what} is of a codec that is not known here, or its header is damaged; "
                        "write it anew as FLAC or WAV of 16 bits")
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError) as error:
            raise DataError(f"{what} is damaged at {float(packet.pts * packet.time_base):.2f} s"
                            if packet.pts is not None and packet.time_base is not None else f"{what} is damaged") from error
        for frame in frames:
            if isinstance(frame, av.AudioFrame):
                check_size(what, 0, frame.layout.nb_channels, frame.sample_rate)
                yield _scaled(frame), frame.sample_rate


def _scaled(frame: av.AudioFrame) -> Samples:
    """(S, C)"""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        values = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        values = values.astype(np.float32) / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    return values.astype(np.float32, copy=False).T
