"""What every reader of sprite animations gives: frames of one character doing one action, on one canvas."""

from __future__ import annotations

import os
from dataclasses import dataclass

from PIL import Image

ROOT = os.environ.get("EMBEDDED_BUILD", "work") + "/video"
LOOPS = ("idle", "move")  # actions that go on; others have a beginning and an end


@dataclass
class Sprite:
    """One animation."""

    source: str
    family: str  # characters that look alike; stays in one split
    character: str
    action: str
    direction: str  # ends in what tells viewing directions apart
    frames: list[Image.Image]  # RGBA, of one size
    durations: list[float]  # of the frames, in milliseconds
    is_loop: bool
    origin: tuple[int, int] | None = None  # of the canvas, seen from the character's anchor

    @property
    def view(self) -> tuple[str, str, str]:
        """What has to agree for two animations to follow each other."""
        return self.source, self.character, self.direction[-1:]


def read_rgba(path: str) -> Image.Image:
    return Image.open(path).convert("RGBA")


def join_canvas(placed: list[tuple[Image.Image, int, int]]) -> tuple[list[Image.Image], tuple[int, int]]:
    """Images with their left and top seen from the anchor -> images on one canvas, and its left and top."""
    left, top = min(x for _, x, _ in placed), min(y for _, _, y in placed)
    right = max(x + image.width for image, x, _ in placed)
    bottom = max(y + image.height for image, _, y in placed)
    frames = []
    for image, x, y in placed:
        frame = Image.new("RGBA", (right - left, bottom - top), (0, 0, 0, 0))
        frame.paste(image, (x - left, y - top))
        frames.append(frame)
    return frames, (left, top)
