"""Videos of many kinds, made here: what `look` passes is read by number, in any order, as a plain full decode shows it."""

from __future__ import annotations

import random as python_random
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from benchmark.data.embedded import DataError
from tasks.kinetics.official import Clips
from tasks.kinetics.video import Video, look

FRAMES = 40
H264 = {"g": "12", "bf": "2"}
VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "12"}
X265 = {"x265-params": "log-level=none:keyint=12"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
UPRIGHT = {(0, 1, -1, 0): lambda a: np.rot90(a, -1), (-1, 0, 0, -1): lambda a: np.rot90(a, 2), (0, -1, 1, 0): np.rot90,
           (-1, 0, 0, 1): lambda a: a[:, ::-1], (1, 0, 0, -1): lambda a: a[::-1], (0, 1, 1, 0): lambda a: a.swapaxes(0, 1)}


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3): every frame differs from all others, and left from right, top from bottom"""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2] = 60 + 3 * (number % 60)
    pixels[height // 2 :, :, 1] = np.arange(width) * 2 % 256
    pixels[:8, 3 * number % width] = 255
    return pixels


def write(path: Path, codec: str = "libx264", options: dict[str, str] | None = None, form: str | None = None,
          container: dict[str, str] | None = None, frames: int = FRAMES, size: tuple[int, int] = (96, 72),
          pixels: str = "yuv420p", pts: Callable[[int], int] | None = None, sound: float = 0,
          colours: tuple[int, int] | None = None,
          tracks: tuple[tuple[int, int], ...] = (), cover: bool = False, pictures: bool = True) -> Path:
    with av.open(str(path), "w", format=form, options=container or {}) as file:
        streams = []
        for each in (*tracks, *[size] * pictures):
            stream = file.add_stream(codec, rate=25, options=H264 if options is None else options)
            stream.width, stream.height, stream.pix_fmt = *each, pixels
            stream.codec_context.thread_count = 1
            if colours:
                stream.codec_context.colorspace, stream.codec_context.color_range = colours
            streams.append((stream, each))
        noise = None
        if sound:
            noise = file.add_stream("libopus" if path.suffix == ".webm" else "libmp3lame" if path.suffix == ".flv" else "aac",
                                    rate=44_100 if path.suffix == ".flv" else 48_000)
        if cover:
            still = file.add_stream("mjpeg", rate=1)
            still.width, still.height, still.pix_fmt = 640, 480, "yuvj420p"
            still.disposition = av.stream.Disposition.attached_pic
            (packet,) = encoded((640, 480))
            packet.stream, packet.pts, packet.dts, packet.time_base = still, 0, 0, Fraction(1, 1)
            file.mux(packet)
        for number in range(frames):
            for stream, each in streams:
                frame = av.VideoFrame.from_ndarray(picture(number, each), format="rgb24").reformat(format=pixels)
                if pts is not None:
                    frame.pts, frame.time_base = pts(number), Fraction(1, 1000)
                file.mux(stream.encode(frame))
        for stream, _ in streams:
            file.mux(stream.encode())
        if noise is not None:
            for number in range(int(sound * noise.rate) // 1152):
                frame = av.AudioFrame.from_ndarray(np.zeros((2, 1152), np.float32), "fltp", "stereo")
                frame.sample_rate, frame.pts, frame.time_base = noise.rate, 1152 * number, Fraction(1, noise.rate)
                for part in RESAMPLERS.setdefault((path, noise.frame_size), av.AudioResampler(
                        noise.format, noise.layout, noise.rate, noise.frame_size or 1024)).resample(frame):
                    file.mux(noise.encode(part))
            file.mux(noise.encode())
    return path


RESAMPLERS: dict[tuple[Path, int], av.AudioResampler] = {}


def encoded(size: tuple[int, int]) -> list[av.Packet]:
    """One picture as a JPEG"""
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = *size, "yuvj420p", Fraction(1, 1)
    return [*codec.encode(av.VideoFrame.from_ndarray(picture(0, size), format="rgb24").reformat(format="yuvj420p")),
            *codec.encode()]


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """With the display matrix of the track's header, as phones write it"""
    content = bytearray(write(path).read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def cut(path: Path, begin: float, end: float = 1.0, unit: int = 1) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[int(begin * len(content)) // unit * unit : int(end * len(content)) // unit * unit])
    return path


def with_all_packets_as_keys(path: Path) -> Path:
    """An index that calls every frame a key frame, as some cameras' do: most of them cannot be begun at"""
    source = write(path.with_name("source.mp4"))
    with av.open(str(source)) as file, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.size:
                packet.is_keyframe, packet.stream = True, stream
                out.mux(packet)
    return path


def begun_amid_a_group(path: Path) -> Path:
    """Cut without encoding: the edit list says that what lies before is decoded and not shown"""
    source = write(path.with_name("source.mp4"))
    with av.open(str(source)) as file, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        start = Fraction(5, 25) / file.streams.video[0].time_base
        for packet in file.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - int(start), packet.dts - int(start), stream
                out.mux(packet)
    return path


def of_two_sizes(path: Path) -> Path:
    """A stream whose pictures become larger halfway, as broadcasts do"""
    parts = [write(path.with_name(f"{width}.ts"), form="mpegts", frames=FRAMES // 2, size=(width, 72)) for width in (96, 120)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "mp4": lambda f: write(f / "a.mp4"),
    "mov": lambda f: write(f / "a.mov"),
    "mkv": lambda f: write(f / "a.mkv"),
    "3gp": lambda f: write(f / "a.3gp", "mpeg4", {"g": "12"}),
    "faststart": lambda f: write(f / "a.mp4", container={"movflags": "faststart"}),
    "fragments": lambda f: write(f / "a.mp4", container=FRAGMENTS),
    "fragments, sound longer": lambda f: write(f / "a.mp4", container=FRAGMENTS, sound=4),
    "mp4, sound longer": lambda f: write(f / "a.mp4", sound=4),
    "mkv, sound longer": lambda f: write(f / "a.mkv", sound=4),
    "webm, sound longer": lambda f: write(f / "a.webm", "libvpx-vp9", VP9, sound=4),
    "flv, sound longer": lambda f: write(f / "a.flv", "flv", {"g": "12"}, sound=4),
    "flv of H.264": lambda f: write(f / "a.flv"),
    "mkv that begins at 5 s": lambda f: write(f / "a.mkv", pts=lambda k: 5000 + 40 * k),
    "variable rate": lambda f: write(f / "a.mp4", pts=lambda k: 40 * k + k // 10 * 300),
    "a long gap": lambda f: write(f / "a.mkv", pts=lambda k: 40 * k + 60_000 * (k > 30)),
    "one frame": lambda f: write(f / "a.mp4", frames=1),
    "two frames": lambda f: write(f / "a.mp4", frames=2),
    "open groups of H.264": lambda f: write(f / "a.mp4", options={
        "x264-params": "open-gop=1:keyint=12:b-pyramid=2:bframes=3:log-level=none"}),
    "open groups of H.264 in mkv": lambda f: write(f / "a.mkv", options={
        "x264-params": "open-gop=1:keyint=6:bframes=3:log-level=none"}),
    "open groups of H.264 in ts": lambda f: write(f / "a.ts", form="mpegts", options={
        "x264-params": "open-gop=1:keyint=12:bframes=3:log-level=none"}),
    "intra refresh": lambda f: write(f / "a.mp4", options={"x264-params": "intra-refresh=1:keyint=12:log-level=none"}),
    "all key frames": lambda f: write(f / "a.mp4", options={"g": "1"}),
    "one key frame": lambda f: write(f / "a.mp4", options={"g": "500", "bf": "3"}),
    "lossless RGB": lambda f: write(f / "a.mp4", "libx264rgb", {"qp": "0", "g": "12"}, pixels="rgb24"),
    "4:4:4": lambda f: write(f / "a.mp4", pixels="yuv444p"),
    "4:2:2 of 10 bits": lambda f: write(f / "a.mp4", pixels="yuv422p10le"),
    "BT.709": lambda f: write(f / "a.mp4", colours=(1, 1)),
    "BT.709 of full range": lambda f: write(f / "a.mp4", colours=(1, 2)),
    "BT.2020": lambda f: write(f / "a.mkv", colours=(9, 1)),
    "HEVC": lambda f: write(f / "a.mp4", "libx265", X265),
    "HEVC of 10 bits": lambda f: write(f / "a.mp4", "libx265", X265, pixels="yuv420p10le"),
    "open groups of HEVC": lambda f: write(f / "a.mkv", "libx265", {
        "x265-params": "log-level=none:keyint=12:open-gop=1:bframes=3"}),
    "VP8": lambda f: write(f / "a.webm", "libvpx", {"deadline": "good", "cpu-used": "4", "g": "20", "auto-alt-ref": "1",
                                                     "lag-in-frames": "16"}),
    "VP9": lambda f: write(f / "a.webm", "libvpx-vp9", {"deadline": "good", "cpu-used": "5", "g": "20", "auto-alt-ref": "1",
                                                        "lag-in-frames": "16"}),
    "live webm": lambda f: write(f / "a.webm", "libvpx-vp9", VP9, container={"live": "1"}),
    "AV1": lambda f: write(f / "a.mp4", "libsvtav1", {"preset": "12", "g": "12", "svtav1-params": "lp=1"}),
    "transport stream": lambda f: write(f / "a.ts", form="mpegts"),
    "transport stream from amid a group": lambda f: cut(write(f / "a.ts", form="mpegts"), 0.3, 1.0, 188),
    "program stream": lambda f: write(f / "a.mpg", "mpeg1video", {"g": "12", "bf": "2"}, form="mpeg"),
    "program stream of MPEG-2": lambda f: write(f / "a.vob", "mpeg2video", {"g": "12", "bf": "2"}, form="vob"),
    "interlaced": lambda f: write(f / "a.mp4", "mpeg2video", {"g": "12", "flags": "+ilme+ildct"}),
    "avi": lambda f: write(f / "a.avi", "mpeg4", {"g": "12"}),
    "avi, B-frames": lambda f: write(f / "a.avi", "mpeg4", {"g": "12", "bf": "2"}),
    "avi of H.264": lambda f: write(f / "a.avi"),
    "avi of MS-MPEG-4": lambda f: write(f / "a.avi", "msmpeg4", {"g": "12"}),
    "avi of MJPEG": lambda f: write(f / "a.avi", "mjpeg", {}, pixels="yuvj420p"),
    "avi of FFV1": lambda f: write(f / "a.avi", "ffv1", {}),
    "wmv": lambda f: write(f / "a.wmv", "wmv2", {"g": "12"}, form="asf"),
    "H.261 in avi": lambda f: write(f / "a.avi", "h261", {"g": "12"}, size=(176, 144)),
    "H.261 alone": lambda f: write(f / "a.h261", "h261", {"g": "12"}, size=(176, 144)),
    "H.263": lambda f: write(f / "a.3gp", "h263", {"g": "12"}, size=(176, 144)),
    "H.264 alone": lambda f: write(f / "a.h264"),
    "odd sizes": lambda f: write(f / "a.mp4", "mpeg4", {"g": "12"}, size=(97, 73)),
    "ProRes": lambda f: write(f / "a.mov", "prores_ks", {}, pixels="yuv422p10le"),
    "nut": lambda f: write(f / "a.nut"),
    "index that calls all frames keys": lambda f: with_all_packets_as_keys(f / "a.mp4"),
    "edit list": lambda f: begun_amid_a_group(f / "a.mp4"),
    "pixels that are not square": lambda f: write(f / "a.mp4", options={**H264, "x264-params": "sar=4/3:log-level=none"}),
    "grey": lambda f: write(f / "a.mp4", pixels="gray"),
    "grey of 10 bits": lambda f: write(f / "a.mp4", pixels="gray10le"),
    "with an alpha channel": lambda f: write(f / "a.mov", "prores_ks", {"profile": "4444"}, pixels="yuva444p10le"),
    "runs of pixels with an alpha channel": lambda f: write(f / "a.mov", "qtrle", {}, pixels="argb"),
    "before 0": lambda f: write(f / "a.mkv", pts=lambda k: 40 * k - 1000),
    "MJPEG and sound": lambda f: write(f / "a.avi", "mjpeg", {}, pixels="yuvj420p", sound=1),
    "raw avi": lambda f: write(f / "a.avi", "rawvideo", {}, pixels="bgr24"),
    "two by two pixels": lambda f: write(f / "a.mp4", size=(2, 2)),
    "gif": lambda f: write(f / "a.gif", "gif", {}, pixels="rgb8"),
    "cover": lambda f: write(f / "a.mp4", cover=True),
    "small track first": lambda f: write(f / "a.mkv", tracks=((32, 24),)),
}


def plain(path: Path) -> list[np.ndarray]:
    """Every frame of the largest track that is no cover"""
    with av.open(str(path)) as file:
        streams = [stream for stream in file.streams.video if not int(stream.disposition) & 0x400]
        stream = max(streams, key=lambda stream: stream.width * stream.height)
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_by_number_are_those_of_a_full_decode(tmp_path, kind):
    path = KINDS[kind](tmp_path)
    expected = plain(path)
    look(path)
    draw = python_random.Random(0)
    with Video(path) as video:
        count = len(video)
        assert count == len(expected)
        assert count in {1, 2, FRAMES} or "amid" in kind or kind == "edit list"
        for numbers in (range(count), [count - 1], range(count - 1, -1, -7), [draw.randrange(count) for _ in range(8)],
                        range(3, count, 4), [0, 0, count + 5]):
            for number, found in zip(numbers, video.frames(numbers), strict=True):
                assert np.array_equal(np.asarray(found), expected[min(number, count - 1)]), number
    assert Clips((16, 32, 32), temporal=2).read(path, None)["input"].shape == (3, 32, 32, 32)
    assert Clips((16, 32, 32), spread=True).read(path, np.random.default_rng(0))["input"].shape == (3, 16, 32, 32)


def test_pictures_of_a_video_whose_size_changes_are_all_as_large_as_the_first(tmp_path):
    path = of_two_sizes(tmp_path / "a.ts")
    look(path)
    with Video(path) as video:
        assert {found.size for found in video.frames(range(len(video)))} == {(96, 72)}
    assert Clips((16, 32, 32)).read(path, None)["input"].shape == (3, 16, 32, 32)


@pytest.mark.parametrize("matrix", UPRIGHT)
def test_frames_are_turned_as_the_file_says(tmp_path, matrix):
    path = turned(tmp_path / "a.mp4", matrix)
    look(path)
    with Video(path) as video:
        for number, found in zip((30, 2), video.frames([30, 2]), strict=True):
            assert np.array_equal(np.asarray(found), UPRIGHT[matrix](plain(path)[number]))


def test_a_matrix_that_is_no_quarter_turn_is_refused(tmp_path):
    with pytest.raises(DataError, match="no quarter turn"):
        look(turned(tmp_path / "a.mp4", (1, 1, -1, 1)))


def test_a_song_is_no_video_with_or_without_a_cover(tmp_path):
    for cover in (False, True):
        path = write(tmp_path / f"{cover}.mp4", sound=1, cover=cover, pictures=False)
        for read in (look, lambda path: Clips().read(path, None)):
            with pytest.raises(DataError, match="has no pictures in it"):
                read(path)


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize("kind", ["faststart", "fragments", "mkv", "VP8", "VP9", "live webm", "avi of MJPEG", "avi",
                                  "transport stream", "program stream", "flv of H.264", "HEVC"])
def test_a_video_whose_end_is_zeros_is_refused(tmp_path, kind, share):
    path = KINDS[kind](tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))].ljust(len(content), b"\0"))
    with pytest.raises(DataError, match=rf"{path.name} (is not whole: it ends in z|is damaged|cannot be|has no p|of 0 x 0)"):
        look(path)


@pytest.mark.parametrize(("content", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"), (b"", "empty or blank"),
    (b"<html>", "a page of the web"), (b"ERROR: Video unavailable\n", "text, which begins with 'ERROR: Video unavailable'"),
    (bytes(9999), "nothing but zeros"), (b"PK\x03\x04" + bytes(99), "an archive; unpack it first")])
def test_what_lies_in_a_videos_place_is_named(tmp_path, content, said):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.mp4 cannot be read: it is {said}"):
        look(tmp_path / "a.mp4")


def test_a_container_that_is_not_read_is_told_so(tmp_path):
    with pytest.raises(DataError, match="its container is none of those that are read; write it anew as mp4"):
        look(write(tmp_path / "a.gxf", "mpeg2video", {"g": "12"}, size=(720, 576), frames=3))


def test_a_codec_that_is_not_known_here_is_told_by_its_file(tmp_path):
    path = write(tmp_path / "a.webm", "libvpx-vp9", VP9, frames=3)
    content = path.read_bytes()
    assert content.count(b"V_VP9") == 1
    path.write_bytes(content.replace(b"V_VP9", b"V_VPX"))
    with pytest.raises(DataError, match=r"a\.webm is of a codec that is not known here, .*; write it anew"):
        look(path)


@pytest.mark.parametrize("share", [0.4, 0.75])
@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "faststart", "fragments", "webm, sound longer", "flv of H.264", "VP8",
                                  "flv, sound longer", "avi", "avi of MJPEG", "wmv", "AV1", "3gp"])
def test_a_video_that_was_cut_is_refused_by_both(tmp_path, kind, share):
    path = cut(KINDS[kind](tmp_path), 0, share)
    for read in (look, lambda path: Clips().read(path, None)):
        with pytest.raises(DataError, match=r"a\.\w+ is truncated|a\.\w+ cannot be read"):
            read(path)
