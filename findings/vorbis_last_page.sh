#!/usr/bin/env bash
# A window of a sound file, seek and then read, is to be what the same samples are in the whole file. In Ogg Vorbis, soundfile
# (libsndfile) keeps that up to the file's last page. There it gives samples that lie later than was asked for, exactly, by as many as
# the last page's end was cut to fit the sound's length (784 at 44.1 kHz here), while tell() and the number of samples are as asked.
# The simpler a sound, the longer its pages: here the last one holds the last 1.4 of 12 seconds. Read from the start, the same file is
# right to the end, and WAV and FLAC have no such place. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import numpy as np
import soundfile


def pages(data: bytes):
    """Of each page of an Ogg file the sample at which it ends"""
    place = 0
    while place < len(data):
        yield struct.unpack("<q", data[place + 6:place + 14])[0]
        segments = data[place + 26]
        place += 27 + segments + sum(data[place + 27:place + 27 + segments])


def later(whole, part, start: int) -> int | None:
    """By how many samples a part lies later in the whole than `start`; None where it is nowhere near"""
    for shift in range(-2000, 2001):
        there = whole[start + shift:start + shift + len(part)]
        if len(there) == len(part) and np.abs(there - part).max() < 1e-4:
            return shift
    return None


rate, length = 44_100, 12 * 44_100
time = np.arange(length) / rate
sound = (0.3 * np.sin(2 * np.pi * (200 + 50 * time) * time)).astype(np.float32)
found = {}
for kind, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")):
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format=kind, subtype=subtype)
    file.seek(0)
    whole = soundfile.read(file, dtype="float32")[0]
    last = list(pages(file.getvalue()))[-2] if kind == "OGG" else 0
    for start in (100_000, 300_000, 460_000, 480_000, 500_000, 520_000):
        file.seek(0)
        reader = soundfile.SoundFile(file)
        reader.seek(start)
        place = reader.tell()
        found[kind, start] = later(whole, reader.read(2000, dtype="float32"), start), start > last > 0
        print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}; {kind}, {len(whole)} samples: at {start} (tell: "
              f"{place}) comes what is {found[kind, start][0]} later" + (" (the last page)" if found[kind, start][1] else ""))
sys.exit(0 if all(shift is not None and (shift > 0) == last for shift, last in found.values()) else 1)
PYTHON
