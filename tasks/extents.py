"""A sound or video file in, the bytes that it says it has: what a copy that stopped halfway is told by.

Every container states lengths in another way; of those that state none (program and transport streams) nothing is said.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from benchmark.data.embedded import DataError

HEADER_SLACK = 64  # bytes; some writers count their header twice
LARGEST_STATED = 2**31 - 2**16  # of a 32-bit length; what is written to a pipe states this or more, or 0
OPEN_ELEMENTS = {b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"}  # of Matroska: the segment and its clusters, which hold others
MPEG_ENDS = {b"\0\0\1\xba": b"\0\0\1\xb9", b"\0\0\1\xb3": b"\0\0\1\xb7"}  # of what begins so
LONGEST_PAGE = 27 + 255 + 255 * 255  # of Ogg
MPEG_KBPS = {  # by (version 1, layer), of index 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)}
MPEG_HERTZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def check_extent(path: Path, what: str) -> None:
    """Raises `DataError` where the file of `what` ("sound" or "video") ends before the end that it states itself."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        stated, hole = None, False
        with suppress(struct.error, IndexError):  # a head without its numbers is for the decoder to refuse
            stated = next((find(file, size) for magic, at, find in KINDS if head[at : at + len(magic)] == magic), None)
            if stated is None and (head[:3] == b"ID3" or _mpeg_frame(head) is not None):
                stated = _mpeg_audio(file, size)
            hole = (stated is None or stated <= size) and _ends_in_zeros(file, size, head)
    if hole:
        raise DataError(f"{what} {path} is not whole: it ends in zeros, as a copy that stopped leaves it")
    if stated is not None and stated > size:
        raise DataError(f"{what} {path} is truncated: it states more than the {size} bytes that are there")


def _chunks(file: BinaryIO, at: int, size: int, form: str, extra: int = 0, align: int = 2) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its content begins, its stated length) of the chunks from `at` on"""
    while at < size:
        file.seek(at)
        head = file.read(struct.calcsize(form))
        if len(head) < struct.calcsize(form):
            return
        name, length = struct.unpack(form, head)
        yield name, at + len(head), length - extra
        if length < extra:
            return
        at += len(head) + -(-(length - extra) // align) * align


def _end(start: int, length: int, unknown: int = LARGEST_STATED) -> int | None:
    return None if length <= 0 or length >= unknown else start + length - HEADER_SLACK


def _riff(file: BinaryIO, size: int, form: str = "<4sI") -> int | None:
    """Of WAV the samples, of AVI every list of pictures; the outermost length is often wrong and counts nothing."""
    wide = 0
    for name, start, length in _chunks(file, 12, size, form):
        if name == b"ds64":
            file.seek(start + 8)
            wide = int.from_bytes(file.read(8), "little")
        elif name == b"data":
            return _end(start, wide, 2**63) if wide else _end(start, length)
        elif name == b"LIST":
            file.seek(start)
            if file.read(4) == b"movi":
                return _end(start, length)
    return None


def _wave64(file: BinaryIO, size: int) -> int | None:
    for name, start, length in _chunks(file, 40, size, "<16sQ", extra=24, align=8):
        if name[:4] == b"data":
            return _end(start, length, 2**63)
    return None


def _aiff(file: BinaryIO, size: int) -> int | None:
    for name, start, length in _chunks(file, 12, size, ">4sI"):
        if name == b"SSND":
            return _end(start, length)
    return None


def _caf(file: BinaryIO, size: int) -> int | None:
    for name, start, length in _chunks(file, 8, size, ">4sq", align=1):
        if name == b"data":
            return _end(start, length, 2**63)
    return None


def _au(file: BinaryIO, size: int) -> int | None:
    file.seek(4)
    start, length = struct.unpack(">II", file.read(8))
    return _end(start, length)


def _boxes(file: BinaryIO, size: int) -> int | None:
    """Of MP4 and QuickTime: every box of the file, one after the other"""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length = int.from_bytes(file.read(4), "big")
        kind = file.read(4)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length < 8 or not kind.isalnum():
            return None  # to the end of the file, or padding
        at += length
    return at


def _segment(file: BinaryIO, size: int) -> int | None:
    """Of Matroska and WebM; a live one states no length."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        first = head[0]
        id_length = 9 - first.bit_length()
        if id_length > 4 or len(head) <= id_length or not head[id_length]:
            return None
        length_size = 9 - head[id_length].bit_length()
        value = int.from_bytes(head[id_length : id_length + length_size], "big") & ((1 << 7 * length_size) - 1)
        start = at + id_length + length_size
        if head[:4] == b"\x18\x53\x80\x67":
            return None if value == (1 << 7 * length_size) - 1 else start + value
        at = start + value
    return None


def _flash(file: BinaryIO, size: int) -> int | None:
    file.seek(5)
    at = int.from_bytes(file.read(4), "big") + 4
    while at + 11 <= size:
        file.seek(at)
        head = file.read(4)
        if head[0] & 0x1F not in {8, 9, 18}:
            return None
        at += 11 + int.from_bytes(head[1:], "big")
        if at > size:
            return at
        at += 4
    return None if at == size else at + 11


def _asf(file: BinaryIO, size: int) -> int | None:
    """The file properties object states the size, unless it was broadcast."""
    file.seek(0)
    head = file.read(2**16)
    at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    if at < 0 or len(head) < at + 92 or head[at + 88] & 1:
        return None
    return int.from_bytes(head[at + 40 : at + 48], "little") - HEADER_SLACK


def _ogg(file: BinaryIO, size: int) -> int | None:
    """The last page is whole and says that it is the last one."""
    start = max(0, size - 2 * LONGEST_PAGE)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27 or len(tail) < at + 27 + tail[at + 26]:
        return size + 1
    end = at + 27 + tail[at + 26] + sum(tail[at + 27 : at + 27 + tail[at + 26]])
    return start + end if end > len(tail) or tail[at + 5] & 4 else size + 1


def _mpeg_frame(head: bytes) -> int | None:
    """The length of a frame of MPEG audio that begins here; None where none does, or where its rate is free"""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, hertz, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or not 0 < rate < 15 or hertz == 3:
        return None
    per_frame = 12 if layer == 1 else 72 if layer == 3 and version != 3 else 144
    length = per_frame * 1000 * MPEG_KBPS[version == 3, layer][rate - 1] // MPEG_HERTZ[version][hertz] + padding
    return length * 4 if layer == 1 else length


def _mpeg_audio(file: BinaryIO, size: int) -> int | None:
    """Frames follow each other, and as many of them as an information frame states, if there is one."""
    file.seek(0)
    content, at = file.read(), 0
    if content[:3] == b"ID3":
        at = 10 + sum((byte & 127) << 7 * (3 - place) for place, byte in enumerate(content[6:10]))
    first, num_frames = content[at : at + 200], 0
    while (length := _mpeg_frame(content[at : at + 4])) is not None:
        at += length
        num_frames += 1
    place = max(first.find(b"Xing"), first.find(b"Info"))
    if 0 <= place <= 192 and first[place + 7] & 1 and at <= size:
        lost = int.from_bytes(first[place + 8 : place + 12], "big") - (num_frames - 1)
        if lost > 1 and size - at < HEADER_SLACK:
            return size + lost
    return at if num_frames else None


def _ends_in_zeros(file: BinaryIO, size: int, head: bytes) -> bool:
    """Whether a file ends in zeros, and has them where a part of its container is to begin"""
    file.seek(max(0, size - HEADER_SLACK))
    if any(file.read()):
        return False
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _hole_in_segment(file, size)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _hole_in_lists(file, size)
    if head[:3] == b"FLV":
        return _hole_in_tags(file, size)
    if head[4:8] == b"ftyp":
        return _hole_in_fragments(file, size)
    file.seek(0)
    if head[:4] in MPEG_ENDS:
        return not file.read().rstrip(b"\0").endswith(MPEG_ENDS[head[:4]])
    begin = file.read(200)
    for length, at in ((188, 0), (192, 4)):  # of the packets of transport streams
        if begin[at : at + 1] == begin[at + length : at + length + 1] == b"G":
            file.seek((size // length - 1) * length + at)
            return file.read(1) != b"G"
    return False


def _hole_in_segment(file: BinaryIO, size: int) -> bool:
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        id_length = 9 - head[0].bit_length()
        if not head[0] or id_length > 4 or len(head) <= id_length or not head[id_length]:
            return not head[0]
        length_size = 9 - head[id_length].bit_length()
        value = int.from_bytes(head[id_length : id_length + length_size], "big") & ((1 << 7 * length_size) - 1)
        at += id_length + length_size + (0 if head[:4] in OPEN_ELEMENTS else value)
    return False


def _hole_in_lists(file: BinaryIO, size: int) -> bool:
    at = 12
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        if not any(head[:4]):
            return True
        opened = head[:4] == b"RIFF" or (head[:4] == b"LIST" and head[8:] in {b"movi", b"rec "})
        at += 12 if opened else 8 + -(-int.from_bytes(head[4:8], "little") // 2) * 2
    return False


def _hole_in_tags(file: BinaryIO, size: int) -> bool:
    at = 13
    while at + 4 <= size:
        file.seek(at)
        head = file.read(4)
        if not any(head):
            return True
        at += 15 + int.from_bytes(head[1:], "big")
    return False


def _hole_in_fragments(file: BinaryIO, size: int) -> bool:
    """Of MP4 in fragments; of another the decoder finds what is missing, and zeros behind its boxes do no harm"""
    at, fragmented = 0, False
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        fragmented = fragmented or kind == b"moof"
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8:
            return fragmented and not any(kind)
        at += length
    return False


KINDS: tuple[tuple[bytes, int, Callable[[BinaryIO, int], int | None]], ...] = (
    (b"RIFF", 0, _riff), (b"RIFX", 0, partial(_riff, form=">4sI")), (b"RF64", 0, _riff),
    (b"riff\x2e\x91\xcf\x11", 0, _wave64), (b"FORM", 0, _aiff), (b"caff", 0, _caf),
    (b".snd", 0, _au), (b"OggS", 0, _ogg), (b"\x1a\x45\xdf\xa3", 0, _segment), (b"FLV", 0, _flash),
    (bytes.fromhex("3026b2758e66cf11"), 0, _asf),
    *((kind, 4, _boxes) for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")))
