"""Emoji drawings of six artists in, `image_emoji.npz` out: 32x32 RGB on white, with class and vendor.

Classes join Unicode subgroups; splits are by concept. Sources: the npm packages of `fetch.sh`, under the licences of
`../embedded/LICENSE`.
"""

from __future__ import annotations

import collections
import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import cairosvg  # type: ignore[import-not-found]  # needed to rebuild only
import numpy as np
from PIL import Image

SIDE = 32
SPLITS = ("train", "val", "test")
CLASSES = {  # Unicode subgroups of each
    "face": "face-smiling face-affection face-tongue face-hand face-neutral-skeptical face-sleepy face-unwell face-hat"
            " face-glasses face-concerned face-negative",
    "hand": "hand-fingers-open hand-fingers-partial hand-single-finger hand-fingers-closed hands hand-prop",
    "person": "person-gesture person-role person-fantasy person",
    "activity": "person-sport person-activity person-resting",
    "mammal": "animal-mammal monkey-face",
    "bird": "animal-bird",
    "creature": "animal-marine animal-bug animal-reptile animal-amphibian",
    "plant": "plant-flower plant-other",
    "fruit_veg": "food-fruit food-vegetable",
    "dish": "food-prepared food-asian food-sweet",
    "drink": "drink dishware",
    "building": "place-building place-religious place-geographic place-other",
    "land_vehicle": "transport-ground",
    "craft": "transport-air transport-water",
    "sky": "sky-weather",
    "sport_game": "sport game award-medal event",
    "clothing": "clothing",
    "device": "phone computer light-video sound musical-instrument",
    "paper": "book-paper mail office writing",
    "tool": "tool science medical lock household",
    "symbol": "arrow av-symbol other-symbol religion zodiac warning transport-sign",
    "flag": "country-flag",
}


class Drawing(NamedTuple):
    """Where one artist's drawing is."""

    kind: Literal["bitmap", "svg_file", "svg"]
    content: str  # path, or the SVG itself


def normalise_code(code: str) -> str:
    """A sequence of code points in upper case, joined by "-", without variation selectors."""
    return "-".join(point for point in code.upper().replace("_", "-").split("-") if point != "FE0F")


def on_white(image: Image.Image) -> np.ndarray:
    """(32, 32, 3) uint8"""
    image = image.convert("RGBA")
    background = Image.new("RGBA", image.size, (255, 255, 255, 255))
    background.alpha_composite(image)
    return np.asarray(background.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def draw(drawing: Drawing) -> np.ndarray:
    """(32, 32, 3) uint8"""
    if drawing.kind == "bitmap":
        return on_white(Image.open(drawing.content))
    source = drawing.content
    if drawing.kind == "svg_file":
        with open(source) as file:
            source = file.read()
    png = cairosvg.svg2png(bytestring=source.encode(), output_width=96, output_height=96)
    return on_white(Image.open(io.BytesIO(png)))


def _files(folder: str, kind: Literal["bitmap", "svg_file"], ending: str = "") -> dict[str, Drawing]:
    return {normalise_code(file[:file.rindex(".")]): Drawing(kind, folder + file)
            for file in os.listdir(folder) if file.endswith(ending)}


def vendors(modules: str) -> Iterator[tuple[str, dict[str, Drawing]]]:
    """Every artist with the drawings by code; `modules` is the npm folder."""
    yield "noto", _files(modules + "emoji-datasource-google/img/google/64/", "bitmap")
    yield "twemoji", _files(modules + "emoji-datasource-twitter/img/twitter/64/", "bitmap")
    yield "openmoji", _files(modules + "openmoji/color/svg/", "svg_file", ".svg")
    yield "fluent3d", _files(modules + "@lobehub/fluent-emoji-3d/assets/", "bitmap", ".webp")
    code_of_name = {name: normalise_code(code)
                    for code, name in _json(modules + "@iconify-json/noto/chars.json").items()}
    for package in ("emojione", "noto-v1"):
        icons = _json(f"{modules}@iconify-json/{package}/icons.json")
        width, height = icons.get("width", 16), icons.get("height", 16)
        drawings = {}
        for name, icon in icons["icons"].items():
            if code_of_name.get(name):
                corner = f"{icon.get('left', 0)} {icon.get('top', 0)}"
                size = f"{icon.get('width', width)} {icon.get('height', height)}"
                drawings[code_of_name[name]] = Drawing(
                    "svg", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                           f'viewBox="{corner} {size}">{icon["body"]}</svg>')
        yield package, drawings


def _json(path: str) -> Any:
    with open(path) as file:
        return json.load(file)


def concepts(modules: str) -> dict[tuple[int, str], list[str]]:
    """Codes by class and concept: drawings of a man, a woman and a person doing the same are one concept."""
    subgroups = _json(modules + "emojibase-data/meta/groups.json")["subgroups"]
    class_of = {subgroup: i for i, names in enumerate(CLASSES.values()) for subgroup in names.split()}
    found = collections.defaultdict(list)
    for emoji in _json(modules + "emojibase-data/en/data.json"):
        subgroup = subgroups.get(str(emoji.get("subgroup")))
        if subgroup in class_of:
            label = emoji["label"]
            stem = re.sub(r"^(man|woman|person|men|women|people)\b[: -]*", "", label.lower()).strip() or label
            stem = re.sub(r"\b(man|woman|men|women|person)\b", "", stem).strip()
            found[class_of[subgroup], stem].append(normalise_code(emoji["hexcode"]))
    return found


def main(root: str, cap: int = 44, seed: int = 0) -> None:
    """Write `image_emoji.npz` into `root`, which ends in "/": at most `cap` concepts a class, 27 % test, 10 % val."""
    modules = root + "npm/node_modules/"
    rng = np.random.default_rng(seed)
    codes_of, artists = concepts(modules), dict(vendors(modules))
    members: dict[str, list[tuple[np.ndarray, int, int]]] = {split: [] for split in SPLITS}
    seen = set()
    for label in range(len(CLASSES)):
        order = sorted(key for key in codes_of if key[0] == label)
        rng.shuffle(order)
        order = order[:cap]
        for position, key in enumerate(order):
            is_test, is_val = position < round(0.27 * len(order)), position < round(0.37 * len(order))
            split = "test" if is_test else "val" if is_val else "train"
            for vendor, drawings in enumerate(artists.values()):
                codes = [code for code in codes_of[key[0], str(key[1])] if code in drawings]
                if not codes:
                    continue
                code = codes[rng.integers(len(codes))]
                try:
                    image = draw(drawings[code])
                except Exception as error:
                    print("cannot be drawn:", list(artists)[vendor], code, error)
                    continue
                if image.tobytes() in seen:  # the same drawing under another name, such as a flag of two territories
                    continue
                seen.add(image.tobytes())
                members[split].append((image, label, vendor))
    arrays = {"classes": np.array(list(CLASSES)), "vendors": np.array(list(artists))}
    for split in SPLITS:
        permutation = rng.permutation(len(members[split]))
        arrays["x_" + split] = np.stack([image for image, _, _ in members[split]])[permutation]
        arrays["y_" + split] = np.array([label for _, label, _ in members[split]], np.uint8)[permutation]
        arrays["vendor_" + split] = np.array([vendor for _, _, vendor in members[split]], np.uint8)[permutation]
    np.savez_compressed(root + "image_emoji.npz", **arrays)  # type: ignore[arg-type]
    print({key: value.shape for key, value in arrays.items()})


if __name__ == "__main__":
    main(os.environ.get("EMBEDDED_BUILD", "work") + "/")
