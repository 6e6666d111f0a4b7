"""The Battle for Wesnoth: animation blocks of the units' .cfg files in, sprites out."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Iterator

from docs.embedded_data.sprites import ROOT, Sprite, join_canvas, read_rgba

DATA = ROOT + "/wesnoth-1.16-data/usr/share/games/wesnoth/1.16/data"
_BLOCKS = (r"(?s)\[(attack_anim|death|idle_anim|standing_anim|movement_anim|healing_anim|defend|leading_anim"
           r"|recruit_anim|recruiting_anim|victory_anim)\](.*?)\[/\1\]")
_ACTIONS = {"death": "die", "idle_anim": "idle", "standing_anim": "idle", "movement_anim": "move",
            "healing_anim": "cast", "defend": "hit"}
_LOOPED_BLOCKS = ("idle_anim", "standing_anim", "movement_anim")
_BEASTS = ("wolf", "scorp", "boar", "monax", "mudcrawler")  # monsters that share bodies

Frames = list[tuple[str, float]]  # path, milliseconds


class Families:
    """Disjoint sets of names, joined as relations between units are found."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        while self.parent.setdefault(name, name) != name:
            name = self.parent[name]
        return name

    def join(self, name: str, into: str) -> None:
        root = self.find(into)
        self.parent[self.find(name)] = root


def _first(pattern: str, text: str) -> str:
    """The first group of a match, "" where there is none."""
    match = re.search(pattern, text)
    return match[1] if match else ""


def expand(text: str) -> list[str]:
    """Wesnoth's lists: "a,3~5,b*2" -> a 3 4 5 b b"""
    values: list[str] = []
    for item in text.split(","):
        item, repeats = item.strip(), 1
        repeated = re.match(r"^(.*)\*(\d+)$", item)
        if repeated:
            item, repeats = repeated[1], int(repeated[2])
        span = re.match(r"^(\d+)~(\d+)$", item)
        if span:
            begin, end = int(span[1]), int(span[2])
            width = len(span[1]) if span[1].startswith("0") else 0
            numbers = range(begin, end + 1) if end >= begin else range(begin, end - 1, -1)
            values += [str(number).zfill(width) for number in numbers] * repeats
        else:
            values += [item] * repeats
    return values


@functools.cache
def _image_folders() -> list[str]:
    return [DATA + "/core/images", *sorted(glob.glob(DATA + "/campaigns/*/images"))]


def _find(image: str, config: str) -> str | None:
    """The path of an image, looked for in the campaign of the configuration first."""
    campaign = re.search(r"/campaigns/([^/]+)/", config)
    roots = [f"{DATA}/campaigns/{campaign[1]}/images"] if campaign else []
    roots += _image_folders()
    return next((f"{root}/{image}" for root in roots if os.path.exists(f"{root}/{image}")), None)


def read_frames(block: str, config: str) -> Frames:
    """The unit's own frames: missiles, halos and shadows are in blocks of other names."""
    frames: Frames = []
    block = "\n".join(re.findall(r"(?s)\[frame\](.*?)\[/frame\]", block))
    for line in re.finditer(r'(?m)^\s*image\s*=\s*"?([^"\n#]+?)"?\s*$', block):
        parsed = re.match(r"^(.*?\.png)(?::(.*))?$", re.sub(r"~[A-Z]+\([^)]*\)", "", line[1].strip()))
        if not parsed:
            continue
        path, timing = parsed[1], parsed[2]
        lists, names = re.findall(r"\[([^\]]*)\]", path), [path]
        if lists:
            names = [path.replace("[" + lists[0] + "]", value, 1) for value in expand(lists[0])]
        if "{" in path or "[" in names[0] or not path.startswith("units/"):
            continue
        durations = [100.0] * len(names)
        if timing:
            try:
                given = [float(value) for value in expand(timing.strip("[]"))]
            except ValueError:
                pass
            else:
                durations = (given * len(names) if len(given) == 1
                             else (given + [given[-1]] * len(names))[:len(names)])
        for name, duration in zip(names, durations, strict=True):
            found = _find(name, config)
            if found:
                frames.append((found, duration))
    return frames


def _attacks(text: str) -> dict[str, tuple[str, str]]:
    """Range and damage type of every attack by its name."""
    def value(key: str, attack: str) -> str:
        return _first(rf'(?m)^\s*{key}\s*=\s*"?([^"\n#]+)', attack).strip()

    return {value("name", attack): (value("range", attack), value("type", attack))
            for attack in re.findall(r"(?s)\[attack\](.*?)\[/attack\]", text)}


def _action(kind: str, block: str, attacks: dict[str, tuple[str, str]]) -> str | None:
    if kind != "attack_anim":
        return _ACTIONS.get(kind)
    names = _first(r'(?m)^\s*name\s*=\s*"?([^"\n]+?)"?\s*$', block).split(",")
    known = [attacks[name.strip()] for name in names if name.strip() in attacks]
    attack_range, damage = known[0] if known else ("", "")
    attack_range = _first(r'(?m)^\s*range\s*=\s*"?([a-z]+)', block) or attack_range
    thrown = "ranged" if damage in ("pierce", "blade", "impact") else "cast"
    return {"melee": "melee", "ranged": thrown}.get(attack_range)


def _join_relatives(unit: str, text: str, families: Families) -> None:
    """Advancement, base unit and shared pictures make one family."""
    for advanced in _first(r'(?m)^\s*advances_to\s*=\s*"?([^"\n]+)', text).split(","):
        if advanced.strip() and advanced.strip() != "null":
            families.join(unit, advanced.strip())
    base = _first(r'(?m)^\s*base_unit\s*=\s*"?([^"\n]+)', text)
    if base:
        families.join(unit, base.strip())
    image = _first(r'(?m)^\s*image\s*=\s*"?units/([^"\n]+?)"?\s*$', text)
    if image:
        families.join(unit, "IMG:" + re.sub(r"[+].*|\.png", "", image))


def _join_by_pictures(unit: str, frames: Frames, families: Families) -> None:
    """One family for each race folder, as artists recycle bodies; monsters go by advancement."""
    for path, _ in frames:
        families.join("PNG:" + path, unit)
        folder = _first(r"/units/([^/]+)/", path.replace("/core/units/", "/"))
        if folder == "monsters":
            beast = next((beast for beast in _BEASTS if beast in path), None)
            if beast:
                families.join("BEAST:" + beast, unit)
        elif folder:
            families.join("DIR:" + folder, unit)


def read() -> Iterator[Sprite]:
    """Animations of at least three different pictures; pictures that come again under another unit are left out."""
    configs = (sorted(glob.glob(DATA + "/core/units/**/*.cfg", recursive=True)
                      + glob.glob(DATA + "/campaigns/*/units/**/*.cfg", recursive=True)))
    families = Families()
    animations: list[tuple[str, str, Frames, str]] = []
    for config in configs:
        with open(config, encoding="utf8") as file:
            text = file.read()
        unit = _first(r'(?m)^\s*id\s*=\s*"?([^"\n]+)', text).strip()
        if not unit or "Tentacle" in unit:  # tentacles are mostly an empty ripple on the water
            continue
        attacks = _attacks(text)
        _join_relatives(unit, text, families)
        for match in re.finditer(_BLOCKS, text):
            kind, block = match[1], match[2]
            action = _action(kind, block, attacks)
            if not action:
                continue
            branches = re.split(r"\[else\]|\[if\]", block)  # alternatives: the first is kept
            frames = read_frames("".join(branches[:2]), config)
            if len({path for path, _ in frames}) >= 3:
                animations.append((unit, action, frames, kind))
    for unit, _, frames, _ in animations:
        _join_by_pictures(unit, frames, families)
    seen = set()
    for unit, action, frames, kind in animations:
        paths = tuple(path for path, _ in frames)
        if paths in seen:
            continue
        seen.add(paths)
        images = [read_rgba(path) for path in paths]
        canvas, _ = join_canvas([(image, -image.width // 2, -image.height // 2) for image in images])
        yield Sprite("wesnoth", "wesnoth:" + families.find(unit).replace("PNG:" + DATA, ""),
                     unit + ("+f" if "female" in paths[0] else ""), action, "", canvas,
                     [duration for _, duration in frames], kind in _LOOPED_BLOCKS)
