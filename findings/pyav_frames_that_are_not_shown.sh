#!/usr/bin/env bash
# Clips of video data sets are cut out of longer videos, and without encoding them anew a cut has to keep what lies between its start and
# the key frame before it. In MP4 and MOV an edit list says that this part is not shown, and PyAV does not give it. But stream.frames
# counts it: of a clip of 40 frames whose key frame lies 20 earlier, it says 60, so a sampler that spreads eight frames over that
# number finds the last three behind the end. In Matroska the same cut has no such list: all 60 are given, and the clip begins two
# thirds of a second before it was cut. The duration of the container is right in both. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np

RATE, LENGTH, START = 30, 60, 20  # frames; one key frame, the first
av.logging.set_level(av.logging.ERROR)

with av.open("whole.mp4", "w") as whole:
    stream = whole.add_stream("libx264", rate=RATE)
    stream.width = stream.height = 64
    stream.pix_fmt, stream.gop_size = "yuv420p", LENGTH
    for number in range(LENGTH):  # its grey tells which frame it is
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 4 * number, np.uint8), format="rgb24")
        frame.pts = number
        whole.mux(stream.encode(frame))
    whole.mux(stream.encode())


def cut(name: str) -> None:
    """The packets of the whole file, with frame START at time 0"""
    with av.open("whole.mp4") as source, av.open(name, "w") as clip:
        read = source.streams.video[0]
        written = clip.add_stream_from_template(read)
        before = round(START / RATE / read.time_base)
        for packet in source.demux(read):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - before, packet.dts - before, written
                clip.mux(packet)


def look(name: str) -> tuple[int, list[int], float]:
    """How many frames the stream says it has, which are given, and the container's seconds"""
    with av.open(name) as clip:
        stream = clip.streams.video[0]
        shown = [round(frame.to_ndarray(format="rgb24").mean() / 4) for frame in clip.decode(stream)]
        return stream.frames, shown, clip.duration / 1e6


print(f"PyAV {av.__version__}, FFmpeg's libavformat {'.'.join(map(str, av.library_versions['libavformat']))}")
right = look("whole.mp4")[0] == len(look("whole.mp4")[1]) == LENGTH
for name in ("cut.mp4", "cut.mov", "cut.mkv"):
    cut(name)
    said, shown, seconds = look(name)
    asked = np.linspace(0, said - 1, 8).round().astype(int)
    print(f"{name}: stream.frames {said}, given {len(shown)}, from frame {shown[0]} of the video to {shown[-1]}; {seconds:.2f} s; "
          f"of 8 spread over {said} {sum(asked >= len(shown))} are behind the end")
    if name == "cut.mkv":
        right &= said == 0 and shown == list(range(LENGTH)) and round(seconds, 2) == 2.0
    else:
        right &= said == LENGTH and shown == list(range(START, LENGTH)) and round(seconds, 2) == 1.33
sys.exit(0 if right else 1)
PYTHON
