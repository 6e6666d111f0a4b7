"""Mesh (PMD) and animation (PSA) files of 0 A.D. in, arrays out; and skinning.

Shapes: V vertices, F faces, K bones, T poses. A bone state is 7 floats: translation (3), quaternion x y z w (4).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np


@dataclass
class Mesh:
    """One PMD file. Fields of `vertices`: p position, n normal, uv, b four bone indices, w their weights."""

    vertices: np.ndarray  # (V,) structured
    faces: np.ndarray  # (F, 3) int
    rest: np.ndarray  # (K, 7) bone states of the rest pose
    prop_points: dict[str, tuple[np.ndarray, int]]  # name -> state (7,), index of its bone


@dataclass
class Animation:
    """One PSA file."""

    frame_milliseconds: float
    states: np.ndarray  # (frames, K, 7)


def read_mesh(path: str) -> Mesh:
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] != b"PSMD":
        raise ValueError(f"{path} is not a PMD mesh")
    version, _, num_vertices = struct.unpack_from("<III", data, 4)
    offset, num_uv = 16, 1
    if version >= 4:
        (num_uv,) = struct.unpack_from("<I", data, offset)
        offset += 4
    layout = np.dtype([("p", "<f4", 3), ("n", "<f4", 3), ("uv", "<f4", 2 * num_uv), ("b", "u1", 4), ("w", "<f4", 4)])
    vertices = np.frombuffer(data, layout, num_vertices, offset)
    offset += layout.itemsize * num_vertices
    (num_faces,) = struct.unpack_from("<I", data, offset)
    offset += 4
    faces = np.frombuffer(data, "<u2", 3 * num_faces, offset).reshape(-1, 3)
    offset += 6 * num_faces
    (num_bones,) = struct.unpack_from("<I", data, offset)
    offset += 4
    rest = np.frombuffer(data, "<f4", 7 * num_bones, offset).reshape(-1, 7)
    offset += 28 * num_bones
    prop_points = {}
    if version >= 2:
        (num_points,) = struct.unpack_from("<I", data, offset)
        offset += 4
        for _ in range(num_points):
            (length,) = struct.unpack_from("<I", data, offset)
            offset += 4
            name = data[offset:offset + length].decode("latin1")
            offset += length
            prop_points[name] = (np.frombuffer(data, "<f4", 7, offset), data[offset + 28])
            offset += 29
    return Mesh(vertices, faces.astype(int), rest, prop_points)


def read_animation(path: str) -> Animation:
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] != b"PSSA":
        raise ValueError(f"{path} is not a PSA animation")
    _, _, name_length = struct.unpack_from("<III", data, 4)
    offset = 16 + name_length
    frame_milliseconds, num_bones, num_frames = struct.unpack_from("<fII", data, offset)
    states = np.frombuffer(data, "<f4", 7 * num_bones * num_frames, offset + 12).reshape(num_frames, num_bones, 7)
    return Animation(frame_milliseconds, states)


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """(..., 4) as x y z w -> (..., 3, 3) float32"""
    x, y, z, w = (quaternion[..., i] for i in range(4))
    matrix = np.empty((*quaternion.shape[:-1], 3, 3), np.float32)
    matrix[..., 0, 0] = 1 - 2 * (y * y + z * z)
    matrix[..., 0, 1] = 2 * (x * y - z * w)
    matrix[..., 0, 2] = 2 * (x * z + y * w)
    matrix[..., 1, 0] = 2 * (x * y + z * w)
    matrix[..., 1, 1] = 1 - 2 * (x * x + z * z)
    matrix[..., 1, 2] = 2 * (y * z - x * w)
    matrix[..., 2, 0] = 2 * (x * z - y * w)
    matrix[..., 2, 1] = 2 * (y * z + x * w)
    matrix[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return matrix


def skin(mesh: Mesh, states: np.ndarray) -> np.ndarray:
    """(T, K, 7) bone states -> (T, V, 3) vertices; a vertex without a bone stays where it is."""
    rest_rotation, rest_translation = rotation_matrix(mesh.rest[:, 3:]), mesh.rest[:, :3]
    rotation = rotation_matrix(states[..., 3:]) @ np.swapaxes(rest_rotation, -1, -2)[None]  # (T, K, 3, 3)
    translation = states[..., :3] - np.einsum("tbij,bj->tbi", rotation, rest_translation)
    num_bones = rest_rotation.shape[0]
    bones, weights = mesh.vertices["b"].astype(int), mesh.vertices["w"].copy()
    boneless = bones >= num_bones
    weights[boneless] = 0
    bones = np.where(boneless, 0, bones)
    total = weights.sum(1, keepdims=True)
    positions = mesh.vertices["p"]
    posed = np.zeros((states.shape[0], len(positions), 3), np.float32)
    for k in range(4):
        moved = np.einsum("tvij,vj->tvi", rotation[:, bones[:, k]], positions) + translation[:, bones[:, k]]
        posed += weights[None, :, k, None] * moved
    return np.where((total > 0)[None], posed / np.where(total > 0, total, 1)[None], positions[None])
