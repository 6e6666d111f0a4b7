"""A published file of weights in, every set of weights in it out, by name; or the reason why there is none.

A file is known by its first bytes, never by its name. No code in it is run (see `inert`).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmark.model.weights import CheckpointError
from benchmark.spec.weightfile import cut_short
from benchmark.transfer import arrays, ctranslate2, inert, torchscript

NESTS = ("model", "module", "state_dict", "base_model", "teacher")  # where published files keep what people use
WRAPPERS = ("module.", "model.", "student.", "teacher.", "model_ema.", "ema_model.", "ema.", "backbone.",
            "text_model.", "vision_model.", "visual.", "text.", "trunk.")  # before all names
TRANSPARENT = re.compile(r"(^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # anywhere in names
BLOCK = re.compile(r"(^|\.)(blocks|layers?|h|transformer\.resblocks)\.\d+\.")  # in the names of any transformer
DEEPEST = 4  # nests in one another
AVERAGE = re.compile(r"(^|[._])ema([._]|$)|average")
SHOWN = 60  # characters of a text
KNOWN = ("Known are files of torch.save (.pth, .pt, .bin) and torch.jit.save, .safetensors, an index of either in parts "
         "(.index.json), and archives of NumPy arrays (.npz)")
OTHERS = {  # first bytes: what it is, and what to do
    b"\x1f\x8b": "is compressed by gzip; unpack it first", b"BZh": "is compressed by bzip2; unpack it first",
    b"\xfd7zXZ\x00": "is compressed by xz; unpack it first", b"\x28\xb5\x2f\xfd": "is compressed by zstd; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it first", b"Rar!": "is a RAR archive; unpack it first",
    b"\x89HDF\r\n\x1a\n": f"is HDF5, as Keras writes. {KNOWN}",
    b"GGUF": f"is GGUF. {KNOWN}",
    b"\x93NUMPY": f"is one NumPy array and no weights by name. {KNOWN}"}
ADAPTED = re.compile(r"(^|[._])(lora_|loha_|lokr_|hada_|ia3_|oft_|boft_|vera_)")  # in names of tensors of an adapter
PART = re.compile(r"-\d{5}-of-(\d{5})\.(safetensors|bin)$")  # of a file of weights in several parts, which an index names


@dataclass(frozen=True)
class Sets:
    """The sets of weights in one file."""

    by_name: Mapping[str, dict[str, Tensor]]  # the one that is taken where nobody chooses comes first
    left_out: tuple[str, ...]  # names beside a set, outside of what wraps it

    def choose(self, name: str | None) -> str:
        """The name of the set that is meant, by its own or the end of it; raises `CheckpointError` for an unknown one."""
        if name is None:
            return next(iter(self.by_name))
        found = [own for own in self.by_name if own == name or own.endswith(f".{name}")]
        if len(found) != 1:
            raise CheckpointError(f"no single set of weights {name!r} in the file; it has "
                                  f"{', '.join(own or '(no name)' for own in self.by_name)}")
        return found[0]

    def told(self, chosen: str) -> str:
        """Which set was taken, where there are several, and how the others are called; else """""
        others = [name for name in self.by_name if name != chosen]
        called = f"the weights under {chosen!r}" if chosen else "the weights under no name"
        return f"taken: {called}; there are also {', '.join(own or '(no name)' for own in others)}" if others else ""


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """A fault of what is in a file is raised with the name of the file."""
    try:
        yield
    except CheckpointError as error:
        if str(path) in str(error):
            raise
        raise CheckpointError(f"checkpoint {path}: {error}") from error


def read_sets(path: Path) -> Sets:
    """Every set of weights in a file; raises `CheckpointError` with the reason where there is none."""
    left_out: list[str] = []
    try:
        state = _load(path, left_out)
    except MemoryError:
        raise
    except IsADirectoryError as error:
        raise CheckpointError(f"{path} is a folder; name the file of weights in it, or where they are in parts the index, "
                              "*.index.json") from error
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
    if (part := PART.search(path.name)) and int(part[1]) > 1:  # the first of them may well end after a whole block
        raise CheckpointError(f"checkpoint {path} is one part of {int(part[1])}, and blocks may go on in the others: name the "
                              "index beside it, *.index.json; or, where all that is wanted is in this one, give it a name "
                              "without these numbers")
    found: dict[str, dict[str, Tensor]] = {}
    for nest, tensors in _nests(state, ""):
        _refuse_adapter(path, tensors)
        for name, weights in _unwrap(nest, tensors, left_out):
            found[name if name not in found else f"{name}.{len(found)}"] = weights
    named = {name: weights for name, weights in found.items() if any("." in key for key in weights)}
    if not named:
        raise CheckpointError(f"checkpoint {path} holds no weights by name{_describe(state)}")
    return Sets(dict(sorted(named.items(), key=lambda entry: _rank(entry[0]))), tuple(left_out))


def _refuse_adapter(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises `CheckpointError` where tensors change the weights of a model, as those of PEFT, and are no weights themselves."""
    found = [name for name in tensors if ADAPTED.search(name)]
    if not found or (len(found) < len(tensors) and not found[0].startswith("base_model.model.")):
        return  # beside weights, each is told as what it is
    try:
        base = json.loads(path.with_name("adapter_config.json").read_bytes())["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        base = None
    called = f", {base[:SHOWN]}," if isinstance(base, str) and base.isprintable() and base else ""
    raise CheckpointError(f"checkpoint {path} is an adapter, as PEFT writes them, which changes the weights "
                          f"of a model and is none. Merge it into its base model{called} and convert what that saves: "
                          "PeftModel.from_pretrained(base, FOLDER_OF_THE_ADAPTER).merge_and_unload().save_pretrained(FOLDER)")


def _describe(state: object) -> str:
    """What is there instead of weights"""
    if not isinstance(state, Mapping):
        return f", but a {type(state).__name__}"
    if isinstance(state, inert.StandIn) or any(isinstance(value, inert.StandIn) for value in state.values()):
        return ", but a whole pickled object or arrays of NumPy; load it where its code is, and save its state_dict()"
    return f"; it has {', '.join(repr(key)[:SHOWN] for key in list(state)[:5]) or 'nothing'}"


def _rank(name: str) -> tuple[bool, bool, bool]:
    """Averages come last, and pupils after their teachers"""
    parts = name.split(".")
    return AVERAGE.search(name) is not None, "student" in parts, not any(part in NESTS for part in parts)


def _nests(state: object, name: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping with tensors by name, inside of others; what else lies beside the tensors is left"""
    if not isinstance(state, Mapping) or depth > DEEPEST:
        return
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield name, tensors
    for key, value in state.items():
        if isinstance(key, str):
            yield from _nests(value, f"{name}.{key}".lstrip("."), depth + 1)


def _unwrap(name: str, tensors: Mapping[str, Tensor], left_out: list[str]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Names without what wraps them, as training in parallel, compiling and several models in one put it before them"""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        bare = TRANSPARENT.sub("", key)
        prefix = next((wrapper for wrapper in WRAPPERS if bare.startswith(wrapper)), "")
        groups.setdefault(prefix, {})[bare.removeprefix(prefix)] = tensor
    if sum(map(len, groups.values())) != len(tensors):
        raise CheckpointError(f"two tensors of {name or 'the file'} have one name without what wraps them")
    if groups.keys() == {""}:
        yield name, groups[""]
        return
    for prefix, group in groups.items():
        if prefix:
            inner = "" if prefix == "module." else prefix.removesuffix(".")
            yield from _unwrap(f"{name}.{inner}".strip("."), group, left_out)
        elif any(BLOCK.search(key) for key in group):
            yield name, group
        else:
            left_out += group


def _load(path: Path, left_out: list[str]) -> object:
    """What the file holds, by the kind that its first bytes show; of an index what the parts hold that it names. Adds to
    `left_out` what a reader already knows to be of no encoder."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
        if path.name.endswith(".index.json") and head.lstrip().startswith(b"{"):
            return _load_parts(path, left_out)
        if ctranslate2.MARK.match(head):
            return ctranslate2.read_container(path)
        if head.startswith(b"PK\x03\x04") and arrays.is_archive(path):
            return arrays.read_archive(path, left_out)
        if head.startswith(b"PK\x03\x04") and torchscript.is_archive(path):
            return torchscript.read_archive(path)
        fault = _fault_of(path, head, size)
        if fault:
            raise CheckpointError(f"checkpoint {path} {fault}")
        file.seek(0)
        try:
            if head[8:9] == b"{":
                return load_file(path)
            with warnings.catch_warnings(action="ignore"):  # of sources of pickled modules, which nobody needs
                return torch.load(file, map_location="cpu", pickle_module=inert, weights_only=False,
                                  encoding="latin1")
        except (MemoryError, OSError):
            raise
        except EOFError as error:
            raise CheckpointError(f"checkpoint {path} is cut short: it ends after {size:,} bytes; "
                                  "download it again") from error
        except SafetensorError as error:
            raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error
        except Exception as error:  # an unpickler raises whatever a foreign or damaged file makes it stumble over
            reason = " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(error)).split())[:200] or type(error).__name__
            if "magic number" in reason:
                reason = "it is a pickle that torch.save did not write"
            elif not head.startswith(b"\x80") and not head.startswith(b"PK"):
                reason = f"it is of no known format. {KNOWN}"
            raise CheckpointError(f"checkpoint {path} is refused, as only tensors and plain values are read: "
                                  f"{reason}") from error


def files_of(path: Path) -> list[Path]:
    """The files that hold the weights: `path` itself, or of an index the parts that it names."""
    return sorted(set(_parts(path)[1].values())) if path.name.endswith(".index.json") else [path]


def _parts(index: Path) -> tuple[dict[str, object], dict[str, Path]]:
    """The part that holds each tensor, by name; and where each part is"""
    try:
        places = json.loads(index.read_bytes())["weight_map"]
        return places, {str(name): index.with_name(Path(str(name)).name) for name in places.values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"index {index} has no weight_map of names and files; name the file of weights itself") from error


def _load_parts(index: Path, left_out: list[str]) -> dict[str, object]:
    """Every tensor that an index of safetensors or PyTorch names, from the parts beside it"""
    places, parts = _parts(index)
    lacking = [name for name, path in parts.items() if not path.is_file()]
    if lacking:
        raise CheckpointError(f"{len(lacking)} of {len(parts)} parts that {index} names are not beside it, first {lacking[0]}; "
                              "download them")
    held = {name: _load(path, left_out) for name, path in parts.items()}
    found: dict[str, object] = {}
    for name, part in places.items():
        weights = held[str(part)]
        if not isinstance(weights, Mapping) or name not in weights:
            raise CheckpointError(f"{parts[str(part)]} does not hold {name}, which {index} says; download both again")
        found[name] = weights[name]
    return found


def _fault_of(path: Path, head: bytes, size: int) -> str:
    """Why a file is no checkpoint, or not a whole one, and what to do; "" where nothing shows"""
    if not head:
        return "is empty; download it again"
    if head.startswith(b"version https://git-lfs"):
        whole = re.search(rb"\nsize (\d+)", head)
        to = f" to {int(whole[1]):,} bytes" if whole else ""
        return f"is a Git LFS pointer{to} and not the file itself; fetch that with: git lfs pull"
    other = next((what for start, what in OTHERS.items() if head.startswith(start)), "")
    if other or head.startswith(b"PK\x03\x04"):
        return other or _archive_fault(path, size)
    if head[8:9] == b"{":
        return cut_short(path)
    return "" if head.startswith(b"\x80") or b"\0" in head else _text_fault(head)


def _text_fault(head: bytes) -> str:
    try:
        text = " ".join(head.decode("utf-8-sig", errors="strict" if len(head) < 512 else "ignore").split())
    except UnicodeDecodeError:
        return ""
    if re.match(r"<(!doctype|html|head|\?xml)", text, re.IGNORECASE):
        return "is an HTML page, as a download that failed leaves it; download the file itself"
    if not text.isprintable():
        return ""
    return f"is a text file, which begins with {text[:SHOWN]!r}; download the weights themselves. {KNOWN}"


def _archive_fault(path: Path, size: int) -> str:
    names = arrays.names_in(path)
    if not names:
        return (f"is cut short or damaged: {size:,} bytes, without the list of contents that ends such an archive; "
                "download it again")
    if any(name.endswith("constants.pkl") for name in names):
        return "is TorchScript without its module (data.pkl); load it where it is from, and save its state_dict()"
    if not any(name.endswith("data.pkl") for name in names):
        return f"is a zip archive that torch.save did not write (with {', '.join(names[:3])}); unpack it first"
    return ""
