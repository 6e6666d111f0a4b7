"""Sound files in, samples out, whole or not at all.

What stores every sample is read by libsndfile, exactly; all else, and what states no length, by FFmpeg, which reads sounds
without an index and chained ones to their end and gives the same bits where both can.

Shapes: S samples, C channels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
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


def read_samples(source: str | Path | bytes) -> tuple[Samples, int]:
    """((S, C) float32 in about [-1, 1], samples a second) of a file, or of a file's bytes.

    Raises `DataError` where it is damaged, cut short, empty or too large.
    """
    what = f"{len(source)} bytes of sound" if isinstance(source, bytes) else f"sound {source}"
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
    """Raises `DataError` for a sound that is too long, of too many channels or of a rate that no recording has."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or channels > MOST_CHANNELS or num_samples > LONGEST_SECONDS * rate:
        raise DataError(f"{what} of {num_samples} samples, {channels} channels, {rate} Hz is too large, or of a sampling rate "
                        "that no recording has")


def _open(source: str | Path | bytes) -> io.BytesIO | str:
    return io.BytesIO(source) if isinstance(source, bytes) else str(Path(source).absolute())


def _decode(source: str | Path | bytes, what: str) -> tuple[Samples, int]:
    """By FFmpeg, packet by packet; one channel, as parts of a chained file may differ in their number."""
    try:
        with av.open(_open(source), options={"format_whitelist": FORMATS, "protocol_whitelist": "file"}) as container:
            if not isinstance(container, InputContainer) or not container.streams.audio:
                raise DataError(f"{what} cannot be read: no sound is in it")
            parts, rates, count = [], set(), 0
            for part, rate in _frames(container, what):
                parts.append(part)
                rates.add(rate)
                count += len(part)
                check_size(what, count, 1, rate)
    except DataError:
        raise
    except ERRORS as error:
        raise DataError(f"{what} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(rates) > 1:
        raise DataError(f"{what} has parts of {' and '.join(map(str, sorted(rates)))} Hz; write it anew, in one part")
    return np.concatenate(parts)[:, None] if parts else np.zeros((0, 1), np.float32), rates.pop() if rates else 1


def _frames(container: InputContainer, what: str) -> Iterator[tuple[Samples, int]]:
    stream = container.streams.best("audio")
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
    """(S,), the mean of the channels"""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        values = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        values = values.astype(np.float32) / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    mean: Samples = values.astype(np.float32).mean(0)
    return mean
