#!/usr/bin/env bash
# A mask of the sky (1 where data are kept, 0 where not) at a coarser size is the share of each coarse pixel that is kept, and healpy's
# ud_grade "sets the value of the superpixel as the mean of the children pixels". It keeps the map's type for it, without a word. Of a mask
# without the Galactic plane and 3,000 sources, which keeps 73 % of the sky, float64 keeps 73 % at a sixteenth of the size. Of bool, as
# comparisons give it, a coarse pixel is kept with any one of its finer pixels, 81 % of the sky; of int64 only with all of them, 19 %. Of
# uint8, as masks of Planck are stored and read_map gives them, sums wrap at 256: down to an eighth it is as int64, and at a sixteenth, of
# 256 ones, all of the sky is masked, also where all of it was kept. A map of 60,000 everywhere in uint16 is one of 10,848 at half of its
# size. dtype=float, or astype(float) before, is right. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q healpy==1.20.1 numpy==2.4.6
"$folder/venv/bin/python" -W error::RuntimeWarning -W error::UserWarning - "$folder" <<'PYTHON'
import sys

import healpy as hp
import numpy as np

print(f"healpy {hp.__version__}, numpy {np.__version__}")
SIDE = 256
directions = np.array(hp.pix2vec(SIDE, np.arange(hp.nside2npix(SIDE))))
cut = np.abs(directions[2]) > np.sin(np.radians(14))
for source in np.random.default_rng(0).normal(size=(3000, 3)):
    cut[hp.query_disc(SIDE, source / np.linalg.norm(source), np.radians(0.4))] = False
share = {}
for name, mask in (("cut", cut), ("all kept", np.ones_like(cut))):
    print(f"{name}: {mask.mean():.1%} of the sky kept")
    for kind in (np.float64, np.bool_, np.int64, np.uint8):
        for part in (2, 4, 8, 16):
            coarse = hp.ud_grade(mask.astype(kind), SIDE // part)
            asked = hp.ud_grade(mask.astype(kind), SIDE // part, dtype=float)
            share[name, kind, part] = float(np.mean(coarse.astype(float)))
            share[name, kind, part, "asked"] = float(np.mean(asked))
        print(f"    {kind.__name__}: at 1/2, 1/4, 1/8 and 1/16 of its size "
              + ", ".join(f"{share[name, kind, part]:.1%}" for part in (2, 4, 8, 16)) + f" kept; with dtype=float {np.mean(asked):.1%}")
hp.write_map(f"{sys.argv[1]}/mask.fits", cut.astype(np.uint8), dtype=np.uint8)
read = hp.read_map(f"{sys.argv[1]}/mask.fits")
print(f"a file of uint8, read: {read.dtype}, at 1/16 {np.mean(hp.ud_grade(read, SIDE // 16)):.1%} kept")
counts = np.unique(hp.ud_grade(np.full(hp.nside2npix(16), 60_000, np.uint16), 8))
print(f"60,000 everywhere in uint16, at half of its size: {counts.tolist()}")
true = float(cut.mean())
sys.exit(0 if all(abs(value - (true if key[0] == "cut" else 1)) < 1e-9 for key, value in share.items() if key[1] is np.float64 or len(key) > 3)
         and share["cut", np.bool_, 16] > true + 0.05 and share["cut", np.int64, 16] < true - 0.2
         and share["cut", np.uint8, 8] == share["cut", np.int64, 8] and share["cut", np.uint8, 16] == share["all kept", np.uint8, 16] == 0
         and read.dtype == np.uint8 and counts.tolist() == [10_848] else 1)
PYTHON
