"""Meshes as people have them: variants of OFF, and other formats, beside trimesh and open3d."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from official import make_modelnet_meshes
from scipy import stats

from benchmark.data.catalogue import prepare
from benchmark.data.embedded import DataError
from tasks.meshes import cut_polygons, parse_mesh, parse_off, sample_surface
from tasks.modelnet.official import LAYOUTS

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 2]]) * 30
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
BODY = "".join(" ".join(f"{value:.4f}" for value in vertex) + "{v}\n" for vertex in VERTICES)
ENDS = "".join("3 " + " ".join(map(str, face)) + "{f}\n" for face in FACES)


def written(header: str, vertex_ends: str = "", face_ends: str = "", between: str = "", after: str = "") -> str:
    return f"{header}\n" + BODY.replace("{v}", vertex_ends) + between + ENDS.replace("{f}", face_ends) + after


QUAD = BODY.replace("{v}", "") + "4 0 1 2 3\n" + "".join(f"3 {a} {b} {c}\n" for a, b, c in FACES[2:])
VARIANTS = {
    "plain": written("OFF\n5 6 0"), "glued": written("OFF5 6 0"), "same line": written("OFF 5 6 0"),
    "comments": written("OFF\n# made by a tool\n5 6 0", between="# faces\n\n"),
    "comment before": "# first\n" + written("OFF\n5 6 0"), "trailing comment": written("OFF\n5 6 0  # vertices faces edges"),
    "blank lines": written("\nOFF\n\n5 6 0\n\n", between="\n \t\n"), "windows": written("OFF\n5 6 0").replace("\n", "\r\n"),
    "old mac": written("OFF\n5 6 0").replace("\n", "\r"), "tabs": written("OFF\n5 6 0").replace(" ", "\t "),
    "colours of vertices": written("COFF\n5 6 0", " 255 0 0 255"),
    "undeclared colours": written("OFF\n5 6 0", " 0.5 0.5 0.5 1.0"),
    "normals": written("NOFF\n5 6 0", " 0 0 1"), "colours of faces": written("OFF\n5 6 0", face_ends=" 255 0 0"),
    "shares of colours": written("OFF\n5 6 0", face_ends="  0.5 0.5 0.5"), "both colours": written(
        "COFF\n5 6 0", " 255 0 0 255", " 1 0 0"), "quads": f"OFF\n5 5 0\n{QUAD}", "glued quads": f"OFF5 5 0\n{QUAD}",
    "quads and comments": f"OFF\n5 5 0\n# a\n{QUAD}", "lower case": written("off\n5 6 0"), "two counts": written("OFF\n5 6"),
    "one line": written("OFF 5 6 0").replace("\n", " "), "mark": "\ufeff" + written("OFF\n5 6 0"),
    "repeated corner": written("OFF\n5 7 0", after="3 4 4 4\n"), "an edge as a face": written("OFF\n5 7 0", after="2 0 1\n"),
    "zeros after the end": written("OFF\n5 6 0", after="\0\0"),
    "more after the end": written("OFF\n5 6 0", after="2 0 1\n2 1 2\n"),
    "no last line end": written("OFF\n5 6 0").rstrip(), "wrapped": written("OFF\n5 6 0").replace(" 0.0000 0", "\n0.0000 0"),
}


@pytest.mark.parametrize("text", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_of_off_is_the_same_mesh(text):
    vertices, triangles = parse_off(text.encode(), Path("a.off"))
    assert np.allclose(vertices, VERTICES)
    whole = triangles[np.array([len(set(row)) == 3 for row in triangles.tolist()])]
    assert whole.tolist() == FACES.tolist()


def test_comments_need_not_be_ascii_and_numbers_may_have_exponents():
    text = written("OFF\n# caf\xe9\n5 6 0")
    assert np.allclose(parse_off(text.encode("latin-1"), Path("a.off"))[0], VERTICES)
    lines = "\n".join(" ".join(f"{value:.6E}" for value in vertex) for vertex in VERTICES)
    text = f"OFF\n5 6 0\n{lines}\n" + ENDS.replace("{f}", "")
    assert np.allclose(parse_off(text.encode(), Path("a.off"))[0], VERTICES)


def area_of(vertices: np.ndarray, triangles: np.ndarray) -> float:
    return float(trimesh.Trimesh(vertices, triangles, process=False).area)


DENTED = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [1, 0.5, 0], [0, 2, 0]])  # a square of 4 without a triangle of 1.5


@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("kind", ["lines", "one line", "obj"])
def test_a_polygon_with_a_corner_inwards_has_its_own_area(turn, kind):
    """From one corner of five a fan of triangles has it; from the others it covers more"""
    face = np.roll(range(5), turn)
    text = "OFF 5 1 0\n" + "".join(f"{x} {y} {z}\n" for x, y, z in DENTED) + "5 " + " ".join(map(str, face)) + "\n"
    if kind == "obj":
        text = "".join(f"v {x} {y} {z}\n" for x, y, z in DENTED) + "f " + " ".join(str(corner + 1) for corner in face) + "\n"
    vertices, triangles = parse_mesh((text.replace("\n", " ") if kind == "one line" else text).encode(),
                                     Path("a.obj" if kind == "obj" else "a.off"))
    assert len(triangles) == 3
    assert area_of(vertices, triangles) == pytest.approx(2.5)


def test_polygons_keep_their_area_and_order_however_they_lie_and_whatever_their_sides():
    """Outlines around a point, and combs with points on their sides, in any plane, from any corner, either way round"""
    random = np.random.default_rng(0)
    flat = []
    for _ in range(200):
        angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(4, 14)))
        if np.diff([*angles, angles[0] + 2 * np.pi]).max() < np.pi:  # otherwise the point may lie outside
            flat.append(random.uniform(0.1, 1, len(angles))[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1))
    for teeth, parts in ((1, 1), (2, 3), (3, 2)):
        gaps = [(x + dx, y) for x in range(1, 2 * teeth, 2) for dx, y in ((0, 0), (0, 3), (1, 3), (1, 0))]
        comb = np.array([[0, 5], [0, 0], *gaps, [2 * teeth + 1, 0], [2 * teeth + 1, 5]], float)
        sides = np.roll(comb, -1, axis=0) - comb
        flat.append(np.concatenate([comb[i] + sides[i] * np.arange(parts)[:, None] / parts for i in range(len(comb))]))
    vertices, faces, areas = np.zeros((0, 3)), [], []
    for outline in flat:
        x, y = outline.T
        areas.append(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
        turned = np.pad(outline, ((0, 0), (0, 1))) @ np.linalg.qr(random.normal(size=(3, 3)))[0] + random.normal(size=3)
        face = np.roll(np.arange(len(outline)), random.integers(len(outline)))[::random.choice([1, -1])] + len(vertices)
        vertices, faces = np.concatenate([vertices, turned]), [*faces, face.tolist()]
    triangles, place = cut_polygons(faces, vertices, Path("a.off")), 0
    for face, area in zip(faces, areas, strict=True):
        own = triangles[place : place + len(face) - 2]
        place += len(own)
        assert set(own.flatten().tolist()) == set(face)
        assert area_of(vertices, own) == pytest.approx(area, rel=1e-9)
    assert place == len(triangles)


@pytest.mark.parametrize(("face", "vertices"), [
    ([0, 2, 1, 3], VERTICES), ([0, 1, 2, 3, 4], [[0, 0, 0], [4, 0, 0], [1, 2, 0], [4, 2, 0], [0, 1, 0]])])
def test_a_polygon_that_crosses_itself_has_no_inside(face, vertices):
    said = re.escape(f"a.off has a face that crosses itself, of vertices {face}; cut it into triangles")
    with pytest.raises(DataError, match=said):
        cut_polygons([[0, 1, 2], face], np.asarray(vertices, float), Path("a.off"))


@pytest.mark.parametrize(("text", "said"), [
    ("OFF\n4 1 0\n0 0 0\n1 0 0\n0 1 0\n0 0 inf\n4 0 1 2 3\n", "no finite"),
    ("OFF\n4 1 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n4 0 1 2 7\n", "it has 4"),
    ("", "is empty"), ("PLY", "does not begin with OFF"), ("OFF 3 1", "fewer than its header"), ("OFF 3 1 0 0 0", "fewer than"),
    ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n", "fewer than"), ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "it has 3"),
    ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 0.5\n", "no mesh of numbers"),
    ("OFF\n3 1 0\n0 0 0\n1 0 x\n", "fewer than"), ("OFF\n3 1 0\n0 0 0\n1 0 x\n0 1 0\n3 0 1 2\n", "no mesh of numbers"),
    ("OFF\n3 1 0\n0 0 nan\n1 0 0\n0 1 0\n3 0 1 2\n", "no finite"), ("OFF 99999999999 1 0\n", "fewer than"),
    ("OFF\n3 9 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n-4 1\n", "fewer than"), ("OFF 3\xe9 1 0", "no mesh of numbers"),
    ("OFF\n3 99999999999 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "fewer than"), ("OFF BINARY\n3 1 0\n", "no mesh of numbers"),
])
def test_a_damaged_mesh_is_named(text, said, tmp_path):
    path = tmp_path / "cone_0001.off"
    with pytest.raises(DataError, match=rf"cone_0001.off.*{said}"):
        parse_off(text.encode("latin-1"), path)


@pytest.mark.parametrize("header", ["OFF\n5 5 0", "OFF\n4 6 0", "OFF5 5 0", "COFF\n5 3 0", "OFF\n5 5", "OFF\n4 1 0"])
@pytest.mark.parametrize("ends", [("", ""), (" 255 0 0 255", ""), ("", " 255 0 0")], ids=("plain", "vertices", "faces"))
def test_an_off_of_more_vertices_or_faces_than_its_header_says_is_no_smaller_mesh(header, ends):
    vertices, faces = re.findall(r"\d+", header)[:2]
    said = f"a.off goes on after the {vertices} vertices and {faces} faces of its header; correct these numbers"
    with pytest.raises(DataError, match=re.escape(said)):
        parse_off(written(header, *ends).encode(), Path("a.off"))
    with pytest.raises(DataError, match=r"a\.off (has|is no mesh)"):
        parse_off(written(header, *ends).replace("\n", " ").encode(), Path("a.off"))


def test_a_mesh_without_a_surface_is_named(tmp_path):
    flat = np.zeros((3, 3))
    with pytest.raises(DataError, match=r"cone\.off has no surface"):
        sample_surface(flat, np.array([[0, 1, 2]]), 10, 1, tmp_path / "cone.off")


# Other formats, beside trimesh

KINDS = {"off": {}, "ply": {}, "ply as text": {"encoding": "ascii"}, "obj": {}, "stl": {}, "stl_ascii": {}}


def exported(mesh: trimesh.Trimesh, kind: str) -> tuple[bytes, str]:
    """A file, and its suffix"""
    form, options = kind.split()[0], KINDS[kind]
    data = mesh.export(file_type=form, **options)
    return (data.encode() if isinstance(data, str) else data), "." + form.removesuffix("_ascii")


@pytest.mark.parametrize("kind", KINDS)
def test_meshes_of_every_format_have_trimeshs_area_and_volume(kind):
    for mesh in (trimesh.creation.icosphere(2, 0.7), trimesh.creation.box((1, 2, 3)), trimesh.creation.cone(0.5, 2)):
        data, suffix = exported(mesh, kind)
        read = trimesh.Trimesh(*parse_mesh(data, Path(f"a{suffix}")), process=False)
        assert read.area == pytest.approx(mesh.area, rel=1e-5)
        assert len(read.faces) == len(mesh.faces)
        theirs = trimesh.load_mesh(io.BytesIO(data), file_type=suffix[1:], process=False)
        assert abs(read.triangles - theirs.triangles).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_points_lie_on_the_surface_evenly(kind):
    """Chi-square over triangles of areas that differ by a factor of twenty"""
    mesh = trimesh.creation.box((1, 2, 3)).subdivide()
    data, suffix = exported(mesh, kind)
    vertices, triangles = parse_mesh(data, Path(f"a{suffix}"))
    points = sample_surface(vertices, triangles, 20_000, 3, Path("a"))
    side = np.select([np.isclose(abs(points[:, axis]), size / 2) for axis, size in enumerate((1, 2, 3))], (0, 1, 2), 3)
    cells = side * 4 + (points[:, [1, 2, 0]][np.arange(len(points)), side] > 0) * 2 + (
        points[:, [2, 0, 1]][np.arange(len(points)), side] > 0)
    assert side.max() < 3, "every point lies on a side"
    expected = np.repeat(np.array([6, 3, 2]) * 2 / 22, 4) / 4 * len(points)
    assert stats.chisquare(np.bincount(cells, minlength=12), expected).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["ply", "obj", "stl"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 5], lambda data: b"hello\n" * 20],
                         ids=("empty", "cut", "no mesh"))
def test_damaged_meshes_of_other_formats_are_named(kind, damage):
    data, suffix = exported(trimesh.creation.box((1, 2, 3)), kind)
    with pytest.raises(DataError, match=f"bad{suffix}"):
        parse_mesh(damage(data), Path(f"bad{suffix}"))


QUADS = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 2 .5 0\n"


@pytest.mark.parametrize(("faces", "area"), [
    ("f 1 2 3\n", 0.5), ("f 1 2 3 4\nf 2 5 3\n", 1.5), ("f -5 -4 -3 -2\nf -4 -1 -3\n", 1.5), ("f 1 2 5 3 4\n", 1.5),
    ("vn 0 0 1\nf 1//1 2//1 3//1 4//1\n", 1), ("vt 0 0\nvn 0 0 1\nf 1/1/1 2/1/1 3/1/1 4/1/1\nl 1 2\np 1\n", 1),
    ("mtllib none.mtl\no a\ng b\nusemtl a\ns off\n# a square\nf 1 2 3 4\n", 1), ("f 1 2 \\\n3 4\n", 1),
    ("f 1 2 3 4\no other\nv 5 5 0\nv 6 5 0\nv 6 6 0\nf 6 7 8\n", 1.5),
])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_faces_of_obj_with_any_number_of_corners_are_all_there(faces, area, end):
    text = (QUADS + faces).replace("\n", end)
    vertices, triangles = parse_mesh(text.encode(), Path("a.obj"))
    assert trimesh.Trimesh(vertices, triangles, process=False).area == pytest.approx(area)
    theirs = trimesh.load_mesh(io.BytesIO(text.replace("\\" + end, "").encode()), file_type="obj", process=False)
    assert theirs.area == pytest.approx(area)


@pytest.mark.parametrize("faces", ["f 1 2 9\n", "f 0 1 2\n", "f -9 -1 -2\n", "f a b c\n", "v 1 1\nf 1 2 3\n", ""])
def test_a_damaged_obj_is_named(faces):
    with pytest.raises(DataError, match=r"bad\.obj"):
        parse_mesh((QUADS + faces).encode(), Path("bad.obj"))


@pytest.mark.parametrize(("last", "said"), [
    ("v 2 .5 0", ""), ("v 2 .5 0 1", ""), ("v 2 .5 0 1.0", ""), ("v 2 .5 0 .2 .3 .4", ""), ("v 2 .5 0 .2 .3 .4 1", ""),
    ("v 2 .5 0 0.5", r"bad\.obj has a vertex of the weight 0\.5 \(v x y z w\), which only rational curves"),
    ("v 2 .5 0 0", r"bad\.obj has a vertex of the weight 0 "), ("v 2 .5 0 one", r"bad\.obj is no mesh of numbers")])
def test_weights_of_an_obj_are_one_and_colours_are_passed_over(last, said):
    data = (QUADS.replace("v 2 .5 0", last) + "f 1 2 3 4\nf 2 5 3\n").encode()
    if said:
        with pytest.raises(DataError, match=said):
            parse_mesh(data, Path("bad.obj"))
    else:
        assert area_of(*parse_mesh(data, Path("a.obj"))) == pytest.approx(1.5)


@pytest.mark.parametrize("count", [0, 1, 11, 13, 2**31])
def test_a_binary_stl_of_another_size_than_its_header_says_is_refused(count):
    data, _ = exported(trimesh.creation.box((1, 2, 3)), "stl")
    assert len(parse_mesh(data, Path("a.stl"))[1]) == 12
    with pytest.raises(DataError, match=r"bad\.stl has 0 vertices and 0 triangles"):
        parse_mesh(data[:80] + struct.pack("<I", count) + data[84:], Path("bad.stl"))


PLY = ("ply\nformat {} 1.0\ncomment square\nelement vertex 4\nproperty double x\nproperty double y\nproperty double z\n"
       "property uchar red\nelement face 2\nproperty list uchar int vertex_indices\nproperty float area\nend_header\n")
SQUARE = [(0, 0, 0, 9), (2, 0, 0, 9), (2, 2, 0, 9), (0, 2, 0, 9)]
CORNERS = [(3, 0, 1, 2, 0.5), (4, 0, 2, 3, 3, 0.5)]


def square(form: str) -> bytes:
    """A PLY of a square with colours, whose second face has a corner twice"""
    head = PLY.format(form).encode()
    if form == "ascii":
        return head + "".join(" ".join(map(str, row)) + "\n" for row in (*SQUARE, *CORNERS)).encode()
    order = "<" if "little" in form else ">"
    return head + b"".join(struct.pack(f"{order}dddB", *row) for row in SQUARE) + b"".join(
        struct.pack(f"{order}B{row[0]}if", *row) for row in CORNERS)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_of_any_order_is_read_to_its_end_and_refused_wherever_it_was_cut(form):
    data = square(form)
    for whole in (data, data.replace(b"indices", b"index"), b"\xef\xbb\xbf" + data, data.replace(b"square", b"Andr\xe9's")):
        assert trimesh.Trimesh(*parse_mesh(whole, Path("a.ply")), process=False).area == pytest.approx(4)
    for end in range(len(data) - 5, 0, -3):
        with pytest.raises(DataError, match=r"bad\.ply"):
            parse_mesh(data[:end], Path("bad.ply"))
    with pytest.raises(DataError, match=r"bad\.ply has more numbers than its header says"):
        parse_mesh(data.replace(b"element face 2", b"element face 1"), Path("bad.ply"))


@pytest.mark.parametrize(("before", "after", "said"), [
    ("format ascii 1.0\n", "", "no whole PLY"), ("element face 2", "elements face 2", "no whole PLY"),
    ("double x", "quad x", "no whole PLY"), ("double x", "double u", "no PLY of vertices with x, y, z"),
    ("vertex_indices", "texture", "faces with vertex_indices"), ("element face", "element tristrips", "as strips"),
    ("3 0 1 2", "3 0 1 7", "it has 4"), ("int vertex_indices", "float vertex_indices", "no whole numbers"),
    ("3 0 1 2", "-3 0 1 2", "no whole PLY"), ("3 0 1 2", "4 0 1 2", "no whole PLY"),
    ("2 2 0 9", "2 two 0 9", "no whole PLY"), ("2 2 0 9", "2 nan 0 9", "no finite")])
def test_a_damaged_ply_is_named(before, after, said):
    with pytest.raises(DataError, match=rf"bad\.ply .*{said}"):
        parse_mesh(square("ascii").replace(b"1 2 0.5", b"1 2.5 0.5" if "float" in after else b"1 2 0.5")
                   .replace(before.encode(), after.encode(), 1), Path("bad.ply"))


def test_stl_of_text_is_whole_where_it_ends_so():
    mesh = trimesh.creation.box((1, 2, 3))
    data = mesh.export(file_type="stl_ascii").encode()
    for whole in (data, data.upper(), data + b"\r\n\n"):
        assert trimesh.Trimesh(*parse_mesh(whole, Path("a.stl")), process=False).area == pytest.approx(mesh.area)
    with pytest.raises(DataError, match=r"bad\.stl is not whole: it is an STL of text, and does not end in endsolid"):
        parse_mesh(data[: data.rindex(b"endfacet") + len(b"endfacet\n")], Path("bad.stl"))


def test_a_mark_of_byte_order_is_no_part_of_the_first_vertex():
    vertices, _ = parse_mesh(b"\xef\xbb\xbf" + (QUADS + "f 1 2 3\n").encode(), Path("a.obj"))
    assert len(vertices) == 5


@pytest.mark.parametrize("kind", ["stl", "ply"])
def test_a_mesh_whose_end_is_zeros_is_not_whole(kind):
    data, suffix = exported(trimesh.creation.box((1, 2, 3)), kind)
    with pytest.raises(DataError, match=rf"bad{suffix} is not whole: it ends in zeros"):
        parse_mesh(data[: len(data) // 2].ljust(len(data), b"\0"), Path(f"bad{suffix}"))


def test_an_own_data_set_may_have_other_meshes(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    monkeypatch.setenv("M2PT_WORKERS", "0")
    root = make_modelnet_meshes(tmp_path / "root")
    for number, path in enumerate(sorted(root.rglob("*.off"))):
        kind = ("ply", "obj", "stl")[number % 3]
        data, suffix = exported(trimesh.Trimesh(*parse_off(path.read_bytes(), path), process=False), kind)
        path.with_suffix(suffix).write_bytes(data)
        path.unlink()
    (layout,) = LAYOUTS
    prepared = prepare(layout, root)
    assert (prepared.faults(), sum(prepared.counts.values())) == ([], 10)
