"""One picture of the sample data set: a workbench, parts on it, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from demo.sample_parts import CLASSES, Patch, draw_distractor, draw_part

EMPTY_IMAGES = 0.08
CROWDS = 0.12
DEFOCUSED = 0.12
MIN_VISIBLE = 0.85
LENGTH = (0.33, 0.65)


@dataclass(frozen=True)
class Instance:
    """An annotated object.

    Attributes:
        label: Index into `CLASSES`.
        bbox: (x, y, width, height) in pixels, of the visible part.
        crowd: The box holds many parts of the class that are not boxed one by one.
        ignore: The part is too blurred to ask anybody to find it.
    """

    label: int
    bbox: tuple[int, int, int, int]
    crowd: bool = False
    ignore: bool = False


@dataclass
class Canvas:
    """A picture in the making. `owner` holds the number of the object seen at each pixel, or -1."""

    image: np.ndarray
    owner: np.ndarray
    light: np.ndarray
    areas: list[int] = field(default_factory=list)

    def paste(self, patch: Patch, center: np.ndarray, number: int) -> bool:
        """Draws a patch as object `number`, or returns False if it would hide too much.

        Nothing may be hidden by more than 1 - MIN_VISIBLE, the new object included: the picture's
        border hides too. Distractors have the number -1.
        """
        size = self.owner.shape[0]
        half = np.array(patch.alpha.shape) // 2
        y, x = np.round(center).astype(int) - half
        top, left = max(y, 0), max(x, 0)
        bottom, right = min(y + 2 * half[0], size), min(x + 2 * half[1], size)
        if bottom <= top or right <= left:
            return False
        crop = np.s_[top - y : bottom - y, left - x : right - x]
        alpha = patch.alpha[crop]
        owner = self.owner.copy()
        owner[top:bottom, left:right][alpha > 0.5] = number

        areas = list(self.areas)
        if number >= 0:
            areas = areas + [0] * (number + 1 - len(areas))
            areas[number] += int((patch.alpha > 0.5).sum())
        visible = np.bincount(owner[owner >= 0], minlength=len(areas))
        if any(visible < MIN_VISIBLE * np.array(areas)):
            return False

        self.owner, self.areas = owner, areas
        self._cast_shadow(patch, x, y)
        window = self.image[top:bottom, left:right]
        window += alpha[..., None] * (patch.color[crop] - window)
        return True

    def _cast_shadow(self, patch: Patch, x: int, y: int) -> None:
        size = self.owner.shape[0]
        reach = max(1.5, 0.04 * patch.alpha.shape[0])
        move = np.array([[1, 0, x - reach * self.light[0]], [0, 1, y - reach * self.light[1]]])
        shadow = cv2.warpAffine(patch.alpha, move, (size, size))
        shadow = cv2.GaussianBlur(shadow, (0, 0), 0.8 * reach)
        self.image *= 1 - 0.5 * shadow[..., None]


def draw_scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[Instance]]:
    """Draws one picture.

    Returns:
        A (size, size, 3) uint8 BGR image, and its objects, which may be none.
    """
    angle = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(angle), np.sin(angle)])
    canvas = Canvas(bench(rng, size), np.full((size, size), -1, np.int32), light)

    flags: list[tuple[int, bool, bool]] = []
    scatter_distractors(canvas, rng, int(rng.integers(0, 3)))
    if rng.random() >= EMPTY_IMAGES:
        if rng.random() < CROWDS:
            flags.append(heap(canvas, rng))
        if rng.random() < DEFOCUSED:
            flags += defocused(canvas, rng, len(flags))
        for _ in range(int(rng.integers(2, 7))):
            flags += place_part(canvas, rng, len(flags))
    scatter_distractors(canvas, rng, int(rng.integers(0, 2)))

    instances = [
        Instance(label, visible_box(canvas.owner == number), crowd, ignore)
        for number, (label, crowd, ignore) in enumerate(flags)
    ]
    return photograph(canvas.image, rng), instances


def random_length(rng: np.random.Generator, size: int) -> float:
    """Returns a length in pixels, uniform in its logarithm: every octave is as frequent."""
    return size * float(np.exp(rng.uniform(*np.log(LENGTH))))


def place_part(
    canvas: Canvas, rng: np.random.Generator, number: int
) -> list[tuple[int, bool, bool]]:
    size = canvas.owner.shape[0]
    label = int(rng.integers(len(CLASSES)))
    patch = draw_part(label, random_length(rng, size), rng, canvas.light)
    placed = any(canvas.paste(patch, rng.uniform(0, size, 2), number) for _ in range(8))
    return [(label, False, False)] if placed else []


def defocused(
    canvas: Canvas, rng: np.random.Generator, number: int
) -> list[tuple[int, bool, bool]]:
    """Places a small part and blurs it beyond recognition."""
    size = canvas.owner.shape[0]
    label = int(rng.integers(len(CLASSES)))
    patch = draw_part(label, 0.16 * size, rng, canvas.light)
    border = int(np.ceil(0.06 * size))
    alpha = cv2.copyMakeBorder(patch.alpha, *[border] * 4, cv2.BORDER_CONSTANT)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.025 * size)
    color = cv2.copyMakeBorder(patch.color, *[border] * 4, cv2.BORDER_REPLICATE)
    soft = Patch(0.8 * alpha / alpha.max(), color)
    placed = any(canvas.paste(soft, rng.uniform(0, size, 2), number) for _ in range(8))
    return [(label, False, True)] if placed else []


def heap(canvas: Canvas, rng: np.random.Generator) -> tuple[int, bool, bool]:
    """Pours many small parts of one class on one place; together they are object 0."""
    size = canvas.owner.shape[0]
    label = int(rng.integers(len(CLASSES)))
    center = rng.uniform(0.2 * size, 0.8 * size, 2)
    for _ in range(int(rng.integers(14, 26))):
        length = size * rng.uniform(0.07, 0.1)
        patch = draw_part(label, length, rng, canvas.light)
        canvas.paste(patch, center + rng.normal(0, 0.08 * size, 2), 0)
    return label, True, False


def scatter_distractors(canvas: Canvas, rng: np.random.Generator, count: int) -> None:
    size = canvas.owner.shape[0]
    for _ in range(count):
        patch = draw_distractor(random_length(rng, size), rng, canvas.light)
        canvas.paste(patch, rng.uniform(0, size, 2), -1)


def visible_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns (x, y, width, height) of the set pixels of a (h, w) mask."""
    return cv2.boundingRect(mask.astype(np.uint8))


def noise(rng: np.random.Generator, size: int, cells: tuple[int, int]) -> np.ndarray:
    """Returns a smooth (size, size) random field with `cells` (rows, columns) of grain."""
    return cv2.resize(
        rng.normal(size=cells).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )


def concrete(rng: np.random.Generator, size: int) -> np.ndarray:
    return sum(noise(rng, size, (n, n)) * 12 / np.log2(n) for n in (4, 12, 40, 120))


def wood(rng: np.random.Generator, size: int) -> np.ndarray:
    rows = np.arange(size)[:, None] / size
    bend = rows * rng.uniform(4, 9) + 0.35 * noise(rng, size, (4, 3))
    grain = noise(rng, size, (size // 2, 5))
    return 18 * np.sin(2 * np.pi * bend) + 8 * grain


def fabric(rng: np.random.Generator, size: int) -> np.ndarray:
    axis = np.arange(size) * 2 * np.pi / rng.uniform(4, 9)
    weave = np.sin(axis)[None, :] * np.sin(axis)[:, None]
    return 14 * weave + 8 * noise(rng, size, (5, 5)) + 5 * noise(rng, size, (size, size))


def brushed(rng: np.random.Generator, size: int) -> np.ndarray:
    return 12 * noise(rng, size, (size, 4)) + 8 * noise(rng, size, (3, 3))


def tiles(rng: np.random.Generator, size: int) -> np.ndarray:
    pitch, start = rng.uniform(0.15, 0.4) * size, rng.uniform(0, size, 2)
    axis = np.arange(size)
    joints = [np.abs((axis - s) % pitch - pitch / 2) > pitch / 2 - 1.2 for s in start]
    return -40.0 * (joints[0][None, :] | joints[1][:, None]) + concrete(rng, size) * 0.6


BENCHES = (concrete, wood, fabric, brushed, tiles)


def bench(rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns a (size, size, 3) float32 background: a textured surface in uneven light."""
    texture = BENCHES[rng.integers(len(BENCHES))](rng, size) * rng.uniform(0.4, 1.0)
    if rng.random() < 0.5:
        texture = texture.T
    gray = rng.uniform(70, 190)
    tint = gray + rng.normal(0, 8, 3)
    lit = 1 + 0.12 * noise(rng, size, (2, 2))
    image = (tint + texture[..., None]) * lit[..., None]
    return np.clip(image, 5, 250).astype(np.float32)


def photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the uint8 picture that a camera with a little blur and noise makes of the scene."""
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.7))
    grain = rng.normal(0, rng.uniform(1, 5), image.shape)
    return np.clip(np.round(blurred + grain), 0, 255).astype(np.uint8)
