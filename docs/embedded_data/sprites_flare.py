"""Flare: enemies, and heroes composed of layers of clothing, in; sprites out."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from docs.embedded_data.sprites import LOOPS, ROOT, Sprite, join_canvas, read_rgba

MODS_FOLDER = ROOT + "/flare-game/usr/share/games/flare/mods"
MODS = [MODS_FOLDER + "/empyrean_campaign", MODS_FOLDER + "/fantasycore"]
NUM_DIRECTIONS = 8
ACTIONS = {"stance": "idle", "run": "move", "swing": "melee", "shoot": "ranged", "cast": "cast", "die": "die",
           "critdie": "die", "hit": "hit", "cast_alt": "cast", "dash_attack": "melee"}
_NOT_CHARACTERS = ("boulder", "goblin_minecart", "cursed_grave", "cursed_grave_ice", "cursed_grave_fire")
_FAMILIES = ("hobgoblin", "goblin", "skeleton", "zombie", "wyvern", "minotaur", "stealth", "cursed_grave")
_ANY_HEAD = "@"
_OUTFITS = {
    "cloth": ["cloth_pants", "cloth_shirt", "cloth_sandals", "cloth_gloves", _ANY_HEAD],
    "leather": ["leather_pants", "leather_chest", "leather_boots", "leather_gloves", "leather_hood"],
    "chain": ["chain_greaves", "chain_cuirass", "chain_boots", "chain_gloves", "chain_coif"],
    "plate": ["plate_greaves", "plate_cuirass", "plate_boots", "plate_gauntlets", "plate_helm"],
    "mage": ["mage_skirt", "mage_vest", "mage_boots", "mage_sleeves", "mage_hood"],
}
_WEAPONS = {
    "swing": ["longsword", "battle_axe", "mace", "greatsword", "war_hammer", "dagger"],
    "shoot": ["longbow", "shortbow", "slingshot", "greatbow"],
    "cast": ["staff", "wand", "rod", "greatstaff"],
}


@dataclass
class Sequence:
    """One animation of a definition file."""

    num_frames: int = 0
    milliseconds: float = 800.0
    kind: str = ""
    boxes: dict[tuple[int, int], list[int]] = field(default_factory=dict)  # (frame, direction) -> x, y, w, h, dx, dy


Layer = tuple[Image.Image, dict[str, Sequence]]


def read_definition(path: str) -> tuple[str | None, dict[str, Sequence]]:
    """The image that a definition file names, and its animations."""
    sequences: dict[str, Sequence] = {}
    image: str | None = None
    current: str | None = None
    with open(path, encoding="utf8", errors="replace") as file:
        lines = [line.strip() for line in file]
    for line in lines:
        if line.startswith("INCLUDE "):
            included = next((f"{mod}/{line[8:].strip()}" for mod in MODS
                             if os.path.exists(f"{mod}/{line[8:].strip()}")), None)
            if included:
                other_image, others = read_definition(included)
                image = image or other_image
                sequences.update(others)
        elif line.startswith("image="):
            image = line[6:].split(",")[0]
        elif line.startswith("["):
            current = line[1:-1]
            sequences[current] = Sequence()
        elif current and "=" in line:
            key, value = line.split("=", 1)
            if key == "frames":
                sequences[current].num_frames = int(value)
            elif key == "duration":
                sequences[current].milliseconds = float(re.sub(r"[a-z]", "", value)) * (1 if "ms" in value else 1000)
            elif key == "type":
                sequences[current].kind = value
            elif key == "frame":
                numbers = [int(token) for token in value.split(",")[:8]]
                sequences[current].boxes[numbers[0], numbers[1]] = numbers[2:8]
    return image, sequences


@functools.cache
def load_image(name: str) -> Image.Image | None:
    path = next((f"{mod}/{name}" for mod in MODS if os.path.exists(f"{mod}/{name}")), None)
    return read_rgba(path) if path else None


def _compose(placed: list[tuple[Image.Image, int, int]]) -> tuple[Image.Image, int, int]:
    """Layers, the first below -> one image with its left and top."""
    layers, (left, top) = join_canvas(placed)
    composed = Image.new("RGBA", layers[0].size)
    for layer in layers:
        composed = Image.alpha_composite(composed, layer)
    return composed, left, top


def render(layers: list[Layer], name: str, direction: int) -> tuple[list[Image.Image], float, tuple[int, int]] | None:
    """Frames, duration of the whole in milliseconds, origin; None where a frame has no picture."""
    sequences = [found[name] for _, found in layers if name in found and found[name].boxes]
    if not sequences:
        return None
    composed = []
    for i in range(sequences[0].num_frames):
        placed = []
        for image, found in layers:
            if name in found and (i, direction) in found[name].boxes:
                x, y, width, height, dx, dy = found[name].boxes[i, direction]
                placed.append((image.crop((x, y, x + width, y + height)), -dx, -dy))
        if not placed:
            return None
        composed.append(_compose(placed))
    frames, origin = join_canvas(composed)
    if sequences[0].kind == "back_forth":
        frames = frames + frames[-2:0:-1]
    return frames, sequences[0].milliseconds, origin


def _sprite(layers: list[Layer], name: str, direction: int, family: str, character: str,
            min_pictures: int) -> Sprite | None:
    rendered = render(layers, name, direction)
    if rendered is None or len({frame.tobytes() for frame in rendered[0]}) < min_pictures:
        return None
    frames, milliseconds, origin = rendered
    return Sprite("flare", "flare:" + family, character, ACTIONS[name], f"{name}{direction}", frames,
                  [milliseconds / len(frames)] * len(frames), ACTIONS[name] in LOOPS, origin)


def _family(enemy: str) -> str:
    if "ant" in enemy and "giant" not in enemy:
        return "ant"
    return next((family for family in _FAMILIES if family in enemy), enemy)


def _layer(path: str) -> Layer | None:
    if not os.path.exists(path):
        return None
    name, sequences = read_definition(path)
    image = load_image(name) if name else None
    return None if image is None else (image, sequences)


def read_enemies() -> Iterator[Sprite]:
    for path in sorted(glob.glob(MODS_FOLDER + "/*/animations/enemies/*.txt")):
        enemy = os.path.basename(path)[:-4]
        if enemy in _NOT_CHARACTERS or enemy.endswith("_runner"):
            continue
        layer = _layer(path)
        if layer is None:
            continue
        for name, sequence in layer[1].items():
            if name not in ACTIONS or sequence.num_frames < 2:
                continue
            for direction in range(NUM_DIRECTIONS):
                sprite = _sprite([layer], name, direction, _family(enemy), enemy, min_pictures=2)
                if sprite is not None:
                    yield sprite


def read_heroes(seed: int = 0) -> Iterator[Sprite]:
    """Every outfit with one weapon of each kind, so that stance and action match."""
    rng = np.random.default_rng(seed)
    for sex in ("male", "female"):
        folder = f"{MODS_FOLDER}/fantasycore/animations/avatar/{sex}/"
        heads = sorted(os.path.basename(path)[:-4] for path in glob.glob(folder + "head_*.txt"))
        for outfit_number, (outfit, parts) in enumerate(_OUTFITS.items()):
            layers: list[Layer] = []
            for part in parts:
                if part == _ANY_HEAD:
                    part = heads[rng.integers(len(heads))] if heads else ""
                layer = _layer(f"{folder}{part}.txt") if part else None
                if layer is not None:
                    layers.append(layer)
            if len(layers) < 4:
                continue
            for weapon_number, (attack, weapons) in enumerate(_WEAPONS.items()):
                weapon = weapons[int(rng.integers(len(weapons)))]
                layer = _layer(f"{folder}{weapon}.txt")
                if layer is None:
                    continue
                names = ("stance", attack, "run", "die", "hit")
                for name in names if (outfit_number + weapon_number) % 2 else names[:3]:
                    for direction in range(NUM_DIRECTIONS):
                        sprite = _sprite([*layers, layer], name, direction, "avatar",
                                         f"avatar_{sex}_{outfit}_{weapon}", min_pictures=1)
                        if sprite is not None:
                            yield sprite


def read() -> Iterator[Sprite]:
    yield from read_enemies()
    yield from read_heroes()
