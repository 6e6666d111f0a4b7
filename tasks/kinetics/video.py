"""Files of videos, as frames by number: decoded from the key frame before them, and checked without decoding all of them."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av
import av.error

from benchmark.data.embedded import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL import Image

MOST_PIXELS, MOST_FRAMES, MOST_ASPECT = 2**25, 2**17, 16  # of a video that is no mistake
COVERED = 0.9  # of the stated duration that the packets of a whole file reach
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg"  # none of them leads to other files


def look(path: Path) -> None:
    """Go through the whole file and decode its key frames; raises `DataError` where any is damaged or the end is missing."""
    with Video(path) as video:
        video.check()


class Video:
    """A video file, from which frames are asked by their number in the order in which they are shown.

    Raises `DataError` naming the file where it is damaged, empty or far too large.
    """

    def __init__(self, path: Path):
        self.path = path
        self.container = self._open()
        try:
            if not self.container.streams.video:
                raise DataError(f"video {path} has no pictures in it")
            self.size = self._stream().width, self._stream().height  # (width, height)
            if min(self.size) < 1 or math.prod(self.size) > MOST_PIXELS or max(self.size) > MOST_ASPECT * min(self.size):
                raise DataError(f"video {path} of {self.size[0]} x {self.size[1]} pixels is too large, too small or too long")
            self._index()
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.container.close()

    def __len__(self) -> int:
        return self.num_frames

    def _open(self) -> InputContainer:
        try:
            container = av.open(str(self.path.absolute()), options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"video {self.path} cannot be read: {_reason(error)}") from error
        for stream in container.streams.video[:1]:
            stream.codec_context.thread_count = 1  # reading has processes of its own
        return container

    def _stream(self) -> VideoStream:
        return self.container.streams.video[0]

    def _index(self) -> None:
        """Take down when every frame is shown, and which are key frames, without decoding."""
        times: list[int] = []
        self.keys: list[int] = []
        self.damaged, self.num_frames = 0, 0
        self.exact = self.container.format.name != "avi"  # its times are those of decoding, where frames are reordered
        try:
            for packet in self.container.demux(self._stream()):
                if not packet.size or packet.is_discard:
                    continue
                self.num_frames += 1
                self.damaged += packet.is_corrupt
                if self.num_frames > MOST_FRAMES:
                    raise DataError(f"video {self.path} has more than {MOST_FRAMES} frames")
                if packet.pts is None:
                    self.exact = False
                else:
                    times.append(packet.pts)
                    self.keys += [packet.pts] * packet.is_keyframe
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"video {self.path} is damaged: {_reason(error)}") from error
        self.times = sorted(set(times))
        self.keys.sort()
        if self.exact:
            self.num_frames = len(self.times)
        if not self.num_frames:
            raise DataError(f"video {self.path} has no frames")

    def check(self) -> None:
        """See `look`."""
        stream = self._stream()
        end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
        if self.damaged or end > self.path.stat().st_size:
            raise DataError(f"video {self.path} is truncated: its index names bytes that are not there")
        if stream.duration is None and self.container.duration and self.exact and stream.time_base is not None:
            covered = float(self.times[-1] * stream.time_base) - (self.container.start_time or 0) / av.time_base
            if covered < COVERED * self.container.duration / av.time_base - 1 / float(stream.average_rate or 25):
                raise DataError(f"video {self.path} is truncated: frames reach {covered:.1f} seconds of "
                                f"{self.container.duration / av.time_base:.1f}")
        decoded = 0
        try:
            self._rewind()
            self._stream().codec_context.skip_frame = "NONKEY"
            for frame in self.container.decode(self._stream()):
                decoded += not frame.is_corrupt
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"video {self.path} cannot be decoded: {_reason(error)}") from error
        if not decoded or decoded < len(self.keys):
            raise DataError(f"video {self.path} cannot be decoded: {decoded} of {len(self.keys)} key frames are whole")

    def _rewind(self) -> None:
        self.container.close()
        self.container = self._open()

    def frames(self, numbers: Iterable[int]) -> Iterator[Image.Image]:
        """The frames of these numbers, ascending and each once, as RGB pictures of `size`; past the end, the last.

        What a damaged packet loses is shown as the next frame that can be decoded. Raises `DataError` where none can.
        """
        wanted = [self.times[min(number, len(self) - 1)] for number in numbers] if self.exact else list(numbers)
        shown: Iterator[tuple[int, VideoFrame]] = iter(())
        at: int | None = None
        last: VideoFrame | None = None
        for time in wanted:
            if at is None or self._key(time) > at:
                shown, at = self._from(time), None
            while at is None or at < time:
                found = next(shown, None)
                if found is None:
                    break
                at, last = found
            if last is None:
                raise DataError(f"video {self.path} cannot be decoded: no frame comes out of it")
            picture: Image.Image = last.to_image(width=self.size[0], height=self.size[1])  # type: ignore[no-untyped-call]
            yield picture

    def _key(self, time: int) -> int:
        """When the last key frame up to `time` is shown; where frames have no times, there is nowhere to go"""
        place = bisect.bisect_right(self.keys, time) if self.exact else 0
        return self.keys[place - 1] if place else -(2**63)

    def _from(self, time: int) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their times, or with their numbers where they have none, from one that is not after `time`."""
        if self.exact and self._key(time) > self.times[0]:
            try:
                self.container.seek(self._key(time), stream=self._stream())
                shown = self._decode()
                first = next(shown, None)
            except (av.error.FFmpegError, OSError, ValueError):
                first = None
            if first is not None and first[0] <= time:
                yield first
                yield from shown
                return
        self._rewind()  # the start of a file is found whatever its index says
        yield from self._decode()

    def _decode(self) -> Iterator[tuple[int, VideoFrame]]:
        number = 0
        packets = self.container.demux(self._stream())
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise DataError(f"video {self.path} is damaged: {_reason(error)}") from error
            if packet is None:
                return
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError):
                continue
            for frame in frames:
                if not self.exact:
                    yield number, frame
                elif frame.pts is not None:
                    yield frame.pts, frame
                number += 1


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
