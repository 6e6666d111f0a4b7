"""Files of meshes in, vertices and triangles out: OFF as ModelNet and others write it; and points on them.

Data sets of one's own may have PLY, which plyfile reads, STL, which open3d reads (the extra `view`), and OBJ. Of OBJ open3d
leaves out faces of more than three corners, of a PLY that was cut it gives what is left, and it says nothing of either; trimesh
takes the area of a polygon that is not convex too large.

Shapes: V vertices, T triangles, N points.
"""

from __future__ import annotations

import codecs
import io
import tempfile
import warnings
from pathlib import Path

import numpy as np

from benchmark.data.embedded import DataError
from benchmark.data.view import load_open3d
from tasks.points_official import Array, check_finite

SUFFIXES = (".off", ".ply", ".obj", ".stl")
STL_TRIANGLE = 50  # bytes
HEADERS = {b"OFF": 3, b"COFF": 3, b"NOFF": 6, b"CNOFF": 6}  # numbers of a vertex before its colours


def parse_mesh(data: bytes, path: Path) -> tuple[Array, Array]:
    """Vertices (V, 3) and triangles (T, 3) of a file by its suffix; raises `DataError` naming it."""
    kind = path.suffix.lower()
    if kind == ".off":
        return parse_off(data, path)
    if kind not in SUFFIXES:
        raise DataError(f"{path} is no mesh by its name; known are {', '.join(SUFFIXES)}")
    if kind == ".obj":
        return parse_obj(data, path)
    if data.endswith(bytes(STL_TRIANGLE)):
        raise DataError(f"{path} is not whole: it ends in zeros, as a copy that stopped leaves it")
    if kind == ".ply":
        return parse_ply(data, path)
    text = data.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if text.startswith(b"solid") and len(data) != 84 + STL_TRIANGLE * int.from_bytes(data[80:84], "little"):
        if not text.rstrip().rpartition(b"\n")[2].lstrip().startswith(b"endsolid"):
            raise DataError(f"{path} is not whole: it is an STL of text, and does not end in endsolid")
        data = text  # of either case, as open3d knows one
    open3d = load_open3d(f"mesh {path}")
    with tempfile.NamedTemporaryFile(suffix=kind) as file, open3d.utility.VerbosityContextManager(
            open3d.utility.VerbosityLevel.Error):
        file.write(data)
        file.flush()
        mesh = open3d.io.read_triangle_mesh(file.name)  # of a copy, so that what was compared with its digest is what is read
    return _checked(np.asarray(mesh.vertices), np.asarray(mesh.triangles).astype(np.int64), path)


def parse_off(data: bytes, path: Path) -> tuple[Array, Array]:
    """Vertices (V, 3) and triangles (T, 3) of a mesh in OFF; polygons are cut, edges and points of faces left out.

    Headers may be glued to the counts, as in some of ModelNet40's files ("OFF490 518 0"), of either case, and lack the
    number of edges; comments, blank lines, normals, colours of vertices and of faces, and edges after the faces are passed
    over. Raises `DataError` where the file has fewer or more of vertices and faces than its header says.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n")
    if not text:
        raise DataError(f"{path} is empty")
    if (plain := _plain(text)) is not None:
        return _checked(*plain, path)
    lines = [words for line in text.replace(b"\r", b"\n").split(b"\n") if (words := line.partition(b"#")[0].split())]
    first = lines[0][0].upper() if lines else b""
    header = next((name for name in HEADERS if first.startswith(name) and not first[len(name):].strip(b"0123456789")), None)
    if header is None:
        raise DataError(f"{path} does not begin with {', '.join(name.decode() for name in HEADERS)}")
    glued, rest = lines[0][0][len(header):], lines[0][1:]
    head = [*([glued] if glued else []), *rest]
    lines = [head, *lines[1:]] if head else lines[1:]
    if lines and len(lines[0]) > 3:
        lines = [lines[0][:3], lines[0][3:], *lines[1:]]
    try:
        counts = [int(word) for word in lines[0]] if lines else []
        if not 2 <= len(counts) <= 3 or min(counts[:2]) < 1:
            raise DataError(f"{path} has no counts of vertices and faces in its header")
        num_vertices, num_faces = counts[:2]
        body, least = lines[1 : 1 + num_vertices], HEADERS[header]
        listed = lines[1 + num_vertices : 1 + num_vertices + num_faces]
        if len(body) < num_vertices or len(listed) < num_faces or any(len(words) < least for words in body):
            return _checked(*_unlined(lines[1:], num_vertices, num_faces, path), path)
        if any(len(words) != 3 or words[0] != b"2" for words in lines[1 + num_vertices + num_faces :]):
            raise DataError(f"{path} goes on after the {num_vertices} vertices and {num_faces} faces of its header; correct "
                            "these numbers, or remove what is too many")
        vertices = np.array([words[:3] for words in body], dtype="S").astype(np.float64)
        triangles = cut_polygons(_corners(listed, path), vertices, path)
    except (ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no mesh of numbers: {error}") from error
    return _checked(vertices, triangles, path)


def parse_obj(data: bytes, path: Path) -> tuple[Array, Array]:
    """Vertices (V, 3) and triangles (T, 3) of a mesh in OBJ; polygons are cut, all but vertices and faces left out.

    Corners may have textures and normals (1/2/3), and count from the last vertex before them where they are negative. The
    format gives weights of vertices (x y z w) a meaning for rational curves and surfaces alone: faces of others than 1 are
    divided by them in some programs and not in others, and are refused.
    """
    vertices: list[list[bytes]] = []
    faces: list[list[int]] = []
    try:
        for line in data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\\\n", b" ").splitlines():
            words = line.partition(b"#")[0].split()
            if words[:1] == [b"v"]:
                vertices.append(words[1:4])
                if len(words) == 5 and float(words[4]) != 1:
                    raise DataError(f"{path} has a vertex of the weight {words[4].decode('ascii', 'replace')} (v x y z w), "
                                    "which only rational curves and surfaces have; write it anew with x, y and z alone")
            elif words[:1] == [b"f"]:
                corners = [int(word.partition(b"/")[0]) for word in words[1:]]
                faces.append([corner + len(vertices) if corner < 0 else corner - 1 for corner in corners])
        found = np.array(vertices, dtype="S").astype(np.float64).reshape(-1, 3)
        return _checked(found, cut_polygons(faces, found, path), path)
    except (ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no mesh of numbers: {error}") from error


def parse_ply(data: bytes, path: Path) -> tuple[Array, Array]:
    """Vertices (V, 3) and triangles (T, 3) of a mesh in PLY, of text or binary; polygons are cut, all else is left out.

    Raises `DataError` where the file ends before what its header says, or goes on after it.
    """
    from plyfile import PlyData, PlyParseError

    head, end, body = data.removeprefix(codecs.BOM_UTF8).partition(b"end_header")
    head = head.decode("ascii", "replace").encode("ascii", "replace")  # names of people in comments
    stream = (io.StringIO((head + end + body).decode("latin-1"), newline=None) if b"format ascii" in head
              else io.BytesIO(head + end + body))
    try:
        found = {element.name: element for element in PlyData.read(stream)}
    except (PlyParseError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{path} is no whole PLY: {error}") from error
    if stream.read().strip():
        raise DataError(f"{path} has more numbers than its header says")
    if "tristrips" in found:
        raise DataError(f"{path} has its triangles as strips (tristrips), which are not read; write it anew, with faces")
    try:
        vertices = np.stack([np.asarray(found["vertex"][axis], np.float64) for axis in "xyz"], 1)
        named = [each.name for each in found["face"].properties]
        faces = found["face"]["vertex_indices" if "vertex_indices" in named else "vertex_index"]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is no PLY of vertices with x, y, z and of faces with vertex_indices") from error
    if any((np.asarray(corners) % 1).any() for corners in faces):
        raise DataError(f"{path} has corners that are no whole numbers")
    return _checked(vertices, cut_polygons([np.asarray(corners, np.int64).tolist() for corners in faces], vertices, path), path)


def _plain(text: bytes) -> tuple[Array, Array] | None:
    """Of a file of vertices and triangles alone, as nearly all are, in a tenth of the time; None of any other"""
    if not text.startswith(b"OFF"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            numbers = np.fromstring(text[3:].decode("ascii"), sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    if len(numbers) < 3 or not (numbers[:2] >= 1).all() or len(numbers) != 3 + 3 * numbers[0] + 4 * numbers[1]:
        return None
    vertices, faces = numbers[3 : 3 + 3 * int(numbers[0])].reshape(-1, 3), numbers[3 + 3 * int(numbers[0]) :].reshape(-1, 4)
    whole = (faces[:, 0] == 3).all() and not (faces % 1).any() and (np.abs(faces) < 2**31).all()
    return (vertices, faces[:, 1:].astype(np.int64)) if whole else None


def _unlined(lines: list[list[bytes]], num_vertices: int, num_faces: int, path: Path) -> tuple[Array, Array]:
    """Of a file whose numbers are not one vertex and one face a line"""
    numbers = [word for words in lines for word in words]
    if len(numbers) < 3 * num_vertices + 2 * num_faces:
        raise DataError(f"{path} has {len(numbers)} numbers, fewer than its header says")
    vertices = np.array(numbers[: 3 * num_vertices], dtype="S").astype(np.float64).reshape(-1, 3)
    faces, place = [], 3 * num_vertices
    for _ in range(num_faces):
        size = int(numbers[place]) if place < len(numbers) else 0
        faces.append(numbers[place : place + 1 + size])
        place += 1 + size
    if place != len(numbers):
        raise DataError(f"{path} has fewer than {num_faces} whole faces, more than these, or colours of faces that are not on "
                        "their lines")
    return vertices, cut_polygons(_corners(faces, path), vertices, path)


def _corners(faces: list[list[bytes]], path: Path) -> list[list[int]]:
    """Of lines "size corner corner ..." and what follows, such as a colour"""
    found = []
    for words in faces:
        size = int(words[0])
        corners = [int(word) for word in words[1 : 1 + size]]
        if size < 1 or len(corners) < size:
            raise DataError(f"{path} has fewer than {len(faces)} whole faces")
        found.append(corners)
    return found


def cut_polygons(faces: list[list[int]], vertices: Array, path: Path) -> Array:
    """Faces of any number of corners -> (T, 3), in their order and with their area.

    A face is a fan of triangles from its first corner, as long as all of these turn the same way; with a corner that points
    inwards they may not, and cover what lies outside the face. Such a face is cut by its ears (Meisters, 1975). Raises
    `DataError` where that has no end with the face's area, as it crosses itself.
    """
    check_finite(vertices, path)
    pieces = [[[face[0], *face[place : place + 2]] for place in range(1, len(face) - 1)] for face in faces]
    for size in {len(face) for face in faces if len(face) > 3}:
        places = np.array([place for place, face in enumerate(faces) if len(face) == size])
        corners = np.array([faces[place] for place in places])
        within = (corners >= 0).all(axis=1) & (corners < len(vertices)).all(axis=1)  # the others are refused by what follows
        places, outlines = places[within], vertices[corners[within]]
        spokes = outlines[:, 1:] - outlines[:, :1]
        turns = np.cross(spokes[:, :-1], spokes[:, 1:])
        normals = turns.sum(axis=1)
        along, sizes = np.einsum("ftc,fc->ft", turns, normals), np.linalg.norm(turns, axis=2)
        least = 1e-9 * sizes.sum(axis=1)
        fans = ((along > 0) | (sizes <= least[:, None])).all(axis=1)
        for place, outline, normal, error in zip(places[~fans], outlines[~fans], normals[~fans], least[~fans], strict=True):
            ears = _ears(outline, normal) if np.linalg.norm(normal) > error else None
            if ears is None:
                raise DataError(f"{path} has a face that crosses itself, of vertices {faces[place]}; cut it into triangles")
            pieces[place] = [[faces[place][corner] for corner in ear] for ear in ears]
    return np.array([triangle for piece in pieces for triangle in piece], np.int64).reshape(-1, 3)


def _ears(outline: Array, normal: Array) -> list[list[int]] | None:
    """Triangles of corners of a polygon (n, 3) with a normal of twice its area, cut off one by one; None where it fails"""
    axis = int(np.abs(normal).argmax())
    flat = np.delete(outline, axis, axis=1)[:, ::1 if (normal[axis] > 0) == (axis != 1) else -1]  # counterclockwise
    left, triangles = list(range(len(flat))), []
    while len(left) > 3:
        for place in range(len(left)):
            ear = [left[place - 1], left[place], left[(place + 1) % len(left)]]
            a, b, c = flat[ear]
            others = flat[left]
            others = others[(others[:, None] != flat[ear]).any(axis=2).all(axis=1)]
            inside = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
            if _turn(a, b, c) >= 0 and not inside.any():
                triangles.append(ear)
                del left[place]
                break
        else:
            return None
    return [*triangles, left] if _turn(*flat[left]) >= -1e-9 * np.linalg.norm(normal) else None


def _turn(a: Array, b: Array, c: Array) -> Array:
    """Twice the area of triangles in the plane, positive where they turn to the left; the last axis is x and y"""
    first, second = b - a, c - a
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])


def _checked(vertices: Array, triangles: Array, path: Path) -> tuple[Array, Array]:
    """The mesh itself; raises `DataError` where it has no surface to speak of."""
    check_finite(vertices, path)
    if not len(vertices) or not len(triangles):
        raise DataError(f"{path} has {len(vertices)} vertices and {len(triangles)} triangles")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise DataError(f"{path} has a face of vertices {triangles.min()} to {triangles.max()}; it has {len(vertices)}")
    return vertices, triangles


def sample_surface(vertices: Array, triangles: Array, count: int, seed: int, path: Path) -> Array:
    """(V, 3), (T, 3) -> (count, 3), uniform on the surface, the same for the same seed and version of trimesh."""
    import trimesh

    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    if not 0 < mesh.area < np.inf:
        raise DataError(f"{path} has no surface")
    points, _ = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return np.asarray(points)
