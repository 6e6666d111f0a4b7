"""A triangle mesh in, points on its surface out; and how clouds are stored.

Shapes: V vertices, F faces, N points.
"""

from __future__ import annotations

import numpy as np

NUM_POINTS = 1024
SCALE = 127  # of stored int8 coordinates


def face_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3), (F, 3) -> (F,) twice the areas"""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    areas: np.ndarray = np.linalg.norm(np.cross(second - first, third - first), axis=1)
    return areas


def sample_surface(vertices: np.ndarray, faces: np.ndarray, areas: np.ndarray,
                   rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) points, uniform by `areas`, and (N,) the face of each."""
    chosen = rng.choice(len(faces), NUM_POINTS, p=areas / areas.sum())
    weights = rng.random((NUM_POINTS, 2))
    outside = weights.sum(1) > 1
    weights[outside] = 1 - weights[outside]
    corner = vertices[faces[chosen, 0]]
    points = (corner + weights[:, :1] * (vertices[faces[chosen, 1]] - corner)
              + weights[:, 1:] * (vertices[faces[chosen, 2]] - corner))
    return points, chosen


def centre(points: np.ndarray) -> np.ndarray:
    """(N, 3) with the middle of its box moved to the origin"""
    centred: np.ndarray = points - (points.max(0) + points.min(0)) / 2
    return centred
