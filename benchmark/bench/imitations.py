"""Files as official data sets have them, with contents of our own: what `inputs` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def write_video(path: Path, num_frames: int = 70, size: tuple[int, int] = (96, 72), codec: str = "libx264",
                options: Mapping[str, str] | None = None, container: Mapping[str, str] | None = None, seed: int = 0) -> None:
    """A pattern of a seed's colours that moves three pixels a frame, with key frames every 24 and B-frames between."""
    import av

    width, height = size
    pattern = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    pattern = pattern.repeat(8, 0).repeat(8, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=dict(container or {})) as file:
        stream = file.add_stream(codec, rate=25, options={"g": "24", "bf": "3"} if options is None else dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(num_frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(pattern, 3 * number, 1), format="rgb24")))
        file.mux(stream.encode())


def make_surface(random: np.random.Generator, kind: int, points: int) -> Array:
    """(points, 3) on an ellipsoid of a class, somewhere in space"""
    on_sphere = random.normal(size=(points, 3))
    on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
    return on_sphere * (1 + kind, 1, 2) * random.uniform(0.5, 2) + random.normal(size=3)


def make_hdf5(path: Path, data: Array, **labels: Array) -> Path:
    """One file of clouds"""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=data.astype(np.float32), compression="gzip", compression_opts=1)
        for name, values in labels.items():
            file.create_dataset(name, data=values)
    return path


def make_clouds(labels: Array, points: int, seed: int = 0) -> Array:
    """(len(labels), points, 3)"""
    random = np.random.default_rng(seed)
    return np.stack([make_surface(random, int(label), points) for label in labels])


def make_modelnet_hdf5(root: Path, train: int = 16, test: int = 6, lists: bool = True) -> Path:
    """modelnet40_ply_hdf5_2048: two training files and one of test"""
    for seed, (name, count) in enumerate({"train0": train // 2, "train1": train // 2, "test0": test}.items()):
        labels = np.arange(count, dtype=np.uint8)[:, None] % 3
        make_hdf5(root / f"ply_data_{name}.h5", make_clouds(labels[:, 0], 2048, seed), label=labels)
    (root / "shape_names.txt").write_text("airplane\nbathtub\nbed\n")
    if lists:
        (root / "train_files.txt").write_text("".join(f"data/modelnet40_ply_hdf5_2048/ply_data_train{i}.h5\n" for i in (0, 1)))
        (root / "test_files.txt").write_text("data/modelnet40_ply_hdf5_2048/ply_data_test0.h5\n")
    return root


SYNSETS = {"Airplane": "02691156", "Bag": "02773838", "Cap": "02954340", "Car": "02958343", "Chair": "03001627",
           "Earphone": "03261776", "Guitar": "03467517", "Knife": "03624134", "Lamp": "03636649", "Laptop": "03642806",
           "Motorbike": "03790512", "Mug": "03797390", "Pistol": "03948459", "Rocket": "04099429", "Skateboard": "04225987",
           "Table": "04379243"}
PARTS = {"Airplane": (0, 4), "Mug": (36, 38), "Table": (47, 50)}  # first part and end


def make_shapenetpart(root: Path, train: int = 8, val: int = 2, test: int = 2, points: int = 700) -> Path:
    """Three of the sixteen categories; the part is a matter of height"""
    random = np.random.default_rng(0)
    (root / "train_test_split").mkdir(parents=True)
    (root / "synsetoffset2category.txt").write_text("".join(f"{name}\t{synset}\n" for name, synset in SYNSETS.items()))
    for split, count in (("train", train), ("val", val), ("test", test)):
        names = []
        for category, (first, end) in PARTS.items():
            folder = root / SYNSETS[category]
            folder.mkdir(exist_ok=True)
            for number in range(count):
                cloud = make_surface(random, len(category) % 3, points + number)
                rank = cloud[:, 1].argsort().argsort()
                label = first + rank * (end - first) // len(cloud)
                np.savetxt(folder / f"{split}{number:030x}.txt", np.column_stack([cloud, cloud, label]), "%.6f")
                names.append(f"shape_data/{SYNSETS[category]}/{split}{number:030x}")
        (root / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(names))
    return root


def make_shapenet55(root: Path, train: int = 9, test: int = 2) -> Path:
    """Clouds of 8192 points; the first of train is a test shape of `make_shapenetpart`"""
    random = np.random.default_rng(0)
    for folder in ("ShapeNet-55", "shapenet_pc"):
        (root / folder).mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        names = [f"{SYNSETS['Table' if number % 2 else 'Airplane']}-{split}{number + 50:030x}.npy" for number in range(count)]
        if split == "train":
            names[0] = f"{SYNSETS['Airplane']}-test{0:030x}.npy"
        (root / "ShapeNet-55" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            np.save(root / "shapenet_pc" / name, make_surface(random, number % 2, 8192).astype(np.float32))
    return root
