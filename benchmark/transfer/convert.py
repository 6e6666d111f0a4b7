"""A published file in, weights under our names for one task's encoder, or its blocks alone, out; every key accounted for.

`published` reads the file, `namings` knows the names, `kinds` what blocks compute; here they are fitted to the model.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from benchmark.model.encoder import Encoder, build_blocks
from benchmark.model.weights import CheckpointError
from benchmark.records.record import write_whole
from benchmark.spec.contracts import Task
from benchmark.spec.plural import counted
from benchmark.spec.recipes import ModelShape
from benchmark.spec.weightfile import NAME, BlockShape, Origin, exact, ratio_of, read_exported, read_origin
from benchmark.transfer.kinds import CLOSE, Kind, check_sizes, kind_of, place_norms, reasons
from benchmark.transfer.namings import HEAD_NORM, Naming, detect, fault_of, index_of, rename
from benchmark.transfer.published import files_of, read_sets, told_of

NORM = ("norm.weight", "norm.bias")
POSITIONS = "tokenizer.pos_embed"
LINEAR_BIAS = re.compile(r"(attn|mlp)\..*\.bias$")  # of a block's layer


@dataclass
class Conversion:
    """Weights under our names, and what happened to every key on the way."""

    tensors: dict[str, Tensor]
    format: str
    dropped: list[str] = field(default_factory=list)  # of the file: decoders, heads, mask tokens
    filled: list[str] = field(default_factory=list)  # of the model: what the format leaves to be computed
    reshaped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # which of several weights were taken, and what they do without
    differences: list[str] = field(default_factory=list)  # what its blocks computed otherwise
    blocks: BlockShape | None = None
    modality: str = ""  # of the task that they are for
    sources: dict[str, str] = field(default_factory=dict)  # SHA-256 of the files that were read, by name

    def describe(self) -> str:
        """One line for each kind of key"""
        lines = [f"{self.format}: {counted(len(self.tensors), 'tensor')}", *self.notes]
        lines += [f"otherwise than it was: {difference}" for difference in self.differences]
        for what, names in (("reshaped", self.reshaped), ("filled", self.filled), ("left out", self.dropped)):
            if names:
                lines.append(f"{what} ({len(names)}): {', '.join(summarise(names))}")
        return "\n".join(lines)


def summarise(names: list[str]) -> list[str]:
    """Names with the numbers of their blocks replaced by N, each once"""
    return list(dict.fromkeys(re.sub(r"([._])\d+\.", r"\1N.", name) for name in names))


def convert(path: Path, task: Task, shape: ModelShape, *, blocks_only: bool = False, interpolate: bool = False,
            weights: str | None = None) -> Conversion:
    """Weights of a published file for the encoder of `task` and `shape`.

    `blocks_only` takes the blocks alone, as an auxiliary gives them. `interpolate` fits learned positions of another grid
    (bicubic). `weights` names the set that is taken where a file has several. Raises `CheckpointError` with every key that
    is missing, left over or of another shape, and, of more than blocks, where ours would compute something else (but for
    GELU by its formula of tanh, which is close to it, and told).
    """
    renamed, conversion, naming, kind = _read(path, weights)
    _check_kind(path, conversion, kind, shape, naming, whole=not blocks_only)
    if kind.num_heads is None:  # which no weight tells: with others its blocks compute something else
        conversion.notes.append(f"taken with {shape.num_heads} attention heads, as the model has: neither the file nor a "
                                "config.json beside it says how many")
    model = Encoder(task.tokenizer(shape), shape)
    added = tuple(f"tokenizer.{name}" for name in model.tokenizer.added_for_target)
    own = {name: tensor for name, tensor in model.state_dict().items() if not added or not name.startswith(added)}
    if blocks_only:
        own, renamed = _blocks(own), _take_blocks(renamed, conversion)
    _fill(own, renamed, model, naming, conversion)
    _leave_norm(own, renamed, conversion)
    if interpolate:
        _interpolate(own, renamed, model, shape, conversion)
    wrong = _differences(own, renamed)
    if wrong:
        hints = reasons(wrong) + (_hints(own, renamed, model, shape) if not blocks_only else [])
        _refuse(path, naming, f"does not fit {task.name}{_other_sizes(renamed, shape)}", wrong, hints)
    conversion.blocks = BlockShape(**{name: getattr(shape, name) for name in BlockShape.model_fields})
    conversion.modality = task.modality
    conversion.tensors = {name: renamed[name].to(own[name].dtype).contiguous() for name in own}
    return conversion


def convert_blocks(path: Path, *, num_heads: int | None = None, first: int | None = None,
                   weights: str | None = None) -> Conversion:
    """The blocks of a published file, in the sizes that they have there: an auxiliary of a modality that no task has.

    `num_heads` is needed where neither the file nor a configuration beside it says it, `first` takes only so many blocks
    from the first on. Raises `CheckpointError` as `convert` does.
    """
    renamed, conversion, naming, kind = _read(path, weights)
    renamed = _take_blocks(renamed, conversion)
    depth = len({index_of(name) for name in renamed})
    sizes = [renamed.get(f"blocks.0.{name}.weight", torch.empty(0, 0)).shape for name in ("attn.proj", "mlp.fc1")]
    if not depth or min(map(len, sizes)) < 2 or 0 in (*sizes[0], *sizes[1]):
        raise CheckpointError(f"checkpoint {path} ({naming.name}) has no blocks of attention and an MLP of two layers"
                              + "".join(f"; {reason}" for reason in reasons(list(renamed))))
    if None not in (num_heads, kind.num_heads) and num_heads != kind.num_heads:
        raise CheckpointError(f"checkpoint {path} ({naming.name}) has {kind.num_heads} attention heads; leave out --heads")
    heads = kind.num_heads or num_heads
    if heads is None:
        raise CheckpointError(f"checkpoint {path} ({naming.name}) does not say how many attention heads it has, nor "
                              "does a config.json beside it: give --heads N, or put the config.json that was published with it "
                              "there")
    width = sizes[0][0]
    if heads < 1 or width % heads:
        raise CheckpointError(f"checkpoint {path} ({naming.name}): {heads} heads do not divide its width of {width}")
    if first is not None:
        if not 1 <= first <= depth:
            raise CheckpointError(f"checkpoint {path} ({naming.name}) has {depth} blocks; --first-blocks {first} does not fit")
        later = [name for name in renamed if index_of(name) >= first]
        conversion.notes.append(f"taken: the first {first} of {depth} blocks")
        conversion.dropped += later
        renamed, depth = {name: tensor for name, tensor in renamed.items() if name not in set(later)}, first
    conversion.blocks = BlockShape(embed_dim=width, depth=depth, num_heads=heads, mlp_ratio=ratio_of(sizes[1][0], width))
    with torch.device("meta"):
        blocks = build_blocks(width, depth, heads, conversion.blocks.mlp_ratio, qkv_bias=True)
    own = {f"blocks.{name}": tensor for name, tensor in blocks.state_dict().items()}
    _fill_biases(own, renamed, conversion)
    if wrong := _differences(own, renamed):
        _refuse(path, naming, f"has other blocks than ours{_other_numbers(renamed)}", wrong, reasons(wrong))
    conversion.tensors = {name: renamed[name].to(own[name].dtype).contiguous() for name in own}
    return conversion


def _read(path: Path, weights: str | None) -> tuple[dict[str, Tensor], Conversion, Naming, Kind]:
    """Weights under our names, with norms where ours have them, and what is known of them so far"""
    sets = read_sets(path)
    with told_of(path):
        chosen = sets.choose(weights)
        naming = detect(sets.by_name[chosen])
        kind = kind_of(path, chosen, naming, sets.by_name[chosen])
        renamed, dropped, reshaped = rename(naming, sets.by_name[chosen])
    known = read_origin(path)
    check_sizes(path, replace(kind, depth=None) if known else kind, renamed)  # of what was written here, some may be left out
    conversion = Conversion({}, naming.name, [*sets.left_out, *dropped], reshaped=reshaped, differences=kind.differences())
    if kind.post_norm:
        place_norms(renamed)
    if taken := sets.told(chosen):
        other = next(name for name in sets.by_name if name != chosen)
        conversion.notes.append(f"{taken} (--weights {shlex.quote(other)})")
    if known:
        conversion.sources, conversion.differences = dict(known.sources), [*known.differences, *conversion.differences]
        kind = replace(kind, num_heads=known.blocks.num_heads)
    elif (exported := read_exported(path)) is not None:
        kind = replace(kind, num_heads=exported.num_heads)
    if naming.name == "timm" and kind.num_heads is None:
        conversion.notes.append("taken as a plain ViT's (norms before attention and MLP, GELU, no rotary embedding), as no "
                                "config.json beside it names timm's architecture")
    for file in [] if known else files_of(path):
        with file.open("rb") as opened:
            conversion.sources[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return renamed, conversion, naming, kind


def _check_kind(path: Path, conversion: Conversion, kind: Kind, shape: ModelShape, naming: Naming, whole: bool) -> None:
    alone = "; with --blocks-only its blocks serve as an auxiliary"
    if whole and naming.other_input:
        raise CheckpointError(f"checkpoint {path} ({naming.name}) is fed with {naming.other_input}, as no task here is{alone}")
    if kind.num_heads not in (None, shape.num_heads):
        raise CheckpointError(f"checkpoint {path} ({naming.name}) has {kind.num_heads} attention heads, and the model "
                              f"{shape.num_heads}: --set shape.num_heads={kind.num_heads}")
    graver = [difference for difference in conversion.differences if not difference.endswith(CLOSE)]
    if whole and graver:
        raise CheckpointError(f"checkpoint {path} ({naming.name}) would not compute what it did: {'; '.join(graver)}{alone}")


def _refuse(path: Path, naming: Naming, what: str, wrong: list[str], hints: list[str]) -> None:
    raise CheckpointError("; ".join([f"checkpoint {path} ({naming.name}) {what}: {'; '.join(summarise(wrong))}", *hints]))


def _blocks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name.startswith("blocks.")}


def _take_blocks(renamed: Mapping[str, Tensor], conversion: Conversion) -> dict[str, Tensor]:
    conversion.dropped += [name for name in renamed if not name.startswith("blocks.")]
    return _blocks(renamed)


def _differences(own: Mapping[str, Tensor], renamed: Mapping[str, Tensor]) -> list[str]:
    """Everything in which weights do not fit the model"""
    wrong = [f"missing {name}" for name in sorted(own.keys() - renamed.keys())]
    wrong += [f"left over {name}" for name in sorted(renamed.keys() - own.keys())]
    shared = sorted(own.keys() & renamed.keys())
    wrong += [f"{name} is {tuple(renamed[name].shape)}, the model's {tuple(own[name].shape)}"
              for name in shared if own[name].shape != renamed[name].shape]
    for name in shared:
        theirs = renamed[name]
        if fault := fault_of(theirs, own[name].dtype):
            wrong.append(f"{name} {fault}")
        elif name.startswith("blocks.") and theirs.ndim > 1 and not theirs.to(own[name].dtype).any():
            wrong.append(f"{name} is nothing but zeros, as a copy that stopped leaves it")
    return wrong


def _other_numbers(renamed: Mapping[str, Tensor]) -> str:
    """How blocks are numbered where that is not 0, 1, 2 and so on; "" else"""
    numbers = list(dict.fromkeys(name.split(".")[1] for name in renamed if name.startswith("blocks.")))
    if sorted(numbers) == sorted(map(str, range(len(numbers)))):
        return ""
    return f", as its blocks are numbered {', '.join([*numbers[:4], *(['...'] if numbers[4:] else [])])} and not from 0 on"


def _other_sizes(renamed: Mapping[str, Tensor], shape: ModelShape) -> str:
    """In which sizes blocks are not the model's, as options that would make them so; "" where in none or nothing tells"""
    proj, fc1 = ({tensor.shape for name, tensor in renamed.items() if name.startswith("blocks.") and name.endswith(part)}
                 for part in (".attn.proj.weight", ".mlp.fc1.weight"))
    alike = len(proj) == len(fc1) == 1 and all(len(size) == 2 and min(size) > 0 for size in (*proj, *fc1))
    if (others := _other_numbers(renamed)) or not alike:
        return others
    width, hidden, depth = min(proj)[0], min(fc1)[0], len({index_of(name) for name in renamed if name.startswith("blocks.")})
    sizes = {"embed_dim": width, "depth": depth, "mlp_ratio": ratio_of(hidden, width)}
    options = [f"--set shape.{name}={exact(value)}" for name, value in sizes.items() if value != getattr(shape, name)]
    if width != shape.embed_dim:
        options.append("--set shape.num_heads=N, as many as it has")
    return (f", as it has {counted(depth, 'block')} of width {width}, and the model {shape.depth} of {shape.embed_dim} "
            f"({' '.join(options)})" if options else "")


def _hints(own: Mapping[str, Tensor], renamed: dict[str, Tensor], model: Encoder, shape: ModelShape) -> list[str]:
    """The options under which weights that do not fit would"""
    fitted = dict(renamed)
    _interpolate(own, fitted, model, shape, Conversion({}, ""))
    if not _differences(own, fitted):
        return ["with --interpolate its positions are fitted to this grid"]
    blocks = _blocks(own)
    if not _differences(blocks, _blocks(renamed)):
        return ["its blocks fit: with --blocks-only they serve as an auxiliary"]
    return []


def _fill(own: Mapping[str, Tensor], renamed: dict[str, Tensor], model: Encoder, naming: Naming,
          conversion: Conversion) -> None:
    """What a format leaves out because it is computed (fixed positions) or absent, which is the same as 0 (biases of qkv)"""
    for name, tensor in own.items():
        if name in renamed:
            continue
        if name == POSITIONS and naming.fixed_positions and not model.get_parameter(name).requires_grad:
            renamed[name] = tensor
            conversion.filled.append(f"{name}, from its formula")
    _fill_biases(own, renamed, conversion)


def _fill_biases(own: Mapping[str, Tensor], renamed: dict[str, Tensor], conversion: Conversion) -> None:
    """Biases of qkv that a format has not, and those of other linear layers that no block has, which is the same as 0. A norm
    without one may be of another kind, which does not take the mean away."""
    held = {name.split(".", 2)[-1] for name in renamed if name.startswith("blocks.")}
    for name, tensor in own.items():
        part = name.split(".", 2)[-1]
        if name in renamed or not LINEAR_BIAS.match(part) or name.removesuffix("bias") + "weight" not in renamed:
            continue
        if part == "attn.qkv.bias" or part not in held:
            renamed[name] = torch.zeros(tensor.shape)
            conversion.filled.append(f"{name}, with 0")


def _leave_norm(own: dict[str, Tensor], renamed: Mapping[str, Tensor], conversion: Conversion) -> None:
    """Do without the final norm where the file's is its head's, or where it came from such a file"""
    head = [name for name in conversion.dropped if HEAD_NORM.search(name)]
    if (head or conversion.format == "ours") and NORM[0] in own and not any(name in renamed for name in NORM):
        for name in NORM:
            del own[name]
        whose = "that of the file is its head's (fc_norm)" if head else "the file has none"
        conversion.notes.append(f"no final norm: {whose}. Heads that normalise by themselves start from these weights as "
                                "they are; the frozen setting needs a norm, and refuses them")


def _interpolate(own: Mapping[str, Tensor], renamed: dict[str, Tensor], model: Encoder, shape: ModelShape,
                 conversion: Conversion) -> None:
    """Positions of a square grid to ours; prefix tokens keep theirs"""
    have, wanted = renamed.get(POSITIONS), own.get(POSITIONS)
    if have is None or wanted is None or have.ndim != 3 or have.shape == wanted.shape:
        return
    prefix = model.tokenizer.num_prefix_tokens
    grid = tuple(size // patch for size, patch in zip(shape.input_size, shape.patch_size, strict=True))
    side = round(max(0, have.shape[1] - prefix) ** 0.5)
    if len(grid) != 2 or not side or have.shape[1] != prefix + side**2:
        return
    places = have[:, prefix:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    resized = nn.functional.interpolate(places, size=grid, mode="bicubic", align_corners=False)
    renamed[POSITIONS] = torch.cat([have[:, :prefix], resized.flatten(2).mT.to(have.dtype)], 1)
    conversion.reshaped.append(f"{POSITIONS} from {side} x {side} to {grid[0]} x {grid[1]} (bicubic)")


def write(conversion: Conversion, path: Path) -> str:
    """Write the weights as safetensors, whole or not at all, with what they are in its head; returns their SHA-256. What
    shares memory in the file is written each for itself, as layers are here, and noted.
    """
    if conversion.blocks is None:
        raise ValueError("nothing was converted")
    memory = Counter(tensor.untyped_storage().data_ptr() for tensor in conversion.tensors.values())
    shared = [name for name, tensor in conversion.tensors.items() if memory[tensor.untyped_storage().data_ptr()] > 1]
    if shared:
        conversion.notes.append(f"{len(shared)} tensors share memory with others in the file, such as {shared[0]}: each is "
                                "written, and will be trained, for itself")
    said = Origin(blocks=conversion.blocks, format=conversion.format, sources=conversion.sources,
                  notes=tuple(conversion.notes), differences=tuple(conversion.differences), modality=conversion.modality)
    data = save({name: tensor.clone() if name in shared else tensor for name, tensor in conversion.tensors.items()},
                {NAME: said.text()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    return hashlib.sha256(data).hexdigest()
