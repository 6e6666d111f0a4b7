#!/usr/bin/env bash
# To place a sound in a room one convolves it with the room's impulse response, and how loud it is then is part of the response: a sound
# from 4 m away is quieter than one from half a metre. pedalboard's Convolution first scales every response to one and the same energy,
# 1/64, and has no argument that would leave it. So the identity (1 and then zeros) makes a sound 18 dB quieter, half of it does the same,
# and a hundred times a response is that response. White noise in a room comes out at 7.6 dB from 0.5 m, at 3.5 dB from 1 m and at 0.7 dB
# from 4 m by numpy, and at -18.1 dB from each of them by pedalboard: distance, the balance between microphones and the ratio of speech to a
# noise that goes another way are lost. mix=0.5 of a sound and itself is 0.56 of it, so that what was to be half the reverberation is an
# eighth of that. Times 8 and the root of the response's energy it is numpy's to 5e-5. Its page does not name it, and nothing is said. JUCE,
# which does it, has a request to make it optional as issue 290. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pedalboard==0.9.26 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import pedalboard

print(f"pedalboard {pedalboard.__version__}, numpy {np.__version__}")
RATE = 16_000
rng = np.random.default_rng(0)
sound = (0.1 * rng.standard_normal(4 * RATE)).astype(np.float32)
tail = rng.standard_normal(8_000) * np.exp(-np.arange(8_000) / 1_200)


def room(metres):  # the direct sound falls with the distance, what the walls send back does not
    response = 0.05 * tail
    first = round(metres / 343 * RATE)
    response[:first] = 0
    response[first] += 1 / metres
    return response.astype(np.float32)


def decibels(out):
    return 20 * np.log10(out.std() / sound.std())


identity = np.zeros(1_000, np.float32)
identity[0] = 1
found = {}
for name, response in (("identity", identity), ("half of it", identity / 2), ("room, 0.5 m", room(0.5)), ("room, 1 m", room(1)),
                       ("room, 4 m", room(4)), ("room, 4 m, times 100", 100 * room(4))):
    out = pedalboard.Convolution(response, mix=1.0, sample_rate=RATE)(sound, RATE)
    true = np.convolve(sound.astype(float), response)[:len(sound)]
    scaled = out * 8 * np.sqrt(np.square(response, dtype=float).sum())
    found[name] = decibels(out), decibels(true), np.abs(scaled - true).max() / true.std()
    print(f"{name}: {found[name][0]:.2f} dB by pedalboard, {found[name][1]:.2f} dB by numpy; "
          f"scaled back they differ by {found[name][2]:.0e} deviations")
half = pedalboard.Convolution(identity, mix=0.5, sample_rate=RATE)(sound, RATE)
print(f"half dry and half by the identity: {half.std() / sound.std():.4f} of the sound")
sys.exit(0 if all(abs(ours + 18.1) < 0.1 and error < 1e-3 for ours, _, error in found.values()) and abs(found["identity"][1]) < 0.01
         and found["room, 0.5 m"][1] - found["room, 4 m"][1] > 6 and abs(half.std() / sound.std() - 0.5625) < 1e-3 else 1)
PYTHON
