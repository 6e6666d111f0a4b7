"""Units and animals of 0 A.D. in, `pointcloud_seg.npz` out: 1024 points of each posed figure, with part and category.

Source: 0ad-data (CC-BY-SA-3.0), its artist-made actors posed by their own animations. Labels: see `part_rules`.
"""

from __future__ import annotations

import collections
import glob
import os
from typing import NamedTuple

import numpy as np

from docs.embedded_data.part_rules import CATEGORIES, MERGED, label_parts, species
from docs.embedded_data.points import SCALE, centre, face_areas, sample_surface
from docs.embedded_data.zero_ad_actor import ROOT, Part, build

SPLITS = ("train", "val", "test")
# Held-out groups: civilisations of what has people, species of animals.
_TEST_CIVILISATIONS, _VAL_CIVILISATIONS = {"kushites", "persians", "iberians", "han"}, {"macedonians", "gauls"}
TEST_GROUPS = {
    "human": _TEST_CIVILISATIONS,
    "cavalry": _TEST_CIVILISATIONS,
    "equine": {"zebra", "donkey"},
    "bovine": {"wildebeest", "goat", "giraffe", "sanga_cattle"},
    "elephant": {"elephant_bush", "elephant_african_bush", "maur_elephant_archer", "maur_elephant_hero"},
    "carnivore": {"wolfhound", "bear"},
    "swine": {"boar", "rhino"},
    "bird": {"seagull"},
}
VAL_GROUPS = {
    "human": _VAL_CIVILISATIONS,
    "cavalry": _VAL_CIVILISATIONS,
    "equine": {"pony"},
    "bovine": {"sheep"},
    "elephant": {"elephant_forest"},
    "carnivore": {"fox"},
    "swine": {"piglet"},
    "bird": {"crow"},
}
COUNTS = {  # of train, val, test
    "human": (280, 50, 110), "cavalry": (240, 40, 90), "equine": (130, 25, 50), "bovine": (170, 25, 60),
    "elephant": (120, 25, 50), "carnivore": (140, 25, 50), "swine": (100, 20, 40), "bird": (90, 20, 40),
}
POSES = {"idle": 0.2, "walk": 0.25, "run": 0.2, "attack_melee": 0.15, "attack_ranged": 0.05, "death": 0.1, "": 0.05}
_LATEST_POSE_SECONDS = 2.5


class Figure(NamedTuple):
    """One sample."""

    points: np.ndarray  # (N, 3) float32
    parts: np.ndarray  # (N,) uint8, within the category
    category: int
    origin: str


def sample_figure(parts: list[Part], labels: list[np.ndarray], category: str,
                  rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Points and their parts; None where more than a fifth of the faces has no part of the category."""
    vertices = np.concatenate([part.vertices[0] for part in parts])
    offsets = np.cumsum([0] + [part.vertices.shape[1] for part in parts])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets[:-1], strict=True)])
    names = [MERGED.get((category, name), name) for name in np.concatenate(labels)]
    number = {name: i for i, name in enumerate(CATEGORIES[category])}
    known = np.array([name in number for name in names])
    areas = face_areas(vertices, faces) * known
    if not np.isfinite(areas).all() or areas.sum() <= 0 or known.mean() < 0.8:
        return None
    points, chosen = sample_surface(vertices, faces, areas, rng)
    points = centre(points)
    points /= np.linalg.norm(points, axis=1).max()
    return points.astype(np.float32), np.array([number[names[face]] for face in chosen], np.uint8)


def pool_actors(rng: np.random.Generator) -> dict[str, dict[str, list[str]]]:
    """Actors by category and group (civilisation or species)."""
    actors = sorted(os.path.relpath(path, ROOT + "art/actors") for folder in ("units", "fauna")
                    for path in glob.glob(f"{ROOT}art/actors/{folder}/**/*.xml", recursive=True))
    pool: dict[str, dict[str, list[str]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for actor in actors:
        parts = build(actor, rng, ("idle",), "idle", [0.5])
        labelled = label_parts(parts) if parts else None
        if labelled is None:
            continue
        category = "elephant" if labelled[0] == "war_elephant" else labelled[0]
        if category in ("human", "cavalry"):
            group = actor.split("/")[1]
        else:
            group = species(next(part for part in parts if part.path == ()).mesh)
        pool[category][group].append(actor)
    return pool


def draw_figures(category: str, groups: dict[str, list[str]], count: int, rng: np.random.Generator) -> list[Figure]:
    """`count` figures, or as many as 8 * `count` tries give; a group is drawn first, then its actor and a pose."""
    figures: list[Figure] = []
    names, tries = sorted(groups), 0
    while names and len(figures) < count and tries < 8 * count:
        tries += 1
        group = names[rng.integers(len(names))]
        actor = groups[group][rng.integers(len(groups[group]))]
        pose = list(POSES)[rng.choice(len(POSES), p=list(POSES.values()))]
        parts = build(actor, rng, (pose,), pose or "idle", [rng.uniform(0, _LATEST_POSE_SECONDS)])
        labelled = label_parts(parts) if parts else None
        if labelled is None or labelled[0] != category:
            continue
        sampled = sample_figure(parts, labelled[1], category, rng)
        if sampled is not None:
            figures.append(Figure(*sampled, list(CATEGORIES).index(category), f"{actor}|{pose}"))
    return figures


def main(root: str, seed: int = 0) -> None:
    """Write `pointcloud_seg.npz` into `root`, which ends in "/"."""
    rng = np.random.default_rng(seed)
    pool = pool_actors(rng)
    figures: dict[str, list[Figure]] = {split: [] for split in SPLITS}
    for category in CATEGORIES:
        test, val = TEST_GROUPS[category], VAL_GROUPS[category]
        for split, count in zip(SPLITS, COUNTS[category], strict=True):
            groups = {group: actors for group, actors in pool[category].items()
                      if split == ("test" if group in test else "val" if group in val else "train")}
            drawn = draw_figures(category, groups, count, rng)
            figures[split] += drawn
            print(category, split, len(drawn), sorted(groups)[:12], flush=True)
    offsets = np.cumsum([0] + [len(parts) for parts in CATEGORIES.values()])
    arrays: dict[str, np.ndarray] = {}
    for split in SPLITS:
        order = rng.permutation(len(figures[split]))
        chosen = [figures[split][i] for i in order]
        category_ids = np.array([figure.category for figure in chosen], np.uint8)
        clouds = np.round(np.stack([figure.points for figure in chosen]) * SCALE).astype(np.int8)
        part_ids = (np.stack([figure.parts for figure in chosen]) + offsets[category_ids][:, None]).astype(np.uint8)
        for i, cloud in enumerate(clouds):  # sorted points compress better
            by_place = np.lexsort((cloud[:, 0] // 4, cloud[:, 2] // 16, part_ids[i]))
            clouds[i], part_ids[i] = cloud[by_place], part_ids[i][by_place]
        arrays["x_" + split], arrays["part_" + split], arrays["cat_" + split] = clouds, part_ids, category_ids
        arrays["src_" + split] = np.array([figure.origin for figure in chosen])
    arrays["scale"] = np.array(SCALE, np.float32)
    arrays["categories"] = np.array(list(CATEGORIES))
    arrays["part_names"] = np.array([f"{category}/{part}" for category, parts in CATEGORIES.items() for part in parts])
    arrays["part_offset"] = offsets
    np.savez_compressed(root + "pointcloud_seg.npz", **arrays)  # type: ignore[arg-type]
    print({key: value.shape for key, value in arrays.items()})


if __name__ == "__main__":
    main(os.environ.get("EMBEDDED_BUILD", "work") + "/")
