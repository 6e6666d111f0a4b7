"""What a run's pathways are worth to its loss, layer by layer and with their signs, a file beside the record out, and back.

At the start and at each evaluation, for each of L layers, with G the gradient of the loss of the first batch, and W + s A
the weight:

    gradient_cosine   <G, A> / |G| |A|: below 0, a larger scale would lower the loss
    scale             s, mean over the outputs of a layer
    auxiliary_norm    |A|
    change_cosine     cos(A0, W + s A - W0), where A0 and W0 are A and W at the start
    through           <s A, W + s A - W0> / |W + s A - W0|^2: the share of the weight's change that goes through A
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.records.record import write_json

FILE = "pathways.json"
SERIES = ("gradient_cosine", "scale", "auxiliary_norm", "change_cosine", "through")
Row = Mapping[str, list[float | None]]  # by series, a number a layer; None where a norm is 0, or nothing trains
DIGITS = 5


@dataclass
class Signed:
    """Rows by epoch."""

    layers: list[str]
    rows: dict[int, Row] = field(default_factory=dict)

    def note(self, epoch: int, row: Row) -> None:
        """Add a row; of later epochs, that an earlier attempt has left, none is kept, but at the start."""
        self.rows = {known: held for known, held in self.rows.items() if known < epoch or epoch == 0} | {epoch: row}


class NonFinitePathways(ArithmeticError):
    """Numbers of pathways that are none: the training has diverged."""


def write_signed(path: Path, signed: Signed) -> None:
    """One series a line, with five digits; raises `NonFinitePathways` where one of its numbers is none."""
    epochs = sorted(signed.rows)
    for epoch in epochs:
        for name in SERIES:
            for layer, value in zip(signed.layers, signed.rows[epoch][name], strict=True):
                if value is not None and not math.isfinite(value):
                    raise NonFinitePathways(f"{name} of {layer} is {value} after epoch {epoch}; lower the learning rate or "
                                            "clip the gradient (--set recipe.lr=..., recipe.clip_norm=...)")
    lines = [f' "layers": {json.dumps(signed.layers)}', f' "epochs": {json.dumps(epochs)}']
    for name in SERIES:
        values = [[None if value is None else float(f"{value:.{DIGITS}g}") for value in signed.rows[epoch][name]]
                  for epoch in epochs]
        lines.append(f' "{name}": {json.dumps(values, allow_nan=False)}')
    write_json(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read_signed(path: Path) -> Signed | None:
    """None where there is none, or it is damaged: no result depends on it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        layers, epochs = data["layers"], data["epochs"]
        series = {name: data[name] for name in SERIES}
        if any(len(values) != len(epochs) or any(len(row) != len(layers) for row in values) for values in series.values()):
            return None
        return Signed(layers, {epoch: {name: series[name][place] for name in SERIES} for place, epoch in enumerate(epochs)})
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError):
        return None
