"""Sounds of many kinds, made here: what `look` passes is what a plain decoder gives, to the end; what it refuses is named."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
import torchaudio.functional

from benchmark.data.embedded import DataError
from tasks.audioset.official import Sounds, look, samples_of
from tasks.audioset.waveform import LARGEST_FILTER, resample

SECONDS = 1.5


def tone(rate: int, channels: int = 1) -> np.ndarray:
    """(S, C) that differs in every part, so that what is lost, repeated or moved is seen"""
    times = np.arange(int(SECONDS * rate)) / rate
    sound = 0.3 * np.sin(2 * np.pi * (300 + 400 * times) * times) + np.random.default_rng(0).normal(0, 0.01, len(times))
    return np.stack([sound / (1 + channel) for channel in range(channels)], 1).astype(np.float32)


def encode(path: Path, codec: str, rate: int = 16_000, channels: int = 1, form: str | None = None,
           options: dict[str, str] | None = None, bit_rate: int | None = None) -> Path:
    with av.open(str(path), "w", format=form, options=options or {}) as file:
        stream = file.add_stream(codec, rate=rate, layout={1: "mono", 2: "stereo"}[channels])
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone(rate, channels).T), "fltp", stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(stream.format, stream.layout, rate, stream.frame_size or 1024)
        for given in (frame, None):
            for part in resampler.resample(given):
                file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def store(path: Path, rate: int = 16_000, channels: int = 1, **how: str) -> Path:
    soundfile.write(path, tone(rate, channels), rate, **how)
    return path


def patched(path: Path, *changes: tuple[bytes, int, bytes]) -> Path:
    """With bytes changed so far behind where a name is found"""
    content = bytearray(path.read_bytes())
    for name, behind, new in changes:
        at = content.index(name) + behind
        content[at : at + len(new)] = new
    path.write_bytes(content)
    return path


def without_total(path: Path) -> Path:
    """A FLAC as one that is written to a pipe: its 36 bits of total samples are 0, and so is its checksum."""
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:42] = bytes(20)
    path.write_bytes(content)
    return path


def chained(folder: Path, codec: str, rate: int) -> Path:
    """Two files one behind the other, of other serial numbers"""
    parts = [encode(folder / f"part{number}.ogg", codec, rate, options={"serial_offset": str(number)}).read_bytes()
             for number in range(2)]
    (folder / "chained.ogg").write_bytes(b"".join(parts))
    return folder / "chained.ogg"


def followed(path: Path, tail: bytes, head: bytes = b"") -> Path:
    """With what other software writes behind or before the sound"""
    path.write_bytes(head + path.read_bytes() + tail)
    return path


WHOLE = {
    "wav": lambda f: store(f / "a.wav"),
    "wav of 24 bits": lambda f: store(f / "a.wav", 44_100, 2, subtype="PCM_24"),
    "wav of floats": lambda f: store(f / "a.wav", subtype="FLOAT"),
    "wav of doubles": lambda f: store(f / "a.wav", subtype="DOUBLE"),
    "wav of 8 bits": lambda f: store(f / "a.wav", subtype="PCM_U8"),
    "wav of mu-law": lambda f: store(f / "a.wav", 8_000, subtype="ULAW"),
    "wav of ADPCM": lambda f: store(f / "a.wav", subtype="IMA_ADPCM"),
    "wav to a pipe": lambda f: patched(store(f / "a.wav"), (b"RIFF", 4, b"\xff" * 4), (b"data", 4, b"\xff" * 4)),
    "wav to a pipe, of zero": lambda f: patched(store(f / "a.wav"), (b"RIFF", 4, bytes(4)), (b"data", 4, bytes(4))),
    "wav that counts its header": lambda f: patched(store(f / "a.wav"), (b"RIFF", 4, (24_000 * 2 + 44).to_bytes(4, "little"))),
    "wav of too large a RIFF": lambda f: patched(store(f / "a.wav"), (b"RIFF", 4, (90_000).to_bytes(4, "little"))),
    "aiff": lambda f: store(f / "a.aiff", 22_050, 2),
    "au": lambda f: store(f / "a.au"),
    "au to a pipe": lambda f: patched(store(f / "a.au"), (b".snd", 8, b"\xff" * 4)),
    "w64": lambda f: store(f / "a.w64"),
    "rf64": lambda f: store(f / "a.rf64", format="RF64"),
    "caf": lambda f: store(f / "a.caf"),
    "flac": lambda f: store(f / "a.flac", 44_100, 2),
    "flac to a pipe": lambda f: without_total(store(f / "a.flac")),
    "ogg vorbis": lambda f: store(f / "a.ogg", 44_100, 2),
    "ogg opus": lambda f: encode(f / "a.opus", "libopus", 48_000, 2, "ogg"),
    "ogg flac": lambda f: encode(f / "a.oga", "flac", 44_100, 1, "ogg"),
    "chained ogg opus": lambda f: chained(f, "libopus", 48_000),
    "chained ogg flac": lambda f: chained(f, "flac", 44_100),
    "mp3": lambda f: encode(f / "a.mp3", "libmp3lame", 44_100, 2),
    "mp3 of variable rate without Xing": lambda f: encode(f / "a.mp3", "libmp3lame", 44_100, 2, options={"write_xing": "0"}),
    "mp3 without any tag": lambda f: encode(f / "a.mp3", "libmp3lame", 22_050, 1, options={"write_xing": "0",
                                                                                          "id3v2_version": "0"}),
    "mp3 by libsndfile": lambda f: store(f / "a.mp3", 44_100),
    "mp2": lambda f: encode(f / "a.mp2", "mp2", 44_100),
    "m4a": lambda f: encode(f / "a.m4a", "aac", 44_100, 2),
    "m4a of ALAC": lambda f: encode(f / "a.m4a", "alac", 44_100, 2),
    "m4a in fragments": lambda f: encode(f / "a.mp4", "aac", 44_100, 1, options={"movflags": "frag_keyframe+empty_moov"}),
    "mka": lambda f: encode(f / "a.mka", "aac", 48_000),
    "webm": lambda f: encode(f / "a.webm", "libopus", 48_000, 2),
    "adts": lambda f: encode(f / "a.aac", "aac", 44_100, 1, "adts"),
    "ac3": lambda f: encode(f / "a.ac3", "ac3", 48_000, 2),
    "wav with a list behind": lambda f: followed(store(f / "a.wav"), b"LIST\x04\0\0\0INFO"),
    "mp3 with ID3v1": lambda f: followed(store(f / "a.mp3", 44_100), b"TAG" + bytes(125)),
    "flac behind ID3": lambda f: followed(store(f / "a.flac"), b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)),
    "wav of six channels": lambda f: store(f / "a.wav", 48_000, 6, format="WAVEX"),
    "aiff of floats": lambda f: store(f / "a.aiff", 44_100, 1, subtype="FLOAT"),
    "44,056 Hz": lambda f: store(f / "a.wav", 44_056),
    "11,127 Hz": lambda f: store(f / "a.wav", 11_127),
    "44,101 Hz": lambda f: store(f / "a.flac", 44_101),
}


def plain(path: Path) -> tuple[np.ndarray, int]:
    """(S,) as a plain loop over all frames gives it"""
    with av.open(str(path)) as file:
        frames = list(file.decode(audio=0))
    parts = []
    for frame in frames:
        values = frame.to_ndarray()
        values = values if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)).T
        scale = {"u1": 128.0, "i2": 2.0**15, "i4": 2.0**31}.get(values.dtype.str[1:], 1.0)
        parts.append((values.astype(np.float64) - (128 if values.dtype == np.uint8 else 0)).mean(0) / scale)
    return np.concatenate(parts), frames[0].sample_rate


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_sound_is_read_to_its_end(tmp_path, kind):
    path = WHOLE[kind](tmp_path)
    look(path)
    found = samples_of(path)
    samples, rate = plain(path)
    expected = resample(torch.from_numpy(samples).float(), rate)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-5)
    parts = 2 if "chained" in kind else 1
    assert len(found) / 16_000 == pytest.approx(parts * SECONDS, abs=0.16)
    own = torch.from_numpy(resample(torch.from_numpy(tone(rate)[:, 0]), rate).numpy()) * samples.std() / tone(rate).std()
    places = slice(8_000, 16_000)
    best = max(float(torch.corrcoef(torch.stack([own[places], found[places.start + lag : places.stop + lag]]))[0, 1])
               for lag in range(-20, 1700))
    assert best > 0.95, "and what it says is the sound"
    assert Sounds((64, 128)).read(path, None)["input"].shape == (64, 128)


CUT = ["wav", "aiff", "au", "w64", "rf64", "caf", "flac", "ogg vorbis", "ogg opus", "ogg flac", "mp3",
       "mp3 of variable rate without Xing", "mp3 by libsndfile", "m4a", "m4a in fragments", "mka", "webm"]


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("kind", CUT)
def test_a_sound_that_was_cut_is_refused_by_name(tmp_path, kind, share):
    path = WHOLE[kind](tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for read in (look, samples_of):
        with pytest.raises(DataError, match=r"a\.\w+ is truncated|a\.flac cannot be read, it is damaged or truncated"):
            read(path)


@pytest.mark.parametrize("kind", ["mp3", "ogg vorbis", "aiff", "w64", "rf64", "au", "wav"])
def test_half_a_sound_is_called_truncated(tmp_path, kind):
    path = WHOLE[kind](tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="is truncated: it states more than"):
        look(path)


@pytest.mark.parametrize("kind", ["flac", "ogg vorbis", "ogg opus", "mp3", "m4a", "mka", "webm"])
def test_a_sound_whose_end_is_zeros_is_refused(tmp_path, kind):
    path = WHOLE[kind](tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
    with pytest.raises(DataError, match=rf"{path.name} (is not whole: it ends in zeros|is truncated|is damaged|cannot be)"):
        look(path)


def test_big_endian_riff_that_was_cut_is_truncated(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000, endian="BIG", format="WAV")
    content = (tmp_path / "a.wav").read_bytes()
    assert content[:4] == b"RIFX"
    whole = samples_of(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", tone(16_000), 16_000)
    assert torch.equal(whole, samples_of(tmp_path / "b.wav"))
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.wav is truncated"):
        look(tmp_path / "a.wav")


@pytest.mark.parametrize(("content", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"), (b"", "empty or blank"),
    (b"<html>", "a page of the web"), (b"ERROR: unavailable\n", "text, which begins with 'ERROR: unavailable'")])
def test_what_lies_in_a_sounds_place_is_named(tmp_path, content, said):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.wav cannot be read: it is {said}"):
        look(tmp_path / "a.wav")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"RIFF", b"\xff\xfb\x90", b"fLaC" + bytes(40), b"OggS",
                                     b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b".snd", b"FORM", b"\x1aE\xdf\xa3", bytes(2000)])
def test_what_is_no_sound_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.wav") as caught:
        look(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)


def test_parts_of_other_rates_are_refused(tmp_path):
    parts = [encode(tmp_path / f"{rate}.ogg", "flac", rate, form="ogg", options={"serial_offset": str(rate)}).read_bytes()
             for rate in (44_100, 22_050)]
    (tmp_path / "both.ogg").write_bytes(b"".join(parts))
    with pytest.raises(DataError, match="22050 and 44100 Hz"):
        look(tmp_path / "both.ogg")


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_rates_without_a_common_divisor_are_resampled_by_the_same_formula(rate, monkeypatch):
    waveform = torch.from_numpy(tone(rate)[:, 0])
    expected = torchaudio.functional.resample(waveform.double(), rate, 16_000).float()
    assert torch.allclose(resample(waveform, rate), expected, atol=1e-3)
    monkeypatch.setattr("tasks.audioset.waveform.LARGEST_FILTER", 0)
    assert LARGEST_FILTER > 0
    assert torch.allclose(resample(waveform, rate), expected, atol=1e-6)


def wave_file(path: Path, tag: int = 1, rate: int = 16_000, behind: bytes = b"") -> Path:
    """A second of 16 bits whose header states a codec and a rate"""
    data = (tone(16_000)[:16_000, 0] * 2**15).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", tag, 1, rate, 2 * rate, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data + behind
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize(("how", "said"), [
    ({"tag": 0x1234}, "of a codec that is not known here"),
    ({"rate": 100}, "states 100 samples a second, which no recording has"),
    ({"rate": 4_000_000}, "states 4000000 samples a second"),
    ({"behind": b"data" + struct.pack("<I", 4_000) + bytes(4_000)}, "holds its samples in two parts")])
def test_a_header_that_cannot_be_meant_is_refused_with_its_reason(tmp_path, how, said):
    for read in (look, samples_of):
        with pytest.raises(DataError, match=rf"a\.wav .*{said}"):
            read(wave_file(tmp_path / "a.wav", **how))


def test_many_channels_are_mixed_and_too_many_refused(tmp_path):
    sound = tone(16_000, 16)
    soundfile.write(tmp_path / "a.wav", sound, 16_000, format="WAVEX", subtype="FLOAT")
    assert torch.allclose(samples_of(tmp_path / "a.wav"), torch.from_numpy(sound.mean(1)), atol=1e-6)
    soundfile.write(tmp_path / "b.wav", np.zeros((8_000, 32)), 16_000)
    with pytest.raises(DataError, match="has 32 channels; at most 16 are read"):
        look(tmp_path / "b.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mka"])
def test_channels_that_cancel_are_not_taken_for_silence(tmp_path, name):
    sound = tone(48_000)
    pair = np.concatenate([sound, -sound], 1)
    if name == "a.mka":
        with av.open(str(tmp_path / name), "w") as file:
            stream = file.add_stream("pcm_s16le", rate=48_000, layout="stereo")
            frame = av.AudioFrame.from_ndarray((pair * 2**15).astype(np.int16).reshape(1, -1), "s16", "stereo")
            frame.sample_rate = 48_000
            for given in (frame, None):
                file.mux(stream.encode(given))
    else:
        soundfile.write(tmp_path / name, pair, 48_000)
    expected = resample(torch.from_numpy(sound[:, 0]), 48_000)
    assert torch.allclose(samples_of(tmp_path / name), expected, atol=1e-4)
    soundfile.write(tmp_path / "silent.wav", np.zeros((16_000, 2)), 16_000)
    assert not samples_of(tmp_path / "silent.wav").any()
