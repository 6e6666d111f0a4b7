#!/usr/bin/env bash
# To read a picture at a given time, one seeks and decodes until that time comes: seek (backward, as it is unless told otherwise) lands
# on the last key frame at or before it. That holds for H.264 in MP4 with closed groups, and VP9. In MPEG-TS, where nothing lists the
# key frames, it lands behind the time that was asked for at every frame of a clip of six seconds. With HEVC, or H.264 with open
# groups, in MP4, and with MPEG-4 in MP4 and AVI, it does at some of the frames before a key frame, which are stored after it or timed
# by their decoding. What comes first is then too late, and "the first frame at or after t" is the wrong picture, with no error and no
# sign but its time. A reader that decodes from the start, or seeks earlier and checks, has none of it.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import av
import numpy as np

av.logging.set_level(av.logging.PANIC)
FRAMES, GROUP = 150, 25


def encode(codec: str, container: str, options: dict[str, str]) -> bytes:
    """150 pictures of squares that move, a key frame at least every 25"""
    squares = np.kron(np.random.default_rng(0).integers(0, 256, (9, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 72, 128, "yuv420p"
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.roll(squares, 3 * number, axis=1), format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return target.getvalue()


late = {}
for name, arguments in {
        "H.264, MP4": ("libx264", "mp4", {"g": str(GROUP), "bf": "3"}),
        "VP9, WebM": ("libvpx-vp9", "webm", {"g": str(GROUP), "cpu-used": "8"}),
        "H.264 with open groups, MP4": ("libx264", "mp4", {"x264-params": f"open-gop=1:keyint={GROUP}:bframes=3"}),
        "HEVC with open groups, MP4": ("libx265", "mp4", {"x265-params": f"log-level=none:keyint={GROUP}:open-gop=1"}),
        "MPEG-4, MP4": ("mpeg4", "mp4", {"bf": "2", "g": str(GROUP)}),
        "MPEG-4, AVI": ("mpeg4", "avi", {"bf": "2", "g": str(GROUP)}),
        "H.264, MPEG-TS": ("libx264", "mpegts", {"g": str(GROUP), "bf": "3"})}.items():
    data = encode(*arguments)
    with av.open(io.BytesIO(data)) as file:
        times = sorted(frame.pts for frame in file.decode(video=0))
    late[name] = 0
    for time in times:
        with av.open(io.BytesIO(data)) as file:
            file.seek(time, stream=file.streams.video[0])
            first = next(iter(file.decode(video=0)), None)
            late[name] += first is None or first.pts > time
    print(f"PyAV {av.__version__}, {name}: after a seek to each of {len(times)} frames the first that comes is a later one, or none, "
          f"{late[name]} times")
sys.exit(0 if late["H.264, MP4"] == late["VP9, WebM"] == 0 and late["H.264, MPEG-TS"] > FRAMES / 2 and all(
    late[name] > 0 for name in late if name not in ("H.264, MP4", "VP9, WebM")) else 1)
PYTHON
