#!/usr/bin/env bash
# A codec writes some samples before the sound begins, and a decoder leaves them out again: so the same sound is decoded at the same
# place whatever holds it. Through PyAV that hangs on the container, which tells how many they are or does not. AAC begins on time in
# MP4, MOV and Matroska, and 1,024 samples late as plain AAC (ADTS), in MPEG-TS and in FLV; MP3 1,105 late in MPEG-TS, Opus 312 and
# AC-3 256 as a plain stream. The first frame of a late one says that it is at 0 s. So clips that were copied from one container into
# another without encoding them anew are shifted by 21 ms against their labels and pictures, or against the same clips of another
# source: two frames of a spectrogram of 10 ms. Exits with 1 where that has changed.
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
RATE = 48_000
time = np.arange(2 * RATE) / RATE
loud = 0.3 + 0.7 * (np.random.default_rng(0).random(40) > 0.5).repeat(2 * RATE // 40)
sound = (0.3 * np.sin(2 * np.pi * (300 + 1500 * time) * time) * loud).astype(np.float32)


def write(codec: str, container: str) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        sampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=RATE,
                                    frame_size=stream.codec_context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for part in sampler.resample(frame) + sampler.resample(None):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return target.getvalue()


def late(data: bytes) -> tuple[int, float]:
    """By how many samples what is decoded lies behind the sound, and the time that its first frame has"""
    with av.open(io.BytesIO(data)) as file:
        frames = list(file.decode(audio=0))
    read = np.concatenate([frame.to_ndarray().reshape(-1).astype(np.float32) for frame in frames])
    scores = [float(np.dot(sound[20_000:28_000], read[20_000 + shift:28_000 + shift])) for shift in range(-3000, 3001)]
    return int(np.argmax(scores)) - 3000, float(frames[0].pts * frames[0].time_base)


EXPECTED = {"aac": {"mp4": 0, "mov": 0, "matroska": 0, "adts": 1024, "mpegts": 1024, "flv": 1024},
            "libmp3lame": {"mp3": 0, "matroska": 0, "mp4": 0, "mpegts": 1105},
            "libopus": {"ogg": 0, "webm": 0, "mp4": 0, "mpegts": 312}, "ac3": {"matroska": 0, "mp4": 0, "ac3": 256},
            "flac": {"flac": 0, "matroska": 0, "ogg": 0}}
same = True
for codec, containers in EXPECTED.items():
    for container, expected in containers.items():
        shift, first = late(write(codec, container))
        same = same and shift == expected
        print(f"PyAV {av.__version__}, {codec} in {container}: {shift} samples late ({1000 * shift / RATE:.0f} ms), first frame at "
              f"{first:.3f} s")
sys.exit(0 if same else 1)
PYTHON
