"""AudioSet-20K in the layout of AudioMAE: ROOT/{train,eval}.json and ROOT/class_labels_indices.csv; eval is our test split.

Sounds become Kaldi filter banks as they are read. In training some are mixed with another of the split, as waveforms, and
the transformer sees a part of the rows and columns of patches only.

Shapes: B batch, F frames, M mel bins, C classes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from benchmark.data.catalogue import Item, Layout, Prepared, checked, digests, folder, items
from benchmark.data.embedded import DataError
from benchmark.data.examples import Batch, Examples
from benchmark.data.files import Files, Random, Reader, load_files
from benchmark.data.listing import Entry, Listing, Root, carve_validation, found_instead, parse_json, read_text
from benchmark.provenance.code import reachable_code
from benchmark.records.record import write_whole
from benchmark.spec.recipes import Split, TrainRecipe
from tasks.audioset.waveform import FBANK_MEAN, FBANK_STD, SAMPLE_RATE, decode, fit_frames, kaldi_fbank
from tasks.extents import check_extent

if TYPE_CHECKING:
    from benchmark.data.seeds import SampleRandom
    from benchmark.spec.recipes import ModelShape, OptimRecipe

__all__ = ["LAYOUTS", "digests", "load"]

CACHE = "M2PT_FBANK_CACHE"  # 1: keep filter banks that were computed, half a megabyte each
NUM_CLASSES = 527
LOUDEST = 32  # times full scale; what floats of a recording go beyond it by is far less
MIX_ALPHA = 10.0  # of Beta(alpha, alpha), the share of a sound in a mixture
MEASURED = 1000  # training files that `facts` are measured on, at most
CLASSES = "class_labels_indices.csv"
MADE_BY = ("tasks.audioset.official", "tasks.audioset.sound", "tasks.audioset.waveform")
PACKAGES = ("torchaudio", "soundfile", "av")
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".dat", ".joblib"}


def enumerate_files(root: Root) -> Listing:
    """The sounds of both lists; a part of the training sounds becomes the validation split.

    Raises `DataError` for lists that are missing, malformed or empty, for a class that is not in the list of classes, and
    for a sound that is in both lists.
    """
    classes = read_classes(root.path / CLASSES)
    mids = {mid: index for index, (mid, _) in enumerate(classes)}
    train, test = (read_list(root, name, mids) for name in ("train.json", "eval.json"))
    both = {entry.path for entry in train} & {entry.path for entry in test}
    if both:
        raise DataError(f"{len(both)} sounds of {root.path / 'eval.json'} are in train.json too, first {min(both)!r}; "
                        "what is tested on cannot be trained on")
    train, val = carve_validation(train)
    problems = [] if len(classes) == NUM_CLASSES else [f"{CLASSES} has {len(classes)} classes, AudioSet has {NUM_CLASSES}"]
    return Listing({"train": train, "val": val, "test": test}, [name for _, name in classes], problems)


def read_classes(path: Path) -> list[tuple[str, str]]:
    """(mid, display name) by index of `class_labels_indices.csv`; raises `DataError`."""
    try:
        lines = csv.DictReader(io.StringIO(read_text(path), newline=""))
        rows = [(int(row["index"]), row["mid"].strip(), row["display_name"].strip()) for row in lines]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"list of classes {path} cannot be read ({type(error).__name__}: {error}); "
                        "it has columns index,mid,display_name") from error
    rows.sort()
    if not rows or [index for index, _, _ in rows] != list(range(len(rows))) or len({mid for _, mid, _ in rows}) != len(rows):
        raise DataError(f"list of classes {path} does not number its {len(rows)} classes from 0, each mid once")
    if len(rows) > NUM_CLASSES:
        raise DataError(f"list of classes {path} has {len(rows)} classes, AudioSet has {NUM_CLASSES}")
    return [(mid, name) for _, mid, name in rows]


def read_list(root: Root, name: str, mids: Mapping[str, int]) -> list[Entry]:
    """`{"data": [{"wav": path, "labels": "mid,mid"}]}` -> entries with class indices; raises `DataError` naming the place."""
    path = root.path / name
    try:
        data = parse_json(read_text(path))["data"]
        rows = [(str(row["wav"]), [mid.strip() for mid in row["labels"].split(",") if mid.strip()]) for row in data]
    except OSError as error:
        pickles = sorted(file.name for file in root.path.iterdir() if file.suffix.lower() in PICKLES)
        hint = f"; {pickles[0]} is not read, as loading a pickle may run anything that is written in it" if pickles else ""
        raise DataError(f"list {path} cannot be read ({error.strerror}){hint}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f'list {path} is malformed ({type(error).__name__}: {error}); it is '
                        '{"data": [{"wav": path, "labels": "mid,mid"}]}') from error
    if not rows:
        raise DataError(f"list {path} is empty")
    entries = []
    for number, (wav, labels) in enumerate(rows):
        unknown = [mid for mid in labels if mid not in mids] if labels else [""]
        if unknown:
            raise DataError(f"{path} entry {number}, {wav!r}: class {unknown[0]!r} is not in {CLASSES}")
        entries.append(Entry(root.below(wav), ",".join(str(index) for index in sorted({mids[mid] for mid in labels}))))
    return entries


def look(path: Path) -> None:
    """Decode the whole sound; raises `DataError`."""
    samples_of(path)


def samples_of(path: Path) -> Tensor:
    """(S,) float32 at 16 kHz, one channel; raises `DataError` naming the file where it is damaged, cut short or too large."""
    if path.suffix.lower() in PICKLES:
        raise DataError(f"sound {path} is a pickle, and loading one may run anything that is written in it; "
                        "name the WAV or FLAC file")
    try:
        check_extent(path, "sound")
    except OSError as error:
        raise DataError(f"sound {path} cannot be read: {error}") from error
    try:
        samples = decode(path)
    except DataError as error:
        instead = found_instead(path)
        raise (DataError(f"sound {path} cannot be read: {instead}") if instead else error) from error
    if len(samples) < SAMPLE_RATE // 40:
        raise DataError(f"sound {path} is shorter than one window of 25 ms")
    if not samples.isfinite().all():
        raise DataError(f"sound {path} has values that are no numbers")
    if (peak := samples.abs().max().item()) > LOUDEST:
        raise DataError(f"sound {path} has samples up to {peak:.3g}, where 1 is full scale: floats of the size of whole "
                        "numbers; divide them by that of their kind (32768 of 16 bits), or write whole numbers")
    return samples


def facts(prepared: Prepared) -> dict[str, Any]:
    """Mean and deviation of the filter banks of at most 1,000 training files, beside those that inputs are normalised with"""
    found = items(prepared, "train")
    chosen = [found[place] for place in np.linspace(0, len(found) - 1, min(MEASURED, len(found))).round().astype(int)]
    count, total, squares = 0, 0.0, 0.0
    for item in chosen:
        fbank = Sounds().fbank(samples_of(checked(prepared, item))).double()
        count, total, squares = count + fbank.numel(), total + fbank.sum().item(), squares + fbank.square().sum().item()
    mean = total / count
    return {"fbank mean": round(mean, 4), "fbank std": round(math.sqrt(max(squares / count - mean**2, 0.0)), 4),
            "fbank mean and std of AudioMAE": [FBANK_MEAN, FBANK_STD], "files measured": len(chosen)}


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of a prepared AudioSet: filter banks, and "label" (N, 527) of 0 and 1"""
    (name,) = names
    return load_files(name, Sounds, tag_columns, SoundFiles)


def tag_columns(labels: Sequence[str]) -> dict[str, Tensor]:
    """"label" (N, 527) of 0 and 1; raises `ValueError` or `IndexError` for what is no list of classes"""
    label = torch.zeros(len(labels), NUM_CLASSES)
    for place, text in enumerate(labels):
        label[place, [int(index) for index in text.split(",")]] = 1
    return {"label": label}


class SoundFiles(Files):
    """Sounds that may be mixed with each other: with those of the part of the split that is trained on, as it is labelled."""

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """See `benchmark.data.files.Reader.configured`."""
        other = super().configured(shape, recipe)
        if isinstance(other.reader, Sounds):
            other.reader.prepared, other.reader.labels = self.prepared, self.columns.get("label")
            other.reader.partners = [self.items[place] for place in self.columns["input"].tolist()]
        return other


class Sounds(Reader):
    """A sound to (F, M) filter banks, and in training the tokens of it that are seen.

    Strengths: mix (probability that a sound is mixed with a random other one of the split, x = s a + (1 - s) b of the
    waveforms and of the labels, s ~ Beta(10, 10)), drop_time and drop_frequency (shares of the rows and of the columns of
    patches that the transformer does not see; AudioMAE's fine-tuning).
    """

    alters = frozenset({"mix", "drop_time", "drop_frequency"})

    def __init__(self, size: tuple[int, int] = (1024, 128), grid: tuple[int, int] = (64, 8), mix: float = 0.0,
                 drop_time: float = 0.0, drop_frequency: float = 0.0):
        if not (0 <= mix <= 1 and 0 <= drop_time < 1 and 0 <= drop_frequency < 1):
            raise ValueError(f"mix {mix:g} is a probability; drop_time {drop_time:g} and drop_frequency {drop_frequency:g} are "
                             "shares below 1")
        self.size, self.grid, self.mix, self.drop_time, self.drop_frequency = size, grid, mix, drop_time, drop_frequency
        self.cache = folder() / "fbanks" / code_digest() if os.environ.get(CACHE) == "1" else None
        self.prepared: Prepared  # this and what follows is of the split, see `SoundFiles`
        self.partners: list[Item] = []
        self.labels: Tensor | None = None

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """Sizes of the model; strengths of a training recipe. Raises `ValueError` where pretraining is to mix or to drop."""
        strengths = {name: recipe.augment.get(name, 0.0) for name in sorted(self.alters)}
        if not isinstance(recipe, TrainRecipe) and any(strengths.values()):
            raise ValueError(f"{', '.join(sorted(self.alters))} are for training; masked pretraining hides patches by itself")
        (frames, bins), (high, wide) = shape.input_size, shape.patch_size
        return type(self)((frames, bins), (frames // high, bins // wide), **strengths)

    def read(self, path: Path, random: Random | None) -> dict[str, Tensor]:
        """See `benchmark.data.files.Reader`; of a mixture also the place of its partner and the share that is not its."""
        if random is None or not self.mix:
            return {"input": self.unaltered(path)}
        if random.random() >= self.mix:
            return {"input": self.unaltered(path), "partner": torch.tensor(0), "share": torch.tensor(1.0)}
        partner, share = int(random.integers(len(self.partners))), float(random.beta(MIX_ALPHA, MIX_ALPHA))
        one, other = samples_of(path), samples_of(checked(self.prepared, self.partners[partner]))
        one, other = one - one.mean(), fit_frames((other - other.mean())[:, None], len(one))[:, 0]
        mixed = share * one + (1 - share) * other
        return {"input": self.fbank(mixed), "partner": torch.tensor(partner), "share": torch.tensor(share)}

    def join(self, samples: Sequence[dict[str, Tensor]], batch: Batch, random: SampleRandom | None) -> Batch:
        """Mixed labels where sounds were mixed; "ids_keep" (B, K) where tokens are dropped"""
        joined = super().join(samples, batch, random)
        partner, share = joined.pop("partner", None), joined.pop("share", None)
        if partner is not None and share is not None and self.labels is not None:
            joined["label"] = share[:, None] * joined["label"] + (1 - share[:, None]) * self.labels[partner]
        if random is not None and (self.drop_time or self.drop_frequency):
            rows, columns = (kept_places(random, use, size, share) for use, size, share in zip(
                ("drop_time", "drop_frequency"), self.grid, (self.drop_time, self.drop_frequency), strict=True))
            joined["ids_keep"] = (rows[:, :, None] * self.grid[1] + columns[:, None, :]).flatten(1)
        return joined

    def fbank(self, samples: Tensor) -> Tensor:
        """(S,) -> (F, M)"""
        return fit_frames(kaldi_fbank(samples, self.size[1]), self.size[0])

    def unaltered(self, path: Path) -> Tensor:
        """(F, M) of a file, from the cache where there is one and it has it"""
        if self.cache is None:
            return self.fbank(samples_of(path))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        place = self.cache / digest[:2] / f"{digest}-{self.size[0]}x{self.size[1]}.npy"
        kept = read_cached(place, self.size)
        if kept is None:
            kept = self.fbank(samples_of(path))
            write_cached(place, kept)
        return kept


def kept_places(random: SampleRandom, use: str, size: int, share: float) -> Tensor:
    """(B, K) int64, ascending: int(size (1 - share)) of `size` places, at least one"""
    num_kept = max(1, int(size * (1 - share) + 1e-6))
    return random.uniform(use, size).argsort(dim=1, stable=True)[:, :num_kept].sort(1).values


def code_digest() -> str:
    """Of the code that makes filter banks of files: what other code has kept is not read."""
    trees = dict(reachable_code(MADE_BY))
    made_by = [f"{name} {trees[name]}" for name in MADE_BY] + [f"{name} {version(name)}" for name in PACKAGES]
    return hashlib.sha256("\n".join(made_by).encode()).hexdigest()[:8]


def read_cached(place: Path, size: tuple[int, int]) -> Tensor | None:
    """The array of a file that ends in its own SHA-256; None where it is not there or was damaged."""
    try:
        content = place.read_bytes()
        if hashlib.sha256(content[:-32]).digest() != content[-32:]:
            return None
        array = np.load(io.BytesIO(content[:-32]), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(array) if array.shape == size and array.dtype == np.float32 else None


def write_cached(place: Path, fbank: Tensor) -> None:
    """Keep an array, whole or not at all; a cache that cannot be written is none."""
    content = io.BytesIO()
    np.save(content, fbank.numpy(), allow_pickle=False)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, content.getvalue() + hashlib.sha256(content.getvalue()).digest(), lasting=False)


LAYOUTS = (Layout("audioset_20k", 'ROOT/train.json and ROOT/eval.json with {"data": [{"wav": path, "labels": "mid,mid"}]}, '
                  f"ROOT/{CLASSES} (index,mid,display_name), WAV or FLAC files below ROOT; eval is tested on, a twentieth of "
                  "train is validated on", enumerate_files, look, facts),)
