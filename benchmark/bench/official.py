"""Small trees in the layouts of the official data sets, of real files: what `inputs` measures and the tests read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


def make_imagenet(root: Path, classes: int = 3, train: int = 12, val: int = 4, size: tuple[int, int] = (60, 48)) -> Path:
    """Pictures of one colour and noise for each class; the first is grey, the second a PNG."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(classes):
            folder = root / split / f"n{index:08d}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(random.normal(60 + 60 * index, 30, (*size[::-1], 3)), 0, 255).astype(np.uint8)
                picture = Image.fromarray(pixels)
                if number == 0:
                    picture = picture.convert("L")
                picture.save(folder / f"{split}_{number}.{'png' if number == 1 else 'JPEG'}")
    return root


def write_video(path: Path, num_frames: int = 70, size: tuple[int, int] = (96, 72), codec: str = "libx264",
                options: Mapping[str, str] | None = None, container: Mapping[str, str] | None = None) -> None:
    """A pattern that moves three pixels a frame, with key frames every 24 and B-frames between."""
    width, height = size
    pattern = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    pattern = pattern.repeat(8, 0).repeat(8, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=dict(container or {})) as file:
        stream = file.add_stream(codec, rate=25, options={"g": "24", "bf": "3"} if options is None else dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(num_frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(pattern, 3 * number, 1), format="rgb24")))
        file.mux(stream.encode())


def make_kinetics(root: Path, train: int = 12, val: int = 3) -> Path:
    """Videos of two classes, one of a folder with a space in its name; the first is short, the second portrait, the third WebM.

    Lists quote what has spaces, as pandas does; one path is absolute, and lines end as on Windows.
    """
    for split, count in (("train", train), ("val", val)):
        lines = []
        for number in range(count):
            path = f"{split}/{('abseiling', 'riding a bike')[number % 2]}/{number}.{'webm' if number == 2 else 'mp4'}"
            write_video(root / path, 10 if number == 0 else 70, (72, 96) if number == 1 else (96, 72),
                        "libvpx-vp9" if number == 2 else "libx264",
                        {"deadline": "realtime", "cpu-used": "8", "g": "24"} if number == 2 else None)
            text = f"{root}/{path}" if number == 4 else path
            lines.append(f'"{text}" 1' if " " in text else f"{text} 0")
        (root / f"{split}.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    return root


def make_audioset(root: Path, train: int = 16, evaluation: int = 5, classes: int = 527, seconds: float = 0.5) -> Path:
    """Noisy tones with one or two of three classes; some are stereo, some of 8 kHz, some FLAC, one path is absolute."""
    random = np.random.default_rng(0)
    (root / "audio files").mkdir(parents=True)
    rows = "".join(f'{index},/m/{index:04d},"Sound {index}, or so"\n' for index in range(classes))
    (root / "class_labels_indices.csv").write_text(f"index,mid,display_name\n{rows}")
    for split, count in (("train", train), ("eval", evaluation)):
        data = []
        for number in range(count):
            rate = 8000 if number % 4 == 3 else 16000
            times = np.arange(int(seconds * rate)) / rate
            sound = 0.3 * np.sin(2 * np.pi * 300 * (1 + number % 3) * times) + random.normal(0, 0.01, len(times))
            path = f"audio files/{split}_{number}.{'flac' if number % 3 == 1 else 'wav'}"
            soundfile.write(root / path, np.stack([sound, 0.5 * sound], 1) if number % 5 == 2 else sound, rate)
            labels = [f"/m/{number % 3:04d}"] + ["/m/0002"] * (number % 3 == 1)
            data.append({"wav": f"{root}/{path}" if number == 3 else path, "labels": ",".join(labels)})
        (root / f"{split}.json").write_text(json.dumps({"data": data}))
    return root


def make_surface(random: np.random.Generator, kind: int, points: int) -> Array:
    """(points, 3) on an ellipsoid of a class, somewhere in space"""
    on_sphere = random.normal(size=(points, 3))
    on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
    return on_sphere * (1 + kind, 1, 2) * random.uniform(0.5, 2) + random.normal(size=3)


def make_modelnet_texts(root: Path, classes: tuple[str, ...] = ("airplane", "night_stand", "tv_stand"), train: int = 12,
                        test: int = 4, points: int = 1210) -> Path:
    """modelnet40_normal_resampled"""
    random = np.random.default_rng(0)
    root.mkdir(parents=True)
    (root / "modelnet40_shape_names.txt").write_text("\n".join(classes) + "\n")
    for split, first, count in (("train", 1, train), ("test", train + 1, test)):
        names = [f"{name}_{number:04d}" for name in classes for number in range(first, first + count)]
        (root / f"modelnet40_{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            folder = root / name.rpartition("_")[0]
            folder.mkdir(exist_ok=True)
            cloud = make_surface(random, classes.index(folder.name), points)
            np.savetxt(folder / f"{name}.txt", np.concatenate([cloud, cloud], 1), "%.6f", ",")
    return root


def make_modelnet_meshes(root: Path, classes: tuple[str, ...] = ("bowl", "cone"), train: int = 3, test: int = 2) -> Path:
    """Tetrahedra and pyramids as OFF files, some with the header and the counts in one word, one with a face of four corners"""
    random = np.random.default_rng(0)
    for label, name in enumerate(classes):
        for split, count in (("train", train), ("test", test)):
            (root / name / split).mkdir(parents=True)
            for number in range(count):
                vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 2 + label]])
                vertices *= random.uniform(10, 90)
                faces = ["4 0 1 2 3" if number == 0 else "3 0 1 2\n3 0 2 3", *(f"3 {i} {(i + 1) % 4} 4" for i in range(4))]
                lines = [" ".join(f"{value:.4f}" for value in vertex) for vertex in vertices]
                header = "OFF5" if number % 2 else "OFF\n5"
                text = "\n".join([f"{header} {5 if number == 0 else 6} 0", *lines, *faces])
                (root / name / split / f"{name}_{number + (train if split == 'test' else 0):04d}.off").write_text(text + "\n")
    return root


def make_hdf5(path: Path, data: Array, **labels: Array) -> Path:
    """One file of clouds"""
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


def make_scanobjectnn(root: Path, train: int = 10, test: int = 4) -> Path:
    """The three variants"""
    for seed, (folder, ending) in enumerate((("main_split", "objectdataset"), ("main_split_nobg", "objectdataset"),
                                             ("main_split", "objectdataset_augmentedrot_scale75"))):
        for split, count in (("training", train), ("test", test)):
            labels = np.arange(count) % 15
            make_hdf5(root / folder / f"{split}_{ending}.h5", make_clouds(labels, 2048, seed), label=labels)
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


def make_partnet(root: Path) -> Path:
    """Two categories of PartNet's sem_seg_h5"""
    for name in ("Chair-3", "Table-1"):
        for seed, split in enumerate(("train", "val", "test")):
            parts = np.random.default_rng(seed).integers(0, 5, (2, 10_000))
            make_hdf5(root / name / f"{split}-00.h5", make_clouds(np.arange(2), 10_000, seed), label_seg=parts.astype(np.uint8))
            (root / name / f"{split}_files.txt").write_text(f"./{split}-00.h5\n")
    return root
