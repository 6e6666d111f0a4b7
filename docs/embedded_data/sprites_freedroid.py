"""FreedroidRPG: texture atlases of robots and people in, sprites out."""

from __future__ import annotations

import collections
import glob
import os
import re
from collections.abc import Iterator

from PIL import Image

from docs.embedded_data.sprites import LOOPS, ROOT, Sprite, join_canvas, read_rgba

DATA = ROOT + "/freedroidrpg-data/usr/share/freedroidrpg/data/graphics"
FRAME_MILLISECONDS = 80.0
_ACTIONS = {"death": "die", "gethit": "hit", "stand": "idle", "walk": "move"}
_FAMILIES = {
    "bruiser": "516 571 598",
    "sphere": "249 296",
    "guard": "blue_guard red_guard",
    "people": "default_male bartender cook kevin professor female_hunter female_scientist hot_mama jasmine",
}
_FAMILY_OF = {model: family for family, models in _FAMILIES.items() for model in models.split()}
_ATTACKS = {
    "melee": "123 247 493 516 571 598 614 harvester lawnmower hot_mama cook default_male bartender kevin"
             " female_scientist",
    "ranged": "139 302 329 420 883 999 autogun red_guard blue_guard jasmine female_hunter arthur",
}
_ATTACK_OF = {model: attack for attack, models in _ATTACKS.items() for model in models.split()}


def read_atlas(folder: str) -> dict[str, tuple[Image.Image, int, int]]:
    """The pictures of an atlas with their left and top, by name."""
    pictures: dict[str, tuple[Image.Image, int, int]] = {}
    sheet: Image.Image | None = None
    with open(folder + "/atlas.txt") as file:
        for line in file:
            words = line.split()
            if not words:
                continue
            if words[0] == "*":
                sheet = read_rgba(f"{folder}/{words[1]}")
            elif "off" in words and sheet is not None:
                x, y, width, height = map(int, words[1:5])
                pictures[words[0]] = (sheet.crop((x, y, x + width, y + height)), int(words[6]), int(words[7]))
    return pictures


def read() -> Iterator[Sprite]:
    """Animations of at least three frames."""
    for folder in sorted(glob.glob(DATA + "/droids/*/")):
        folder = folder.rstrip("/")
        model = os.path.basename(folder)
        if not os.path.exists(folder + "/atlas.txt"):
            continue
        pictures = read_atlas(folder)
        sequences: dict[tuple[str, int], dict[int, str]] = collections.defaultdict(dict)
        for name in pictures:
            match = re.search(r"rot_(\d+)_([a-z]+)-(\d+)", name)
            if match:
                sequences[match[2], int(match[1])][int(match[3])] = name
        for (animation, direction), frames in sorted(sequences.items(), key=lambda item: item[0]):
            action = _ATTACK_OF.get(model) if animation == "attack" else _ACTIONS.get(animation)
            if len(frames) < 3 or not action:
                continue
            canvas, origin = join_canvas([pictures[frames[i]] for i in sorted(frames)])
            yield Sprite("freedroid", "freedroid:" + _FAMILY_OF.get(model, model), model, action,
                         f"{animation}{direction}", canvas, [FRAME_MILLISECONDS] * len(canvas), action in LOOPS, origin)
