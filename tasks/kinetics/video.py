"""Files of videos, as frames by number: what a decoder shows from the first frame to the last, reached without all of it.

Where the index of a file can be trusted, a frame is decoded from the key frame before it; else from the start of the file.
Pixels are as they are stored (of whatever aspect), turned as the file says that it is to be shown, in the colours of the
matrix and range that it names; one that names none is BT.601, as FFmpeg has it.
"""

from __future__ import annotations

import bisect
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import av
import av.error
from PIL import Image

from benchmark.data.embedded import DataError
from benchmark.data.listing import found_instead
from tasks.extents import check_extent

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MOST_PIXELS, MOST_FRAMES, MOST_ASPECT = 2**25, 2**17, 16  # of a video that is no mistake
FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg,ivf,nut,mxf,dv,gif,rm,h261,h263,h264,hevc,m4v,"
           "mpegvideo")  # none of them leads to other files
SOUGHT_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # their index is of times at which frames are shown
SOUGHT_CODECS = {"h264", "hevc", "vp9", "av1"}  # every packet of them is one frame
STILLS = {"mjpeg", "png", "bmp", "gif", "webp", "tiff"}
COVERS = 0x400 | 0x800 | 0x100000  # dispositions: attached picture, timed thumbnails, still image
TURNS = {  # (a, b, c, d) of the display matrix: a pixel at (x, y) is shown at (a x + c y, b x + d y)
    (1, 0, 0, 1): (), (0, 1, -1, 0): (Image.Transpose.ROTATE_270,), (-1, 0, 0, -1): (Image.Transpose.ROTATE_180,),
    (0, -1, 1, 0): (Image.Transpose.ROTATE_90,), (-1, 0, 0, 1): (Image.Transpose.FLIP_LEFT_RIGHT,),
    (1, 0, 0, -1): (Image.Transpose.FLIP_TOP_BOTTOM,), (0, 1, 1, 0): (Image.Transpose.TRANSPOSE,),
    (0, -1, -1, 0): (Image.Transpose.TRANSVERSE,)}
BT601, KNOWN_MATRICES = 5, {1, 4, 5, 6, 7, 9}
LIMITED, FULL = 1, 2  # ranges of brightness, as FFmpeg numbers them
ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}  # others would not live on in forked processes
ERRORS = (av.error.FFmpegError, OSError, ValueError)


def look(path: Path) -> None:
    """Decode all frames; raises `DataError` where one is damaged, the end is missing or the index does not fit the frames."""
    with Video(path) as video:
        video.check()


class Video:
    """A video file, from which frames are asked by their number in the order in which they are shown.

    Of several tracks the one with the most pixels is read; covers are no tracks. Raises `DataError` naming the file where
    it is damaged, empty, cut short or far too large.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lost = 0  # packets that could not be decoded
        self.turns: tuple[Image.Transpose, ...] | None = None  # known when the first frame is
        self.container = self._open()
        try:
            check_extent(path, "video")
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
        except ERRORS as error:
            raise DataError(f"video {self.path} cannot be read: {found_instead(self.path) or _reason(error)}") from error
        for stream in container.streams.video:
            if getattr(stream, "codec_context", None) is not None:
                stream.codec_context.thread_count = 1  # reading has processes of its own
            elif not int(stream.disposition) & COVERS:
                container.close()
                raise DataError(f"video {self.path} is of a codec that is not known here, or its header is damaged; write it "
                                "anew as H.264 or VP9")
        return container

    def _stream(self) -> VideoStream:
        return next(stream for stream in self.container.streams.video if stream.index == self.track)

    def _index(self) -> None:
        """Choose a track, and take down when its frames are shown and which are key frames; where packets do not tell how many
        frames there are, all are decoded.
        """
        tracks = {stream.index: _Track(stream) for stream in self.container.streams.video
                  if not int(stream.disposition) & COVERS}
        for track in tracks.values():
            size = track.size
            if min(size) < 1 or math.prod(size) > MOST_PIXELS or max(size) > MOST_ASPECT * min(size):
                raise DataError(f"video {self.path} of {size[0]} x {size[1]} pixels is too large, too small or too long")
        damaged = 0
        try:
            for packet in self.container.demux([track.stream for track in tracks.values()]) if tracks else ():
                if packet.size:
                    damaged += packet.is_corrupt
                    tracks[packet.stream.index].take(packet)
        except ERRORS as error:
            raise DataError(f"video {self.path} is damaged: {_reason(error)}") from error
        sound = bool(self.container.streams.audio)
        found = [track for track in tracks.values() if len(track.times) > sound * (track.codec in STILLS)]
        if not found:
            raise DataError(f"video {self.path} has no pictures in it, or only a cover")
        best = max(found, key=lambda track: (len(track.times) > 1, math.prod(track.size), -track.index))
        if len(best.times) > MOST_FRAMES:
            raise DataError(f"video {self.path} has more than {MOST_FRAMES} frames")
        self.track, self.size, self.codec = best.index, best.size, best.codec
        self.keys, self.times = sorted(key for key in best.keys if key is not None), []
        self.exact = self.container.format.name in SOUGHT_FORMATS and best.can_be_sought()
        if self.exact:
            self.times = sorted(time for time in best.times if time is not None)
        if self.exact and damaged:
            raise DataError(f"video {self.path} is damaged: {damaged} of its packets are not whole")
        self.num_frames = len(self.times) or sum(1 for _ in self._from_the_start())
        if not self.num_frames:
            raise DataError(f"video {self.path} cannot be decoded: no frame comes out of it")

    def check(self) -> None:
        """See `look`."""
        shown: list[int] = []
        rotation, self.lost = 0.0, 0
        for time, frame in self._from_the_start():
            if not shown:
                _turns(frame, self.path)
                rotation, self.lost = frame.rotation, 0  # a recording may begin amid what cannot be decoded yet
            elif frame.is_corrupt or self.lost:
                raise DataError(f"video {self.path} is damaged after frame {len(shown)}")
            elif frame.rotation != rotation:
                raise DataError(f"video {self.path} is turned in another way from frame {len(shown)} on; write it anew")
            shown.append(time)
        if self.lost or len(shown) != self.num_frames or (self.exact and shown != self.times):
            raise DataError(f"video {self.path} is damaged: {len(shown)} of {self.num_frames} frames can be decoded")

    def frames(self, numbers: Iterable[int]) -> Iterator[Image.Image]:
        """The frames of these numbers, in any order, upright RGB pictures all as large as the first; past the end, the last.

        Ascending numbers are read in one go. Raises `DataError` where a frame cannot be decoded.
        """
        numbers = [min(number, len(self) - 1) for number in numbers]
        wanted = [self.times[number] for number in numbers] if self.exact else numbers
        needed = frozenset(wanted)
        shown: Iterator[tuple[int, VideoFrame]] = iter(())
        at: int | None = None
        picture: Image.Image | None = None
        for number, time in zip(numbers, wanted, strict=True):
            if picture is None or time != at:
                if at is None or time < at or self._key(time) > at:
                    shown = self._sought(self._key(time), needed) if self.exact else self._from_the_start()
                frame = _reach(shown, time)
                if frame is None and self.exact:
                    shown = self._from_the_start()
                    frame = _reach(shown, time)
                if frame is None:
                    raise DataError(f"video {self.path} is damaged: frame {number} cannot be decoded")
                at, picture = time, self._picture(frame)
            yield picture

    def _key(self, time: int) -> int:
        """When the last key frame up to `time` is shown; where nothing can be sought, the start"""
        return self.keys[bisect.bisect_right(self.keys, time) - 1] if self.exact else -1

    def _sought(self, key: int, needed: frozenset[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their times, from the key frame at `key` on; from the start where the decoder does not begin there."""
        shown = self._decode(needed)
        try:
            self.container.seek(key, stream=self._stream())
            time, frame = next((found for found in shown if found[0] >= key), (-1, None))
        except ERRORS:
            frame = None
        if frame is not None and time == key and frame.key_frame and not frame.is_corrupt:
            yield time, frame
            yield from shown
        else:
            yield from self._from_the_start()

    def _from_the_start(self) -> Iterator[tuple[int, VideoFrame]]:
        """All frames with their times, or with their numbers where times are not to be trusted."""
        self.container.close()  # the start of a file is found whatever its index says
        self.container = self._open()
        for number, (time, frame) in enumerate(self._decode()):
            yield time if self.exact else number, frame

    def _decode(self, needed: frozenset[int] | None = None) -> Iterator[tuple[int, VideoFrame]]:
        """What the decoder shows from here on. Of H.264 frames that no other one is made of, only `needed` ones are decoded."""
        stream = self._stream()
        packets = self.container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except ERRORS as error:
                raise DataError(f"video {self.path} is damaged: {_reason(error)}") from error
            if packet is None:
                return
            if needed is not None and self.codec == "h264":
                stream.codec_context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError):
                self.lost += 1
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    yield -1 if frame.pts is None else frame.pts, frame

    def _picture(self, frame: VideoFrame) -> Image.Image:
        """RGB, by the same matrix and range whatever the version of PyAV takes for its default"""
        options = dict(ONE_THREAD)
        if (frame.width, frame.height) != self.size:
            options |= {"width": self.size[0], "height": self.size[1]}
        if frame.format.name.startswith(("yuv", "nv", "p0", "uyvy")):
            matrix = int(frame.colorspace)
            full = int(frame.color_range) == FULL or frame.format.name.startswith("yuvj")
            options |= {"src_colorspace": matrix if matrix in KNOWN_MATRICES else BT601, "dst_colorspace": BT601,
                        "src_color_range": FULL if full else LIMITED, "dst_color_range": FULL}
        picture: Image.Image = frame.to_image(**options)  # type: ignore[no-untyped-call]
        if self.turns is None:
            self.turns = _turns(frame, self.path)
        for turn in self.turns:
            picture = picture.transpose(turn)
        return picture


def _turns(frame: VideoFrame, path: Path) -> tuple[Image.Transpose, ...]:
    """How frames of a video are turned to be upright; raises `DataError` for what is no quarter turn."""
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return ()
    a, b, _, c, d = struct.unpack("<5i", bytes(found)[:20])
    parts = [value / max(abs(a), abs(b), abs(c), abs(d), 1) for value in (a, b, c, d)]
    turn = tuple(map(round, parts))
    if turn not in TURNS or any(abs(part - whole) > 0.02 for part, whole in zip(parts, turn, strict=True)):
        raise DataError(f"video {path} is to be shown by a matrix that is no quarter turn; write it anew, upright")
    return TURNS[turn]


class _Track:
    """What the packets of one track say"""

    def __init__(self, stream: VideoStream):
        self.stream, self.index, self.codec = stream, stream.index, stream.codec_context.name
        self.size = stream.width, stream.height
        self.times: list[int | None] = []
        self.keys: list[int | None] = []

    def take(self, packet: Packet[Stream]) -> None:
        if packet.is_keyframe:
            self.keys.append(packet.pts)
        if not packet.is_discard:
            self.times.append(packet.pts)

    def can_be_sought(self) -> bool:
        """Whether every packet is one frame, has a time of its own, and comes after a key frame"""
        times = {time for time in self.times if time is not None}
        keys = [key for key in self.keys if key is not None]
        return (self.codec in SOUGHT_CODECS and len(times) == len(self.times) > 0 and len(keys) == len(self.keys) > 0
                and min(keys) <= min(times))


def _reach(shown: Iterator[tuple[int, VideoFrame]], time: int) -> VideoFrame | None:
    """The frame at `time`, or None where the frames go past it or end"""
    for found, frame in shown:
        if found >= time:
            return frame if found == time else None
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ArgumentError):
        return "its container is none of those that are read; write it anew as mp4, mkv or avi"
    return getattr(error, "strerror", None) or str(error)
