"""A SoundFont 2 file in, its recorded notes with the presets that play them out."""

from __future__ import annotations

import collections
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DRUM_BANK = 128
SUSTAIN_SECONDS = 1.1  # notes are lengthened by their loop to at least this, as a sampler does
# Tag of each block of eight General MIDI programs; None: sound effects, left out.
FAMILIES = ["keyboard", "mallet", "organ", "guitar", "bass_guitar", "bowed_strings", "ensemble", "brass", "reed",
            "flute", "synth", "synth", "synth", "plucked_ethnic", "percussion", None]
_INSTRUMENT, _SAMPLE_ID = 41, 53  # generator operators of the format
_RIGHT_HALF = 2  # sample type: the other side of a stereo pair


@dataclass
class Note:
    """One recorded sample."""

    samples: np.ndarray  # (S,) float32
    rate: int
    tags: list[str]
    instrument: str
    name: str


def _chunks(data: bytes) -> dict[str, tuple[int, int]]:
    """Offset and length of every leaf chunk of a RIFF file."""
    found: dict[str, tuple[int, int]] = {}

    def walk(offset: int, end: int) -> None:
        while offset + 8 <= end:
            name, length = data[offset:offset + 4], struct.unpack_from("<I", data, offset + 4)[0]
            if name == b"LIST":
                walk(offset + 12, offset + 8 + length)
            else:
                found[name.decode()] = (offset + 8, length)
            offset += 8 + length + (length & 1)

    walk(12, len(data))
    return found


def _text(record: tuple[Any, ...]) -> str:
    text: bytes = record[0]
    return text.split(b"\0")[0].decode("latin1")


def _sustain(samples: np.ndarray, rate: int, loop_start: int, loop_end: int) -> np.ndarray:
    needed = int(SUSTAIN_SECONDS * rate)
    if len(samples) < needed and loop_end - loop_start > 32 and loop_end <= len(samples) + 8:
        loop = samples[loop_start:loop_end]
        repeats = int(np.ceil((needed - loop_end) / len(loop)))
        return np.concatenate([samples[:loop_end]] + [loop] * repeats)
    return samples


def read_notes(path: Path) -> list[Note]:
    """Every sample that a preset plays, the left half of stereo pairs, without those of programs of sound effects."""
    data = path.read_bytes()
    chunks = _chunks(data)

    def records(name: str, layout: str, size: int) -> list[tuple[Any, ...]]:
        offset, length = chunks[name]
        return [struct.unpack_from(layout, data, offset + size * i) for i in range(length // size)]

    samples = records("shdr", "<20sIIIIIBbHH", 46)
    instruments, bags = records("inst", "<20sH", 22), records("ibag", "<HH", 4)
    generators = records("igen", "<Hh", 4)
    presets, preset_bags = records("phdr", "<20sHHHIII", 38), records("pbag", "<HH", 4)
    preset_generators = records("pgen", "<Hh", 4)
    pcm = np.frombuffer(data, "<i2", chunks["smpl"][1] // 2, chunks["smpl"][0])

    samples_of_instrument = collections.defaultdict(set)
    for i in range(len(instruments) - 1):
        for zone in range(instruments[i][1], instruments[i + 1][1]):
            for operator, amount in generators[bags[zone][0]:bags[zone + 1][0]]:
                if operator == _SAMPLE_ID:
                    samples_of_instrument[i].add(amount & 0xFFFF)
    uses = collections.defaultdict(list)  # sample -> (bank, program, preset, instrument)
    for i in range(len(presets) - 1):
        for zone in range(presets[i][3], presets[i + 1][3]):
            for operator, amount in preset_generators[preset_bags[zone][0]:preset_bags[zone + 1][0]]:
                if operator == _INSTRUMENT:
                    instrument = amount & 0xFFFF
                    for sample in samples_of_instrument[instrument]:
                        uses[sample].append((presets[i][2], presets[i][1], _text(presets[i]),
                                             _text(instruments[instrument])))
    notes = []
    for i, header in enumerate(samples[:-1]):
        _, start, end, loop_start, loop_end, rate, pitch, _, _, kind = header
        if kind == _RIGHT_HALF or not uses[i]:
            continue
        recorded = pcm[start:end].astype(np.float32) / 32768
        if len(recorded) < 200:
            continue
        recorded = _sustain(recorded, rate, loop_start - start, loop_end - start)
        used = sorted(uses[i])
        melodic = [use for use in used if use[0] < DRUM_BANK]
        family: str | None
        if melodic and not any(use[0] == DRUM_BANK for use in used):
            family, instrument_name = FAMILIES[melodic[0][1] // 8], melodic[0][2]
        else:
            family, instrument_name = "percussion", "drum:" + re.sub(r"[\d(].*", "", _text(header)).strip()
        if family is None:
            continue
        tags = ["music", family]
        if family != "percussion":
            tags += ["low_pitch"] if pitch <= 45 else ["high_pitch"] if 80 <= pitch <= 127 else []
        notes.append(Note(recorded, rate, tags, "fluid/" + instrument_name, _text(header)))
    return notes
