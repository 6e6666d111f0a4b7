"""Sounds of two games and a sound font in, `audio_tags.npz` and `audio_tags_wave_ogg.npz` out: tagged clips of 1.024 s.

Sources: recorded effects, voices and music of 0ad-data (CC-BY-SA-3.0) and flare-game (CC-BY-SA-3.0+), recorded notes of
fluid-soundfont-gm (MIT). Tags follow from the files' own names.
"""

from __future__ import annotations

import collections
import glob
import io
import os
import re
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import get_window, resample_poly
from scipy.spatial import cKDTree

from docs.embedded_data.audio_tag_rules import RULES
from docs.embedded_data.soundfont import SUSTAIN_SECONDS, read_notes

SAMPLE_RATE = 16_000
CLIP_SAMPLES = 16_384
MIN_TAG_COUNT = 24
PIECES_OF_LONG_EFFECT, LONG_EFFECT_SECONDS = 3, 6
EXCERPTS_OF_MUSIC = 5
NEAR_REPEAT_DISTANCE, EXACT_REPEAT_DIFFERENCE = 0.30, 0.01
SPLITS = ("train", "val", "test")


@dataclass
class Clip:
    """One clip before the split."""

    samples: np.ndarray  # (16384,) float32, peak 0.9
    tags: list[str]
    kind: str  # "sfx|<tags>", "music" or "inst|<instrument>"
    take: str  # clips of one take stay in one split
    group: str = ""  # so do clips of one group: takes joined where clips are near repeats


def to_mono_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """(S,) or (S, channels) at `rate` -> (S',) float32 at 16 kHz"""
    if samples.ndim > 1:
        samples = samples.mean(1)
    if rate != SAMPLE_RATE:
        divisor = gcd(int(rate), SAMPLE_RATE)
        samples = resample_poly(samples, SAMPLE_RATE // divisor, int(rate) // divisor)
    return samples.astype(np.float32)


def cut_clip(samples: np.ndarray, seek_loudest: bool = True) -> np.ndarray | None:
    """(S,) -> (16384,) from the onset or, of longer sounds, with the most energy near the start; None for silence."""
    samples = samples - samples.mean()
    loud = np.where(np.abs(samples) > 0.02 * np.abs(samples).max() + 1e-6)[0]
    if len(loud) == 0:
        return None
    samples = samples[max(0, loud[0] - 160):]
    if len(samples) > CLIP_SAMPLES and seek_loudest:
        energy = np.convolve(samples**2, np.ones(1600), "same")
        start = max(0, min(int(np.argmax(energy)) - 3200, len(samples) - CLIP_SAMPLES))
        samples = samples[start:start + CLIP_SAMPLES]
    samples = samples[:CLIP_SAMPLES]
    samples = np.pad(samples, (0, CLIP_SAMPLES - len(samples)))
    clip: np.ndarray = (samples / np.abs(samples).max() * 0.9).astype(np.float32)
    return clip


def mel_filters(num_bins: int = 64, window: int = 512, low_hz: float = 50, high_hz: float = 7800) -> np.ndarray:
    """(num_bins, window // 2 + 1) triangles of height 1"""
    def mel(hertz: float) -> float:
        return 2595 * float(np.log10(1 + hertz / 700))

    edges = 700 * (10 ** (np.linspace(mel(low_hz), mel(high_hz), num_bins + 2) / 2595) - 1)
    hertz = np.arange(window // 2 + 1) * SAMPLE_RATE / window
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


FILTERS = mel_filters()


def log_mel(clip: np.ndarray) -> np.ndarray:
    """(16384,) -> (64 frames, 64 bins) in dB"""
    padded = np.pad(clip, (256, 256))
    window = get_window("hann", 512)
    frames = np.stack([padded[i * 256:i * 256 + 512] * window for i in range(64)])
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    decibels: np.ndarray = 10 * np.log10(power @ FILTERS.T + 1e-6)
    return decibels


def effect_clips(root: str) -> list[Clip]:
    files = sorted(glob.glob(root + "oad/audio/**/*.ogg", recursive=True))
    files += sorted(glob.glob(root + "x/flare-game/**/soundfx/**/*.ogg", recursive=True))
    clips = []
    for file in files:
        if "/music/" in file:
            continue
        tags = next((tags.split() for pattern, tags in RULES if re.search(pattern, file)), None)
        if tags is None:
            continue
        try:
            samples, rate = soundfile.read(file, dtype="float32")
        except soundfile.SoundFileError as error:
            print("unreadable", file, error)
            continue
        samples = to_mono_16k(samples, rate)
        take = re.sub(r"[a-d]$", "", re.sub(r"\.ogg$", "", file.replace(root, "")))
        pieces = PIECES_OF_LONG_EFFECT if len(samples) > LONG_EFFECT_SECONDS * SAMPLE_RATE else 1
        for i in range(pieces):
            clip = cut_clip(samples[i * len(samples) // pieces:(i + 1) * len(samples) // pieces])
            if clip is not None:
                clips.append(Clip(clip, tags, "sfx|" + "+".join(tags), take))
    return clips


def music_clips(root: str) -> list[Clip]:
    clips = []
    for file in sorted(glob.glob(root + "oad/audio/music/*.ogg")):
        info = soundfile.info(file)
        for i in range(EXCERPTS_OF_MUSIC):
            start = int(info.frames * (i + 0.5) / (EXCERPTS_OF_MUSIC + 0.5))
            samples, rate = soundfile.read(file, start=start, frames=int(SUSTAIN_SECONDS * info.samplerate),
                                           dtype="float32")
            clip = cut_clip(to_mono_16k(samples, rate), seek_loudest=False)
            if clip is not None:
                clips.append(Clip(clip, ["music", "music_piece"], "music", file))
    return clips


def note_clips(root: str) -> list[Clip]:
    clips = []
    for note in read_notes(Path(root) / "x/fluid-soundfont-gm/usr/share/sounds/sf2/FluidR3_GM.sf2"):
        clip = cut_clip(to_mono_16k(note.samples, note.rate), seek_loudest=False)
        if clip is not None:
            clips.append(Clip(clip, note.tags, "inst|" + note.instrument, note.instrument))
    return clips


def join_repeats(clips: list[Clip]) -> list[Clip]:
    """Drops exact repeats, whose tags are joined, and names the group of each clip that is left.

    The games reuse recordings under several names; near repeats get one group, and so do the clips of one take.
    """
    sketches = np.stack([np.clip((log_mel(clip.samples) + 60) / 100, 0, 1).reshape(16, 4, 16, 4).mean((1, 3)).ravel()
                         for clip in clips])
    parent = list(range(len(clips)))

    def root_of(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    dropped: set[int] = set()
    for first, second in sorted(cKDTree(sketches).query_pairs(NEAR_REPEAT_DISTANCE)):
        if np.abs(sketches[first] - sketches[second]).max() < EXACT_REPEAT_DIFFERENCE and first not in dropped:
            dropped.add(second)
            both = clips[first].tags + clips[second].tags
            clips[first].tags = sorted(set(both), key=both.index)
        parent[root_of(second)] = root_of(first)
    members = collections.defaultdict(list)
    for index, clip in enumerate(clips):
        members[clip.take].append(index)
    for indices in members.values():
        for index in indices[1:]:
            parent[root_of(index)] = root_of(indices[0])
    for index, clip in enumerate(clips):
        clip.group = str(root_of(index))
    print("exact repeats dropped", len(dropped))
    return [clip for index, clip in enumerate(clips) if index not in dropped]


def assign_splits(clips: list[Clip], rng: np.random.Generator) -> list[str]:
    """The split of each clip: whole groups, 27 % test and 10 % val of each kind of effect and family of instruments."""
    strata: dict[str, dict[str, list[int]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for index, clip in enumerate(clips):
        strata[clip.tags[1] if clip.kind.startswith("inst|") else clip.kind][clip.group].append(index)
    home: dict[str, str] = {}  # a group met in several strata stays with the first one
    for stratum in sorted(strata):
        for group in list(strata[stratum]):
            if home.setdefault(group, stratum) != stratum:
                strata[home[group]][group] += strata[stratum].pop(group)
    split = [""] * len(clips)
    for stratum in sorted(strata):
        groups = sorted(strata[stratum])
        rng.shuffle(groups)
        count = len(groups)
        if count >= 4:
            num_test, num_val = round(0.27 * count), round(0.1 * count)
        else:
            num_test, num_val = (1 if count > 1 and rng.random() < 0.6 else 0), 0
        for position, group in enumerate(groups):
            for index in strata[stratum][group]:
                split[index] = "test" if position < num_test else "val" if position < num_test + num_val else "train"
    return split


def encode_ogg(clip: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, clip, SAMPLE_RATE, format="OGG", subtype="OPUS")
    return buffer.getvalue()


def main(root: str, seed: int = 0) -> None:
    """Write both files into `root`, which ends in "/"."""
    rng = np.random.default_rng(seed)
    clips = join_repeats(effect_clips(root) + music_clips(root) + note_clips(root))
    counts = collections.Counter(tag for clip in clips for tag in clip.tags)
    tags = [tag for tag, count in sorted(counts.items(), key=lambda item: -item[1]) if count >= MIN_TAG_COUNT]
    split = assign_splits(clips, rng)
    mels, waves = {"tags": np.array(tags)}, {}
    for name in SPLITS:
        members = np.array([index for index in range(len(clips)) if split[index] == name])
        members = members[rng.permutation(len(members))]
        decibels = np.stack([log_mel(clips[index].samples) for index in members])
        steps = np.clip((decibels + 60) / 100 * 50, 0, 50).round()  # of 2 dB
        mels["x_" + name] = (steps * 5).astype(np.uint8)
        mels["y_" + name] = np.array([[tag in clips[index].tags for tag in tags] for index in members], np.uint8)
        mels["src_" + name] = np.array([clips[index].kind + "#" + os.path.basename(clips[index].take)
                                        for index in members])
        blobs = [encode_ogg(clips[index].samples) for index in members]
        waves["ogg_" + name] = np.frombuffer(b"".join(blobs), np.uint8)
        waves["off_" + name] = np.cumsum([0] + [len(blob) for blob in blobs])
        waves["y_" + name] = mels["y_" + name]
    waves["tags"] = mels["tags"]
    np.savez_compressed(root + "audio_tags.npz", **mels)  # type: ignore[arg-type]
    np.savez(root + "audio_tags_wave_ogg.npz", **waves)  # type: ignore[arg-type]
    print({key: value.shape for key, value in mels.items()}, f"{mels['y_train'].sum(1).mean():.2f} tags a clip")


if __name__ == "__main__":
    main(os.environ.get("EMBEDDED_BUILD", "work") + "/")
