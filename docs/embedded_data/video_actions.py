"""Sprite animations of five games in, `video_actions.npz` out: clips of 8 frames of 32x32 RGB, with their action.

Sources: wesnoth-1.16-data, widelands-data, freedroidrpg-data, 7kaa-data (GPL-2+), flare-game (CC-BY-SA-3.0+). Split by
family: no character, recolouring or direction is in two splits. Nothing of 0 A.D. is used.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from docs.embedded_data import (
    sprites_flare,
    sprites_freedroid,
    sprites_seven_kingdoms,
    sprites_wesnoth,
    sprites_widelands,
)
from docs.embedded_data.sprites import Sprite

# "ranged" is shooting, throwing and casting: Flare and Seven Kingdoms often have one animation for both.
ACTIONS = ["idle", "move", "melee", "ranged", "hit", "die"]
READERS = {"wesnoth": sprites_wesnoth.read, "widelands": sprites_widelands.read, "flare": sprites_flare.read,
           "freedroid": sprites_freedroid.read, "7kaa": sprites_seven_kingdoms.read}
SOURCES = list(READERS)
NUM_FRAMES, SIDE = 8, 32
SHARES = {"train": 0.60, "val": 0.12, "test": 0.28}
# At most this many clips of one action from one source, so that the source does not tell the action.
CAPS = {"wesnoth": 130, "widelands": 80, "flare": 170, "freedroid": 130, "7kaa": 110}
CAPS_OF_ACTIONS = {
    ("flare", "hit"): 250, ("freedroid", "hit"): 200, ("flare", "ranged"): 180, ("flare", "die"): 200,
    ("freedroid", "die"): 180, ("flare", "idle"): 200, ("freedroid", "idle"): 150, ("flare", "move"): 130,
    ("freedroid", "move"): 110, ("7kaa", "move"): 100, ("flare", "melee"): 140, ("7kaa", "melee"): 90,
    ("wesnoth", "melee"): 90, ("freedroid", "melee"): 100,
}
FLARE_SPLIT = {"test": ["goblin", "minotaur", "wyvern"], "val": ["hobgoblin", "stealth"],
               "train": ["avatar", "skeleton", "zombie", "ant"]}
PLAINER_ACTION = {frozenset(("idle", "move")): "move", frozenset(("melee", "ranged")): "melee"}
SPLIT_TRIALS = 400
META = {
    "name": "sprite actions",
    "classes": ACTIONS,
    "shape": "N,8,32,32,3 uint8 RGB",
    "source": "Debian 12 packages wesnoth-1.16-data 1.16.9-1, widelands-data 1.1-3, flare-game 1.14-1, "
              "freedroidrpg-data 1.0-1, 7kaa-data 2.15.5+dfsg-1",
    "licence": "GPL-2+ (Wesnoth, Widelands, FreedroidRPG, Seven Kingdoms) and CC-BY-SA-3.0+ (Flare)",
    "split": "by character family: Wesnoth race folder or monster advancement tree, Widelands tribe or critter "
             "species, Flare rig, FreedroidRPG model, 7kaa nation or monster",
    "attribution": "Clips are downscaled, quantised composites of sprite animations from: The Battle for Wesnoth, "
                   "(C) 2003-2022 David White and the Wesnoth contributors, GPL-2+; Widelands, (C) 2002-2021 the "
                   "Widelands Development Team, GPL-2+; FreedroidRPG, (C) 1994-2016 Johannes and Reinhard Prix, "
                   "Arthur Huillet and the FreedroidRPG team, GPL-2+; Seven Kingdoms: Ancient Adversaries, "
                   "(C) 1997-1998 Enlight Software Ltd., 2010-2020 Jesse Allen and others, GPL-2+; Flare (fantasycore "
                   "and empyrean_campaign), (C) 2010-2021 Clint Bellanger and contributors, CC-BY-SA-3.0 or later. "
                   "Taken from the Debian 12 packages of the same names.",
}

Box = tuple[int, int, int, int]  # left, top, right, bottom


class Clip(NamedTuple):
    """One sample."""

    frames: np.ndarray  # (8, 32, 32, 3) uint8
    action: int
    source: int
    family: str
    origin: str


def visible_box(frames: Iterable[Image.Image]) -> Box | None:
    """The box around all that any frame shows, None where nothing is seen."""
    visible = np.any([np.asarray(frame)[..., 3] > 40 for frame in frames], axis=0)
    rows, columns = np.where(visible)
    if len(rows) == 0:
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def longer_side(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def sample_frames(sprite: Sprite, stance: Image.Image | None, rng: np.random.Generator) -> list[Image.Image]:
    """Eight frames, held and never blended.

    A loop gives about one cycle from a random phase; any other action itself, where the game has the character's stance
    with a little of it before and (but for deaths) after.
    """
    ends = np.cumsum(np.clip(np.array(sprite.durations, float), 20, 600))
    total = ends[-1]

    def frame_at(time: float) -> Image.Image:
        return sprite.frames[min(int(np.searchsorted(ends, time, side="right")), len(sprite.frames) - 1)]

    if sprite.is_loop:
        cycles = rng.uniform(0.8, 1.2)
        start = rng.uniform(0, total)
        return [frame_at((start + cycles * total * k / NUM_FRAMES) % total) for k in range(NUM_FRAMES)]
    begin = rng.uniform(0, 0.08)
    end = 1 - rng.uniform(0, 0.04)
    before, after = 0.0, 0.0
    if stance is not None:
        before = rng.uniform(0, 0.25)
        after = 0.0 if sprite.action == "die" else rng.uniform(0.0, 0.3)
    chosen = []
    for k in range(NUM_FRAMES):
        moment = (k + rng.uniform(0.3, 0.7)) / NUM_FRAMES
        if stance is not None and (moment < before or moment > 1 - after):
            chosen.append(stance)
        else:
            chosen.append(frame_at(total * (begin + (end - begin) * (moment - before) / (1 - before - after))))
    return chosen


def render(frames: list[Image.Image], reference_side: float, rng: np.random.Generator, flip: bool) -> np.ndarray | None:
    """(8, 32, 32, 3) uint8 in 32 levels on plain grey, which tells nothing; None where nothing is seen."""
    box = visible_box(frames)
    if box is None:
        return None
    side = max(reference_side, 0.85 * longer_side(box)) * rng.uniform(1.0, 1.15)
    centre_x = (box[0] + box[2]) / 2 + rng.uniform(-0.05, 0.05) * side
    centre_y = (box[1] + box[3]) / 2 + rng.uniform(-0.05, 0.05) * side
    window = (centre_x - side / 2, centre_y - side / 2, centre_x + side / 2, centre_y + side / 2)
    padding = int(side) + 2
    filter_ = Image.Resampling.BOX if side > SIDE else Image.Resampling.BILINEAR
    background = np.full(3, 128.0)
    rendered = []
    for frame in frames:
        pixels = np.asarray(frame).astype(np.float32)
        alpha = pixels[..., 3:] / 255
        premultiplied = np.concatenate([pixels[..., :3] * alpha, alpha * 255], -1)
        premultiplied = np.pad(premultiplied, ((padding, padding), (padding, padding), (0, 0)))
        left, top, right, bottom = (edge + padding for edge in window)
        channels = [np.asarray(Image.fromarray(premultiplied[..., c]).resize((SIDE, SIDE), filter_,
                                                                            box=(left, top, right, bottom)))
                    for c in range(4)]
        rendered.append(np.stack(channels[:3], -1) + background * (1 - channels[3][..., None] / 255))
    clip = np.stack(rendered)
    if flip:
        clip = clip[:, :, ::-1]
    return np.clip(np.round(clip / 8) * 8, 0, 248).astype(np.uint8)


def drop_ambiguous(sprites: list[Sprite]) -> list[Sprite]:
    """The same pictures of one character under two actions: the plainer one stays, or none.

    Flare's ants cast and shoot with their bite, the gods of Seven Kingdoms hover as they fly.
    """
    def pictures(sprite: Sprite) -> frozenset[int]:
        return frozenset(zlib.crc32(frame.crop(box).tobytes()) if (box := frame.getbbox()) else 0
                         for frame in sprite.frames)

    keys = [(sprite.view, pictures(sprite)) for sprite in sprites]
    actions = collections.defaultdict(set)
    for key, sprite in zip(keys, sprites, strict=True):
        actions[key].add(sprite.action)
    return [sprite for key, sprite in zip(keys, sprites, strict=True)
            if len(actions[key]) == 1
            or (sprite.source != "wesnoth" and PLAINER_ACTION.get(frozenset(actions[key])) == sprite.action)]


def assign_splits(sprites: list[Sprite], seed: int = 0) -> dict[str, str]:
    """The split of each family: of many random ones the one whose shares of every action come nearest to `SHARES`."""
    counts: dict[str, np.ndarray] = collections.defaultdict(lambda: np.zeros(len(ACTIONS)))
    for sprite in sprites:
        counts[sprite.family][ACTIONS.index(sprite.action)] += 1
    fixed = {f"flare:{rig}": split for split, rigs in FLARE_SPLIT.items() for rig in rigs}
    families = {source: [family for family in counts if family.startswith(source + ":")] for source in SOURCES}
    best: tuple[float, dict[str, str]] | None = None
    for trial in range(SPLIT_TRIALS):
        rng = np.random.default_rng((seed, trial))
        split_of = dict(fixed)
        for source in SOURCES:
            order = sorted(family for family in families[source] if family not in fixed)
            rng.shuffle(order)
            num_test = max(1, round(SHARES["test"] * len(order)))
            num_val = max(1, round(SHARES["val"] * len(order)))
            for position, family in enumerate(order):
                is_val = position < num_test + num_val
                split_of[family] = "test" if position < num_test else "val" if is_val else "train"
        cost = 0.0
        for source in SOURCES:
            if source == "flare":
                continue
            total = sum((counts[family] for family in families[source]), np.zeros(len(ACTIONS)))
            present = total > 0
            for split, share in SHARES.items():
                found = sum((counts[family] for family in families[source] if split_of[family] == split),
                            np.zeros(len(ACTIONS)))
                miss = (np.abs(found - share * total)[present] / np.sqrt(total[present])).sum()
                cost += float(miss) * (0.5 if split == "val" else 1)
        if best is None or cost < best[0]:
            best = (cost, split_of)
    assert best is not None
    return best[1]


def take_turns(sprites: list[Sprite], rng: np.random.Generator) -> list[Sprite]:
    """A random order in which families take turns, so that none can fill a quota alone."""
    queues = collections.defaultdict(list)
    for index in rng.permutation(len(sprites)):
        queues[sprites[index].family].append(sprites[index])
    order = []
    while any(queues.values()):
        for family in sorted(queues):
            if queues[family]:
                order.append(queues[family].pop())
    return order


def on_common_canvas(sprite: Sprite, stance: Sprite) -> tuple[Sprite, Image.Image]:
    """The sprite and the first picture of its character's stance, placed on one canvas."""
    origin, stance_origin = np.array(sprite.origin), np.array(stance.origin)
    picture = stance.frames[0]
    left, top = np.minimum(stance_origin, origin)
    width = max(stance_origin[0] + picture.width, origin[0] + sprite.frames[0].width) - left
    height = max(stance_origin[1] + picture.height, origin[1] + sprite.frames[0].height) - top

    def place(image: Image.Image, at: np.ndarray) -> Image.Image:
        canvas = Image.new("RGBA", (int(width), int(height)))
        canvas.paste(image, (int(at[0] - left), int(at[1] - top)))
        return canvas

    moved = dataclasses.replace(sprite, frames=[place(frame, origin) for frame in sprite.frames])
    return moved, place(picture, stance_origin)


def make_clips(sprites: list[Sprite], split_of: dict[str, str], rng: np.random.Generator) -> dict[str, list[Clip]]:
    """The clips of each split, without empty, still or repeated ones."""
    stances = {sprite.view: sprite for sprite in sprites
               if sprite.source in ("flare", "freedroid") and sprite.action == "idle"}
    boxes = {id(sprite): box for sprite in sprites if (box := visible_box(sprite.frames)) is not None}
    sprites = [sprite for sprite in sprites if id(sprite) in boxes]
    sides = collections.defaultdict(list)  # of a character, lying down left out
    for sprite in sprites:
        if sprite.action != "die" or sprite.source == "7kaa":
            sides[sprite.source, sprite.character].append(longer_side(boxes[id(sprite)]))
    clips: dict[str, list[Clip]] = {split: [] for split in SHARES}
    seen = set()
    for action_index, action in enumerate(ACTIONS):
        for source_index, source in enumerate(SOURCES):
            cap = CAPS_OF_ACTIONS.get((source, action), CAPS[source])
            for split, share in SHARES.items():
                count = 0
                candidates = [sprite for sprite in sprites if sprite.action == action and sprite.source == source
                              and split_of[sprite.family] == split]
                for sprite in take_turns(candidates, rng):
                    if count >= round(cap * share):
                        break
                    side = np.percentile(sides[source, sprite.character] or [longer_side(boxes[id(sprite)])], 60)
                    stance = None
                    if not sprite.is_loop and sprite.view in stances and sprite.origin is not None:
                        sprite, stance = on_common_canvas(sprite, stances[sprite.view])
                    frames = sample_frames(sprite, stance, rng)
                    flip = bool(rng.random() < 0.5)
                    clip = render(frames, float(side), rng, flip)
                    if clip is None or clip.std() < 4 or clip.tobytes() in seen:
                        continue
                    if np.abs(np.diff(clip.astype(int), axis=0)).max() < 8:
                        continue
                    seen.add(clip.tobytes())
                    clips[split].append(Clip(clip, action_index, source_index, sprite.family,
                                             sprite.character + "|" + sprite.direction))
                    count += 1
    return clips


def write(path: str, arrays: dict[str, np.ndarray]) -> None:
    """An .npz with LZMA, which numpy reads and which is half the size of numpy's own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(name + ".npy", buffer.getvalue())


def main(root: str, seed: int = 0) -> None:
    """Write `video_actions.npz` into `root`, which ends in "/"."""
    found = [sprite for read in READERS.values() for sprite in read() if sprite.action in (*ACTIONS, "cast")]
    sprites = drop_ambiguous([dataclasses.replace(sprite, action="ranged" if sprite.action == "cast" else sprite.action)
                              for sprite in found])
    rng = np.random.default_rng(seed)
    clips = make_clips(sprites, assign_splits(sprites, seed), rng)
    arrays = {"classes": np.array(ACTIONS), "sources": np.array(SOURCES)}
    for split, members in clips.items():
        order = rng.permutation(len(members))
        arrays["x_" + split] = np.stack([clip.frames for clip in members])[order]
        arrays["y_" + split] = np.array([clip.action for clip in members], np.uint8)[order]
        arrays["source_" + split] = np.array([clip.source for clip in members], np.uint8)[order]
        arrays["group_" + split] = np.array([clip.family for clip in members])[order]
        arrays["src_" + split] = np.array([clip.origin for clip in members])[order]
    arrays["meta"] = np.array(json.dumps(META, indent=1))
    write(root + "video_actions.npz", arrays)
    print({key: value.shape for key, value in arrays.items() if value.ndim})


if __name__ == "__main__":
    main(os.environ.get("EMBEDDED_BUILD", "work") + "/")
