#!/usr/bin/env bash
# Telephones, screen recorders and meetings write videos whose frames come when there is something new, and what is annotated in them is
# annotated by frame. imageio (plugin FFMPEG) and imageio-ffmpeg read them by a program that makes the rate constant on the way: it
# repeats frames, to the finest distance that the file has. Of 40 frames, 20 of them 1/30 s apart and then 20 of 1/10 s, 78 are read.
# Frame 25 is then frame 21, and a sampler of eight frames over all of them takes two of the first half, where it should take four. The
# rate that is told with them, 15.4 a second, is the mean of the file and fits 40: written again at that rate, 2.6 s last 5.1 s and run at
# two speeds. imageio-ffmpeg's own count_frames_and_secs says 40. PyAV, imageio's plugin pyav, OpenCV and decord give 40. Of a constant
# rate all give the same. Nothing is said. output_params=["-fps_mode", "passthrough"] cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from fractions import Fraction

import av
import cv2
import imageio
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

print(f"imageio {imageio.__version__}, imageio-ffmpeg {imageio_ffmpeg.__version__}, PyAV {av.__version__}")
FRAMES, STEP = 40, 6  # frame i is grey of 6 * i


def written(file: str, gaps: list[int]) -> None:
    """A video of FRAMES frames, each shown for so many thirtieths of a second"""
    with av.open(file, "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.options = "yuv420p", {"bf": "0", "crf": "5"}
        stream.codec_context.time_base = Fraction(1, 30)
        moment = 0
        for number, gap in enumerate(gaps):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * STEP, np.uint8), "rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 30)
            container.mux(stream.encode(frame))
            moment += gap
        container.mux(stream.encode())


def numbers(frames: object) -> list[int]:
    """Which frame each is, by its grey"""
    return [round(float(np.asarray(frame).mean()) / STEP) for frame in frames]


def by_opencv(file: str) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(file), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def by_pipe(file: str, **options: object) -> tuple[list[int], float]:
    reader = imageio_ffmpeg.read_frames(file, **options)
    about = next(reader)
    return numbers(np.frombuffer(frame, np.uint8) for frame in reader), about["fps"]


lengths, shown = {}, {}
for name, gaps in {"constant": [1] * FRAMES, "variable": [1] * 20 + [3] * 20}.items():
    file = f"{name}.mp4"
    written(file, gaps)
    with av.open(file) as container:
        seen = {"PyAV": numbers(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))}
    seen["OpenCV"] = numbers(by_opencv(file))
    seen["imageio, plugin pyav"] = numbers(iio.imread(file, plugin="pyav"))
    seen["imageio, plugin FFMPEG"] = numbers(iio.imread(file, plugin="FFMPEG"))
    seen["imageio-ffmpeg"], rate = by_pipe(file)
    seen["imageio-ffmpeg, -fps_mode passthrough"], _ = by_pipe(file, output_params=["-fps_mode", "passthrough"])
    print(f"{name} rate, {FRAMES} frames in {sum(gaps) / 30:.2f} s; imageio-ffmpeg tells {rate} a second and counts "
          f"{imageio_ffmpeg.count_frames_and_secs(file)[0]}")
    for reader, found in seen.items():
        spread = [found[place] for place in np.linspace(0, len(found) - 1, 8).astype(int)]
        print(f"  {reader}: {len(found)} frames, the one with number 25 is {found[25]}; eight over all are {spread}")
        lengths[name, reader], shown[name, reader] = len(found), found[25]
again = ("imageio, plugin FFMPEG", "imageio-ffmpeg")
sys.exit(0 if all((length > 70) == (name == "variable" and reader in again) for (name, reader), length in lengths.items())
         and all((number == 25) == (name == "constant" or reader not in again) for (name, reader), number in shown.items()) else 1)
PYTHON
