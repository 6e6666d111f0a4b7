#!/usr/bin/env bash
# A picture of 256 greys or fewer fits a palette of 256 colours without loss, and of an RGB picture pillow's quantize() keeps every
# one. Of the same picture with an alpha layer, opaque everywhere, it keeps 16 of the 256: for RGBA the default is another method,
# the fast octree, which merges neighbouring values even where the palette has room for all. A GIF is saved by it, so that a
# grey animation loses the same, without a word; matplotlib's PillowWriter drops an alpha layer that is opaque, and keeps
# over 200 greys, but of a figure whose background is transparent its GIF has 16. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6 matplotlib==3.11.2
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import matplotlib
import numpy as np
import PIL
from matplotlib.animation import PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

gif = Path(sys.argv[1], "seen.gif")
ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
rgb = Image.fromarray(np.repeat(ramp[..., None], 3, axis=2))
pictures = {"RGB": rgb, "RGBA": rgb.convert("RGBA")}


def greys(picture):
    """Of its lowest rows, where the ramp is"""
    return len(np.unique(np.asarray(picture.convert("RGB"))[-len(ramp):].reshape(-1, 3), axis=0))


def of_a_gif(save):
    save()
    with Image.open(gif) as picture:
        return greys(picture)


def of_a_figure(opacity):
    figure = Figure(figsize=(2.56, 1.28), dpi=100)
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(opacity)
    figure.figimage(ramp, cmap="gray", vmin=0, vmax=255)
    writer = PillowWriter(fps=2)
    with writer.saving(figure, gif, 100):
        writer.grab_frame()
        writer.grab_frame()


kept = {name: greys(picture.quantize(256)) for name, picture in pictures.items()}
in_gif = {name: of_a_gif(lambda picture=picture: picture.save(gif)) for name, picture in pictures.items()}
animated = {opacity: of_a_gif(lambda opacity=opacity: of_a_figure(opacity)) for opacity in (1.0, 0.0)}
print(f"pillow {PIL.__version__}, of 256 greys: quantize(256) keeps {kept}, a GIF {in_gif}; matplotlib {matplotlib.__version__}, "
      f"PillowWriter, by opacity of the background: {animated}")
sys.exit(0 if kept == in_gif == {"RGB": 256, "RGBA": 16} and animated[0.0] == 16 and animated[1.0] > 200 else 1)
PYTHON
