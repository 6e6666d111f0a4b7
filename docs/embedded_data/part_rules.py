"""Parts of 0 A.D.'s units and animals by the names of bones, props and meshes.

A part of a body is named by the bone that moves it, a part of the equipment by the prop that it is.
"""

from __future__ import annotations

import functools
import re

import numpy as np

from docs.embedded_data.zero_ad_actor import ROOT, Part, parse_xml

# Parts of each category; a label is a place in the concatenation of all.
_QUADRUPED = ["head", "neck", "body", "foreleg", "hindleg", "tail"]
CATEGORIES = {
    "human": ["head", "helmet", "torso", "arm", "leg", "weapon", "shield"],
    "cavalry": [*_QUADRUPED, "rider", "gear"],
    "equine": _QUADRUPED,
    "bovine": _QUADRUPED,
    "elephant": ["head", "trunk", "body", "foreleg", "hindleg", "tail"],
    "carnivore": _QUADRUPED,
    "swine": ["head", "body", "foreleg", "hindleg", "tail"],
    "bird": ["head", "body", "wing", "tail", "leg"],
}
MERGED = {("elephant", "neck"): "head", ("swine", "neck"): "head", ("swine", "trunk"): "head"}

# Skeleton files by number of bones: a mesh holds numbers only.
SKELETONS = {
    46: "biped", 35: "bovidae_skeleton", 48: "camelus", 29: "deer", 73: "elephant_blender", 58: "elephantidae_asian",
    41: "feline_blender", 31: "giraffe", 25: "goat", 9: "hawk", 44: "ursidae_armature", 42: "mastiff", 34: "peacock",
    24: "rhino", 23: "sheep", 32: "wolf", 43: "zebra", 27: "horse_old", 26: "boar", 40: "fox_armature", 49: "horse",
    16: "chicken", 22: "crocodile",
}
_SPECIES_IN_BONES = ("elephantidae", "bovidae", "ursidae", "hippopotamidae", "camelus", "boar_")
_KINDS = {
    "elephant": r"elephant",
    "equine": r"horse|pony|donkey|zebra|camel\.",
    "bovine": r"cattle|bull|zebu|sanga|wildebeest|auroch|deer|goat|sheep|giraffe",
    "carnivore": r"wolf|mastiff|fox|tiger|bear",
    "swine": r"boar|pig|rhino|hippo",
    "bird": r"hawk|crow|seagull|chicken",
}
_BIRD_PARTS = {"foreleg": "leg", "hindleg": "leg", "neck": "head"}


@functools.cache
def bone_names(num_bones: int, mesh: str) -> list[str] | None:
    """The names of the bones of a mesh, None where its skeleton is not known."""
    skeleton = SKELETONS.get(num_bones)
    if "hippo" in mesh:
        skeleton = "hippopotamus_armature"
    if "wolfhound" in mesh:
        skeleton = "wolfhound"
    if skeleton is None or any(fish in mesh for fish in ("tuna", "shoal", "shark")):
        return None
    root = parse_xml(f"{ROOT}art/skeletons/{skeleton}.xml")
    standard = root.find("standard_skeleton") if root is not None else None
    if standard is None:
        raise ValueError(f"skeleton {skeleton} cannot be read")
    return [bone.get("name", "") for bone in standard.iter("bone")]


def animal_part(bone: str) -> str:
    bone = bone.lower()
    for species_name in _SPECIES_IN_BONES:
        bone = bone.replace(species_name, "")
    if "trunk" in bone:
        return "trunk"
    if re.search(r"neck|cervical|mane|mohawk", bone):
        return "neck"
    if re.search(r"tail|butt\b", bone):
        return "tail"
    if re.search(r"wing|humerus|ulna|digit", bone):
        return "wing"
    if re.search(r"front|arm|hand|finger|shoul?der|clavicle|paw|claw|l_hoof$|r_hoof$|_f_|^(left|right)_(leg|shin|foot)"
                 r"|hoof_[rl]$", bone) and not re.search(r"belly|body|back|(?<!fo)rear", bone):
        return "foreleg"
    if re.search(r"leg|thigh|calf|foot|toe|shin|hip(_|$)|femur|hoof|ankle|_r_", bone):
        return "hindleg"
    if re.search(r"head|jaw|ear(_|\d|tip|$)|tongue|maxila|tusk", bone):
        return "head"
    return "body"


def human_part(bone: str) -> str:
    bone = bone.lower()
    if re.search(r"head|helmet|^neck$", bone):
        return "head"
    if re.search(r"thigh|leg|foot|knee", bone):
        return "leg"
    if re.search(r"arm|hand|finger|elbow|shoulder|weapon|ammo|projectile|shield", bone):
        return "arm"
    return "torso"


def body_kind(mesh: str, num_bones: int) -> str | None:
    """The category of a body by its mesh, None for what the set leaves out."""
    if num_bones == 46 and "new/" in mesh:
        return "human"
    stem = mesh.rsplit("/", 1)[-1]
    return next((kind for kind, pattern in _KINDS.items() if re.search(pattern, stem)), None)


def equipment_part(path: tuple[tuple[str, str], ...]) -> str | None:
    """The part that a human's prop is, None for clothes and the like."""
    words = " ".join(point + " " + actor for point, actor in path).lower()
    on_mount = "horse" in words
    if "shield" in words:
        return "shield"
    if re.search(r"helmet|crest|/hats?|head_(cloth|band)", words) and not on_mount:
        return "helmet"
    if re.search(r"weapon|tools?/|quiver|sheath|ammo|projectile|sword|spear|bow|arrow|staff|axe|pike|javelin|scabbard"
                 r"|blade", words):
        return "weapon"
    if re.search(r"/heads?/|hair|beard", words) and not on_mount and "pony" not in words:
        return "head"
    return None


def harness_part(path: tuple[tuple[str, str], ...]) -> str:
    """The part of an animal that a prop lies on."""
    words = " ".join(actor for _, actor in path).lower() + " " + path[0][0]
    if "tail" in words:
        return "tail"
    if "mane" in words:
        return "neck"
    return "head" if re.search(r"head|tusk|teeth|crest|chamfron|helmet|antler|egret", words) else "body"


def is_of_rider(path: tuple[tuple[str, str], ...]) -> bool:
    return (any(re.match(r"rider|driver|archer|turret", point) for point, _ in path)
            or any("/units/" in "/" + actor and not actor.startswith("props") for _, actor in path))


def _body_faces(part: Part, kind: str) -> np.ndarray | None:
    """(F,) part names by the bones of the corners, two of three decide; None where the bones are not known."""
    bones = bone_names(part.num_bones, part.mesh.rsplit("/", 1)[-1]) if part.num_bones else None
    if bones is None or len(bones) != part.num_bones:
        return None
    rule = human_part if kind == "human" else animal_part
    names = [rule(bone) for bone in bones] + ["torso" if kind == "human" else "body"]
    if kind == "bird":
        names = [_BIRD_PARTS.get(name, name) for name in names]
    of_vertex = np.array(names, object)[np.where(part.bones < part.num_bones, part.bones, part.num_bones)]
    first, second, third = (of_vertex[part.faces[:, corner]] for corner in range(3))
    names_of_faces: np.ndarray = np.where(second == third, second, first)
    return names_of_faces


def label_parts(parts: list[Part]) -> tuple[str, list[np.ndarray]] | None:
    """The category of an actor and, for each of its parts, the (F,) names; None for what the set leaves out.

    A ridden horse is "cavalry", a ridden elephant "war_elephant".
    """
    body = next((part for part in parts if part.path == ()), None)
    kind = body_kind(body.mesh, body.num_bones) if body is not None else None
    if kind is None:
        return None
    labels: list[np.ndarray] = []
    ridden = False
    for part in parts:
        if kind != "human" and is_of_rider(part.path):
            ridden = True
            props = tuple(step for step in part.path if step[1].startswith("props/"))
            is_gear = bool(props) and equipment_part(props) in ("weapon", "shield")
            labels.append(np.full(len(part.faces), "gear" if is_gear else "rider", object))
        elif part.path == ():
            names = _body_faces(part, kind)
            if names is None:
                return None
            labels.append(names)
        elif kind == "human":
            name = equipment_part(part.path) or ("head" if part.path[0][0] in ("head", "helmet") else "torso")
            labels.append(np.full(len(part.faces), name, object))
        else:
            labels.append(np.full(len(part.faces), harness_part(part.path), object))
    if ridden:
        kind = {"equine": "cavalry", "elephant": "war_elephant"}.get(kind, kind)
    return kind, labels


def species(mesh: str) -> str:
    """The species of an animal's mesh, whatever its age, sex and colour."""
    stem = mesh.rsplit("/", 1)[-1].split(".")[0]
    stem = re.sub(r"animal_|_mesh|_adult|_infant|_juvenile|_baby|_male|_female|_no_spikes|_armored|_polar|_[ab]$|_\d+"
                  r"|african_|_asian|_african", "", stem)
    return "horse" if stem.startswith("horse") else stem
