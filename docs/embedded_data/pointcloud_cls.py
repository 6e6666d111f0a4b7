"""Meshes of 0 A.D. and Sweet Home 3D in, `pointcloud_cls.npz` out: 1024 points of each shape, with its class.

Sources: 0ad-data (CC-BY-SA-3.0), sweethome3d-furniture (CC-BY-3.0 or CC0). Classes follow from names by rules.
"""

from __future__ import annotations

import collections
import glob
import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from docs.embedded_data.points import SCALE, centre, face_areas, sample_surface
from docs.embedded_data.zero_ad_mesh import read_mesh

MIN_CLASS_SIZE = 38
SPLITS = ("train", "val", "test")

ZERO_AD_RULES = [
    ("helmet", r"^props/(new/)?helmet/|^props/(new/)?helmet"),
    ("shield", r"^props/shield/"),
    ("weapon", r"^props/(weapons/|weap_|spear|sword|tool_|.*axe|.*javelin|.*mace)"),
    ("mushroom", r"^gaia/mushrooms/"),
    ("palm", r"^gaia/.*(palm|senegal|banana)"),
    ("conifer", r"^gaia/.*(pine|fir_|cypress|cedar|juniper)"),
    ("broadleaf", r"^gaia/.*(oak|decidu|carob|baobab|tropic|teak|apple|poplar|kapok|banyan|tamarix|euro|beech|maple"
                  r"|bamboo|tree_)"),
    ("bush", r"^gaia/.*(bush|shrub|plant|grass|reed|fern|lavender|berry|fol_)"),
    ("rock", r"^gaia/.*(rock|stone|cliff|boulder|granite|mine|geo_)"),
    ("animal", r"^skeletal/(?!new|campaigns|.*(trader|target|bird_circle|fish_shoal|cart)).*"),
    ("human", r"^skeletal/(new|campaigns)/"),
    ("wall", r"^structural/.*wall(?!.*(tower|gate))"),
    ("tower", r"^structural/.*tower"),
    ("ship", r"^structural/.*(ship|trireme|bireme|boat|quinq|pentek|merchant|longship)"),
    ("foundation", r"^structural/found_"),
    ("house", r"^structural/.*house(?!.*store)"),
    ("temple", r"^structural/.*(temple|stoa|wonder|pyramid|theater)"),
    ("hall", r"^structural/.*(barracks|civic|_cc|fortress|market|stable|storehouse|farmstead|blacksmith|range|workshop"
             r"|embassy|gym)"),
    ("pottery", r"^props/.*(amphora|vase|barrel|basket|pot_|jar)"),
    ("chariot_cart", r"^(structural|props|skeletal)/.*(chariot|cart|wagon)"),
]
FURNITURE_RULES = [
    ("chair", r"chair|stool|armchair|seat"),
    ("table", r"table|desk"),
    ("lamp", r"lamp|light|lantern|chandelier"),
    ("cabinet", r"cabinet|wardrobe|bookcase|shelv|shelf|drawer|dresser|cupboard|sideboard|vanity|nightstand|chest"),
    ("bed", r"\bbed\b|bunk|crib"),
    ("sofa", r"sofa|couch|bench"),
    ("door_window", r"door|window"),
    ("plant", r"plant|ficus|flower|tree|bush|hedge"),
    ("person", r"\b(fe)?male|boy|girl|man\b|woman"),
    ("vehicle", r"sedan|truck|\bbus\b|car\b|scooter|bike|van\b|vehicle"),
]
_ANIMAL_NAMES = (r"horse|cat|dog|chicken|cow|pig|bird|rabbit|fish|sheep|duck|goat|bear|elephant|lion|pony")
_NAME_ENDINGS = (r"(_?\d+|_[a-z]|_(left|right|struct|new|dead|old|sm|la|me|small|large|med|short|long|bronze|iron|steel"
                 r"|gold|silver))+$")


class Shape(NamedTuple):
    """One mesh with its class."""

    label: str
    group: str  # shapes of one group stay in one split: the name without what tells its variants apart
    name: str
    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)


def read_obj(path: str) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) float32 vertices and (F, 3) triangles of a Wavefront file; polygons become fans."""
    vertices: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    with open(path, errors="ignore") as file:
        for line in file:
            if line.startswith("v "):
                vertices.append([float(x) for x in line.split()[1:4]])
            elif line.startswith("f "):
                corners = [int(token.split("/")[0]) for token in line.split()[1:]]
                corners = [k - 1 if k > 0 else len(vertices) + k for k in corners]
                faces += [(corners[0], corners[j], corners[j + 1]) for j in range(1, len(corners) - 1)]
    return np.array(vertices, np.float32), np.array(faces)


def sample_shape(vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """(N, 3) in the unit sphere, None for meshes that are too simple or broken"""
    if len(faces) < 8 or faces.max() >= len(vertices):
        return None
    areas = face_areas(vertices, faces)
    if not np.isfinite(areas).all() or areas.sum() <= 0:
        return None
    points = centre(sample_surface(vertices, faces, areas, rng)[0])
    radius = np.linalg.norm(points, axis=1).max()
    return points / radius if radius > 0 else None


def zero_ad_shapes(root: str) -> Iterator[Shape]:
    folder = root + "oad/art/meshes/"
    for path in sorted(glob.glob(folder + "**/*.pmd", recursive=True)):
        name = path[len(folder):].replace(".dae.cached.pmd", "").replace(".pmd", "")
        label = next((label for label, pattern in ZERO_AD_RULES if re.search(pattern, name)), None)
        if label is None:
            continue
        stem = re.sub(_NAME_ENDINGS, "", os.path.basename(name))
        try:
            mesh = read_mesh(path)
        except (OSError, ValueError, IndexError, struct.error):
            continue
        yield Shape(label, label + "|" + stem, name, mesh.vertices["p"], mesh.faces)


def furniture_shapes(root: str) -> Iterator[Shape]:
    for catalog in sorted(glob.glob(root + "fur/*/PluginFurnitureCatalog.properties")):
        with open(catalog, encoding="latin1") as file:
            text = file.read()
        entries: dict[int, dict[str, str]] = collections.defaultdict(dict)
        for match in re.finditer(r"^(\w+)#(\d+)=(.*)$", text, re.MULTILINE):
            entries[int(match[2])][match[1]] = match[3].strip()
        for number in sorted(entries):
            shape = _furniture_shape(catalog, entries[number])
            if shape is not None:
                yield shape


def _furniture_shape(catalog: str, entry: dict[str, str]) -> Shape | None:
    name = (entry.get("name") or "").lower()
    label = next((label for label, pattern in FURNITURE_RULES if re.search(pattern, name)), None)
    if entry.get("category") == "Characters":
        label = "animal" if re.search(_ANIMAL_NAMES, name) else "person"
    if entry.get("category") == "Vehicles" and label is None:
        label = "vehicle"
    if label is None or not entry.get("model"):
        return None
    model = entry["model"]
    path = os.path.dirname(catalog) + model
    if not path.endswith(".obj") or not os.path.exists(path):
        return None
    vertices, faces = read_obj(path)
    if len(faces) == 0:
        return None
    if entry.get("modelRotation"):
        rotation = np.array([float(x) for x in entry["modelRotation"].split()]).reshape(3, 3)
        vertices = vertices @ rotation.T.astype(np.float32)
    stem = re.sub(r"[\d\W_]+$", "", os.path.basename(model)[:-4])
    return Shape("human" if label == "person" else label, label + "|" + stem, catalog.split("/")[-2] + model, vertices,
                 faces)


def collect(root: str, rng: np.random.Generator) -> dict[str, dict[str, list[tuple[np.ndarray, str]]]]:
    """(points, name) by class and group; a mesh that comes again under another name is dropped."""
    found: dict[str, dict[str, list[tuple[np.ndarray, str]]]]
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    seen = set()
    for shapes in (zero_ad_shapes(root), furniture_shapes(root)):
        for shape in shapes:
            points = sample_shape(shape.vertices.astype(np.float64), shape.faces, rng)
            if points is None:
                continue
            extent = shape.vertices.max(0) - shape.vertices.min(0)
            proportions = tuple(np.round(extent / max(extent.max(), 1e-9), 3))
            key = (len(shape.vertices), len(shape.faces), proportions)
            if key in seen:
                continue
            seen.add(key)
            found[shape.label][shape.group].append((points.astype(np.float32), shape.name))
    return found


def split_class(groups: dict[str, list[tuple[np.ndarray, str]]], cap: int,
                rng: np.random.Generator) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Whole groups to test until 27 % of at most `cap` shapes are there, then val (10 %), then train (63 %)."""
    order = sorted(groups)
    rng.shuffle(order)
    total = min(cap, sum(map(len, groups.values())))
    wanted = {"test": 0.27 * total, "val": 0.1 * total, "train": 0.63 * total}
    members: dict[str, list[tuple[np.ndarray, str]]] = {split: [] for split in SPLITS}
    current = "test"
    for group in order:
        members[current] += groups[group][:max(3, total // 12)]
        if len(members[current]) >= wanted[current]:
            if current == "train":
                break
            current = {"test": "val", "val": "train"}[current]
    return members


def main(root: str, cap: int = 190, seed: int = 0) -> None:
    """Write `pointcloud_cls.npz` into `root`, which ends in "/"."""
    rng = np.random.default_rng(seed)
    found = collect(root, rng)
    classes = [label for label in found if sum(map(len, found[label].values())) >= MIN_CLASS_SIZE]
    members: dict[str, list[tuple[np.ndarray, int, str]]] = {split: [] for split in SPLITS}
    for index, label in enumerate(classes):
        for split, shapes in split_class(found[label], cap, rng).items():
            members[split] += [(points, index, name) for points, name in shapes]
    arrays: dict[str, np.ndarray] = {"classes": np.array(classes), "scale": np.array(SCALE, np.float32)}
    for split in SPLITS:
        order = rng.permutation(len(members[split]))
        clouds = np.round(np.stack([points for points, _, _ in members[split]])[order] * SCALE).astype(np.int8)
        for i, cloud in enumerate(clouds):  # sorted points compress better
            clouds[i] = cloud[np.lexsort((cloud[:, 0] // 4, cloud[:, 2] // 16))]
        arrays["x_" + split] = clouds
        arrays["y_" + split] = np.array([label for _, label, _ in members[split]], np.uint8)[order]
        arrays["src_" + split] = np.array([name for _, _, name in members[split]])[order]
    np.savez_compressed(root + "pointcloud_cls.npz", **arrays)  # type: ignore[arg-type]
    print({key: value.shape for key, value in arrays.items()})


if __name__ == "__main__":
    main(os.environ.get("EMBEDDED_BUILD", "work") + "/")
