"""An actor of 0 A.D. in, its posed parts out: body and props, each a mesh placed in the actor's space.

An actor file lists groups of variants; one variant of each group is drawn, later groups replace what earlier ones set.

Shapes: V vertices, F faces, K bones, T poses.
"""

from __future__ import annotations

import functools
import os
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from docs.embedded_data.zero_ad_mesh import Animation, Mesh, read_animation, read_mesh, rotation_matrix, skin

ROOT = os.environ.get("EMBEDDED_BUILD", "work") + "/oad/"
NO_BONE = 255
_UNREADABLE = (OSError, ValueError, IndexError, struct.error)


@dataclass
class Variant:
    """One choice of a group."""

    name: str = ""
    frequency: float = 0
    mesh: str | None = None
    props: list[tuple[str | None, str | None]] = field(default_factory=list)  # attach point, actor
    animations: list[tuple[str, str]] = field(default_factory=list)  # name in lower case, file


@dataclass
class Resolved:
    """What one draw of variants gives."""

    mesh: str | None = None
    props: dict[str | None, list[str]] = field(default_factory=dict)  # attach point -> actors
    animations: dict[str, list[str]] = field(default_factory=dict)  # name -> files


@dataclass
class Part:
    """One placed mesh."""

    vertices: np.ndarray  # (T, V, 3)
    faces: np.ndarray  # (F, 3)
    path: tuple[tuple[str, str], ...]  # (attach point, actor) from the body to this prop; () for the body
    mesh: str
    bones: np.ndarray  # (V,) the bone of largest weight, or NO_BONE
    num_bones: int


@functools.cache
def parse_xml(path: str) -> ElementTree.Element | None:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ValueError, ElementTree.ParseError):
        return None


def _find(kind: str, file: str, extension: str) -> str | None:
    stem = os.path.splitext(file)[0]
    for path in (f"{ROOT}art/{kind}/{file}.cached.{extension}", f"{ROOT}art/{kind}/{stem}.{extension}"):
        if os.path.exists(path):
            return path
    return None


@functools.lru_cache(600)
def load_mesh(file: str) -> Mesh | None:
    path = _find("meshes", file, "pmd")
    try:
        return read_mesh(path) if path else None
    except _UNREADABLE:
        return None


@functools.lru_cache(600)
def load_animation(file: str) -> Animation | None:
    path = _find("animation", file, "psa")
    try:
        return read_animation(path) if path else None
    except _UNREADABLE:
        return None


def read_variant(element: ElementTree.Element, depth: int = 0) -> Variant:
    """A variant with all that it inherits from the file that it names."""
    variant = Variant()
    if element.get("file") and depth < 5:
        base = parse_xml(f"{ROOT}art/variants/{element.get('file')}")
        if base is not None:
            variant = read_variant(base, depth + 1)
    variant.name = element.get("name") or variant.name
    frequency = element.get("frequency")
    if frequency:
        variant.frequency = float(frequency)
    mesh = element.find("mesh")
    if mesh is not None and mesh.text:
        variant.mesh = mesh.text.strip()
    variant.props = variant.props + [(prop.get("attachpoint"), prop.get("actor"))
                                     for prop in element.iterfind("props/prop")]
    variant.animations = variant.animations + [(animation.get("name", "").lower(), file)
                                               for animation in element.iterfind("animations/animation")
                                               if (file := animation.get("file"))]
    return variant


@functools.cache
def read_groups(actor: str) -> list[list[Variant]] | None:
    """The groups of variants of an actor, None where it cannot be read; of several quality levels the first."""
    root = parse_xml(f"{ROOT}art/actors/{actor}")
    if root is None:
        return None
    if root.tag == "qualitylevels":
        level = root.find("actor")
        if level is None or level.find("group") is None:
            file = level.get("file") if level is not None else None
            return read_groups(file) if file else None
        root = level
    return [[read_variant(variant) for variant in group.findall("variant")] for group in root.findall("group")]


def resolve(actor: str, rng: np.random.Generator, selected: Collection[str] = ()) -> Resolved | None:
    """One draw of variants by their frequencies; variants named in `selected` come first."""
    groups = read_groups(actor)
    if groups is None:
        return None
    result = Resolved()
    for group in groups:
        if not group:
            continue
        named = [variant for variant in group if variant.name.lower() in selected]
        if named:
            variant = named[0]
        else:
            frequencies = np.array([variant.frequency for variant in group])
            total = frequencies.sum()
            variant = group[rng.choice(len(group), p=frequencies / total)] if total > 0 else group[0]
        if variant.mesh:
            result.mesh = variant.mesh
        for point in {point for point, _ in variant.props}:
            result.props.pop(point, None)
        for point, prop in variant.props:
            if prop:
                result.props.setdefault(point, []).append(prop)
        for name in {name for name, _ in variant.animations}:
            result.animations.pop(name, None)
        for name, file in variant.animations:
            result.animations.setdefault(name, []).append(file)
    return result


def placement(state: np.ndarray) -> np.ndarray:
    """(..., 7) -> (..., 4, 4) float32"""
    matrix = np.zeros((*state.shape[:-1], 4, 4), np.float32)
    matrix[..., :3, :3] = rotation_matrix(state[..., 3:])
    matrix[..., :3, 3] = state[..., :3]
    matrix[..., 3, 3] = 1
    return matrix


def _bone_states(mesh: Mesh, resolved: Resolved, rng: np.random.Generator, animation_name: str | None,
                 seconds: Sequence[float]) -> np.ndarray | None:
    """(T, K, 7) at the given times, None where the mesh is still; a death does not repeat."""
    num_bones, file = len(mesh.rest), None
    if animation_name and num_bones:
        files = resolved.animations.get(animation_name) or resolved.animations.get("idle")
        if files:
            file = files[rng.integers(len(files))]
    animation = load_animation(file) if file and num_bones else None
    if animation is None or animation.states.shape[1] != num_bones or not len(animation.states):
        return None
    num_frames = len(animation.states)
    frames = np.round(np.asarray(seconds) / (animation.frame_milliseconds / 1000.0)).astype(int)
    is_death = "death" in (animation_name or "")
    states: np.ndarray = animation.states[np.minimum(frames, num_frames - 1) if is_death else frames % num_frames]
    return states


def _prop_placement(mesh: Mesh, states: np.ndarray | None, point: str | None, num_poses: int) -> np.ndarray | None:
    """(T, 4, 4) of an attach point, None where the mesh has no such point (the root always exists)."""
    found = mesh.prop_points.get(point or "")
    if found is None:
        return np.repeat(np.eye(4, dtype=np.float32)[None], num_poses, 0) if point == "root" else None
    local = placement(found[0])
    if found[1] >= len(mesh.rest):
        return np.repeat(local[None], num_poses, 0)
    if states is not None:
        bone = placement(states[:, found[1]])
    else:
        bone = np.repeat(placement(mesh.rest[found[1]])[None], num_poses, 0)
    placed: np.ndarray = bone @ local
    return placed


def build(actor: str, rng: np.random.Generator, selected: Collection[str], animation_name: str | None,
          seconds: Sequence[float], path: tuple[tuple[str, str], ...] = ()) -> list[Part]:
    """The parts of an actor at the given times of an animation, which its props play too; [] where it has none."""
    resolved = resolve(actor, rng, selected)
    if resolved is None or len(path) > 5:
        return []
    num_poses, parts, states = len(seconds), [], None
    mesh = load_mesh(resolved.mesh) if resolved.mesh else None
    if mesh is not None and resolved.mesh:
        num_bones = len(mesh.rest)
        states = _bone_states(mesh, resolved, rng, animation_name, seconds)
        vertices = skin(mesh, states) if states is not None else np.repeat(mesh.vertices["p"][None], num_poses, 0)
        bones, weights = mesh.vertices["b"], mesh.vertices["w"].copy()
        weights[bones >= max(num_bones, 1)] = 0
        strongest = np.where(weights.sum(1) > 0, bones[np.arange(len(bones)), weights.argmax(1)], NO_BONE)
        if len(mesh.faces) > 1:
            parts.append(Part(vertices, mesh.faces, path, resolved.mesh, strongest, num_bones))
    for point, props in resolved.props.items():
        for prop in props:
            prop_parts = build(prop, rng, selected, animation_name, seconds, (*path, (point or "", prop)))
            if not prop_parts:
                continue
            placed: np.ndarray | None = np.repeat(np.eye(4, dtype=np.float32)[None], num_poses, 0)
            if mesh is not None:
                placed = _prop_placement(mesh, states, point, num_poses)
            if placed is None:
                continue
            for part in prop_parts:
                part.vertices = np.einsum("tij,tvj->tvi", placed[:, :3, :3], part.vertices) + placed[:, None, :3, 3]
                parts.append(part)
    return parts
