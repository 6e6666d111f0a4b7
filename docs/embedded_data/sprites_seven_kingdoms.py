"""Seven Kingdoms: its resource files (dBase tables, run-length coded bitmaps, a palette) in, sprites out."""

from __future__ import annotations

import collections
import functools
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from docs.embedded_data.sprites import LOOPS, ROOT, Sprite, join_canvas

DATA = ROOT + "/7kaa-data/usr/share/games/7kaa"
FRAME_MILLISECONDS = 100.0
_TRANSPARENT, _FIRST_SKIP = 255, 0xF8
_ACTIONS = {"M": "move", "D": "die", "S": "idle"}

Record = dict[str, bytes]


def _text(value: bytes) -> str:
    return value.decode("latin1").strip()


def _read(path: str) -> bytes:
    with open(f"{DATA}/{path}", "rb") as file:
        return file.read()


def read_tables(data: bytes) -> dict[str, int]:
    """The offset of every table in the set file."""
    (count,) = struct.unpack("<H", data[:2])
    entries = [data[2 + 13 * i:15 + 13 * i] for i in range(count)]
    return {entry[:9].split(b"\0")[0].decode("latin1"): struct.unpack("<I", entry[9:])[0] for entry in entries}


def read_table(data: bytes, offset: int) -> list[Record]:
    """The records of a dBase table."""
    count, header_bytes, record_bytes = struct.unpack("<IHH", data[offset + 4:offset + 12])
    fields, position = [], offset + 32
    while data[position] != 13:
        fields.append((data[position:position + 11].split(b"\0")[0].decode(), data[position + 16]))
        position += 32
    records = []
    for i in range(count):
        position, record = offset + header_bytes + i * record_bytes + 1, {}
        for name, length in fields:
            record[name] = data[position:position + length]
            position += length
        records.append(record)
    return records


@functools.cache
def _sprite_file(name: str) -> bytes:
    return _read(f"SPRITE/{name}.SPR")


def decode_bitmap(data: bytes, offset: int, palette: np.ndarray) -> Image.Image:
    """A run-length coded bitmap: values from 0xF8 on skip transparent pixels."""
    width, height = struct.unpack("<HH", data[offset + 4:offset + 8])
    indices = np.full(width * height, _TRANSPARENT, np.uint8)
    source, target = offset + 8, 0
    while target < width * height and source < len(data):
        value = data[source]
        source += 1
        if value < _FIRST_SKIP:
            indices[target] = value
            target += 1
        elif value == _FIRST_SKIP:
            target += data[source]
            source += 1
        else:
            target += 0x100 - value
    indices = indices.reshape(height, width)
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., :3] = palette[indices]
    pixels[..., 3] = np.where(indices == _TRANSPARENT, 0, 255)
    return Image.fromarray(pixels)


def _action(code: str, character_class: str, bullet: str | None) -> str | None:
    """Attacks without a bullet are melee; those of gods, and of stars and powers, are spells."""
    if code not in ("A1", "A2", "A3"):
        return _ACTIONS.get(code)
    if bullet is None:
        return None
    if not bullet:
        return "melee"
    return "cast" if character_class == "GOD" or bullet.endswith(("STAR", "POWAR")) else "ranged"


def read() -> Iterator[Sprite]:
    """Animations of people, gods and monsters of at least three frames."""
    data = _read("RESOURCE/STD.SET")
    tables = read_tables(data)
    palette = np.frombuffer(_read("RESOURCE/PAL_STD.RES")[8:776], np.uint8).reshape(256, 3)
    class_of = {_text(unit["SPRITE"]): _text(unit["CLASS"]) for unit in read_table(data, tables["UNIT"])}
    bullets = {(_text(attack["SPRITE"]), "A" + _text(attack["ATTK_ID"])): _text(attack["BUL_SPRITE"])
               for attack in read_table(data, tables["UNITATTK"])}
    sequences: dict[tuple[str, str, str], list[Record]] = collections.defaultdict(list)
    for frame in read_table(data, tables["SFRAME"]):
        sequences[_text(frame["SPRITE"]), _text(frame["ACTION"]), _text(frame["DIR"])].append(frame)
    for (sprite, code, direction), frames in sorted(sequences.items(), key=lambda item: item[0]):
        character_class = class_of.get(sprite)
        if character_class not in ("HUMAN", "GOD", "MONSTER") or len(frames) < 3:
            continue
        action = _action(code, character_class, bullets.get((sprite, code)))
        if action is None:
            continue
        placed = []
        for frame in sorted(frames, key=lambda frame: int(_text(frame["FRAME"]) or 0)):
            (offset,) = struct.unpack("<I", frame["BITMAPPTR"])
            placed.append((decode_bitmap(_sprite_file(sprite), offset, palette), int(_text(frame["OFFSET_X"])),
                           int(_text(frame["OFFSET_Y"]))))
        canvas, _ = join_canvas(placed)
        yield Sprite("7kaa", "7kaa:" + sprite, sprite, action, code + direction, canvas,
                     [FRAME_MILLISECONDS] * len(canvas), action in LOOPS)
