"""Widelands: workers, soldiers and critters with their init.lua in, sprites out."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

from PIL import Image

from docs.embedded_data.sprites import ROOT, Sprite, read_rgba

DATA = ROOT + "/widelands-data/usr/share/games/widelands/data"
_ANIMATIONS = r"(?m)^\s+(\w+)\s*=\s*\{([^{}]*?hotspot[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
_WORK = ("hack", "dig", "plant", "work", "water", "harvest", "gather", "fish", "saw", "stack", "collect", "freeing",
         "release")
_ACTIONS = [(r"(^|_)walk$", "move"), (r"^walkload$", "carry"), (r"(^|_)idle$", "idle"), (r"atk_", "melee"),
            (r"eva_fail", "hit"), (r"(^|_)die_", "die"), (r"^eating$", "eat"), (rf"^({'|'.join(_WORK)})", "work")]
_ENDLESS = ("idle", "move", "carry", "work", "eat")
_LOOK_ALIKES = {"stag": "deer", "reindeer": "deer", "moose": "deer", "chamois": "deer", "wisent": "ox", "fox": "wolf"}


def _family(folder: str) -> str:
    animal = os.path.basename(folder)
    if folder.endswith("barbarians/ox"):  # the same model as the wisent
        return "widelands:critters/ox"
    if "workers" in folder:
        return "widelands:" + folder.split("/")[-2]
    return "widelands:critters/" + _LOOK_ALIKES.get(animal, animal)


def _images(stem: str, num_frames: int, rows: int, columns: int) -> list[Image.Image]:
    """The frames of a sheet, of twice the size where there is one, or of single files; [] where neither fits."""
    sheet = next((path for path in (stem + "_2.png", stem + "_1.png") if os.path.exists(path)), None)
    if sheet and rows * columns > 1:
        image = read_rgba(sheet)
        width, height = image.width // columns, image.height // rows
        corners = [(i % columns * width, i // columns * height) for i in range(num_frames)]
        return [image.crop((x, y, x + width, y + height)) for x, y in corners]
    if num_frames == 0 or rows == 0:
        paths = sorted(glob.glob(stem + "_[0-9][0-9].png")) + sorted(glob.glob(stem + "_[0-9][0-9]_1.png"))
        return [read_rgba(path) for path in paths]
    return []


def read() -> Iterator[Sprite]:
    """Animations of at least three frames, one for each direction where there are directions."""
    definitions = glob.glob(DATA + "/tribes/workers/*/*/init.lua") + glob.glob(DATA + "/world/critters/*/init.lua")
    for lua in sorted(definitions):
        folder = os.path.dirname(lua)
        with open(lua, encoding="utf8") as file:
            text = file.read()
        character = "/".join(folder.split("/")[-2:])
        for match in re.finditer(_ANIMATIONS, text):
            animation, block = match[1], match[2]

            def number(key: str, block: str = block) -> int:
                found = re.search(rf"\b{key}\s*=\s*(\d+)", block)
                return int(found[1]) if found else 0

            name = animation.lower()
            action = next((action for pattern, action in _ACTIONS if re.search(pattern, name)), None)
            if action is None:
                continue
            base = re.search(r'basename\s*=\s*"([^"]+)"', block)
            per_level = name.startswith(("hero", "health", "attack_"))
            is_directional = re.search(r"directional\s*=\s*true", block)
            for direction in ("_e", "_w", "_se", "_sw", "_ne", "_nw") if is_directional else ("",):
                stem = f"{folder}/{base[1] if base else animation}{direction}"
                images = _images(stem, number("frames"), number("rows"), number("columns"))
                if len(images) >= 3:
                    yield Sprite("widelands", _family(folder),
                                 character + (":" + name.split("_")[0] if per_level else ""), action, name + direction,
                                 images, [1000 / (number("fps") or 10)] * len(images), action in _ENDLESS)
