"""Small hardware parts, seen from above: the objects and the distractors of the sample data set.

Two families of classes are confusable on purpose. Washer, nut and gear are rings that differ in
their outline only; bolt and screw are rods that differ in head and tip. Most parts wear the paint
of their class, the others and the distractors are bare metal, and each distractor lacks the one
feature that would make it a part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

SUPERSAMPLE = 4
SUBPIXEL_BITS = 4

# BGR: steel, bright steel, black oxide, brass, copper.
METALS = (
    (165, 160, 155),
    (205, 205, 200),
    (70, 68, 66),
    (90, 160, 190),
    (80, 115, 175),
)
PAINTS = {
    'washer': (60, 60, 190),
    'nut': (200, 110, 40),
    'gear': (60, 170, 70),
    'bolt': (50, 190, 220),
    'screw': (190, 70, 170),
}
PAINTED = 0.95


@dataclass(frozen=True)
class Shape:
    """A part in unit coordinates: its longest half extent is about 1."""

    solids: list[np.ndarray]
    holes: list[np.ndarray] = field(default_factory=list)
    grooves: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class Patch:
    """A rendered part: `alpha` (h, w) in [0, 1] and `color` (h, w, 3), BGR in [0, 255]."""

    alpha: np.ndarray
    color: np.ndarray


def regular_polygon(corners: int, radius: float = 1.0) -> np.ndarray:
    """Returns the (corners, 2) corners of a regular polygon around the origin."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def circle(radius: float = 1.0) -> np.ndarray:
    return regular_polygon(48, radius)


def box(left: float, right: float, half_height: float) -> np.ndarray:
    return np.array(
        [(left, -half_height), (right, -half_height), (right, half_height), (left, half_height)]
    )


def washer(rng: np.random.Generator) -> Shape:
    return Shape([circle()], [circle(rng.uniform(0.4, 0.62))])


def nut(rng: np.random.Generator) -> Shape:
    hole = rng.uniform(0.4, 0.58)
    return Shape([regular_polygon(6)], [circle(hole)], [circle(hole + 0.1)])


def gear(rng: np.random.Generator) -> Shape:
    teeth = int(rng.integers(8, 14))
    depth = rng.uniform(0.14, 0.24)
    step = 2 * np.pi / teeth
    angle = (np.arange(teeth)[:, None] + np.array([-0.28, -0.18, 0.18, 0.28])).ravel() * step
    radius = np.tile([1 - depth, 1.0, 1.0, 1 - depth], teeth)
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return Shape([outline], [circle(rng.uniform(0.35, 0.58))])


def thread(left: float, right: float, half_height: float, turns: int) -> list[np.ndarray]:
    """Returns slanted grooves across a rod, as a screw thread shows them from the side."""
    at = np.linspace(left, right, turns)
    slant = 0.4 * (right - left) / turns
    return [np.array([(x - slant, -half_height), (x + slant, half_height)]) for x in at]


def bolt(rng: np.random.Generator) -> Shape:
    half_shaft = rng.uniform(0.26, 0.34)
    half_head = half_shaft * rng.uniform(1.6, 1.8)
    neck = -1 + rng.uniform(0.25, 0.4)
    shaft, head = box(neck - 0.02, 1.0, half_shaft), box(-1.0, neck, half_head)
    edges = [np.array([(-1.0, y), (neck, y)]) for y in (-half_head / 2, half_head / 2)]
    return Shape([shaft, head], [], edges + thread(neck + 0.5, 0.95, half_shaft, 9))


def screw(rng: np.random.Generator) -> Shape:
    half_shaft = rng.uniform(0.26, 0.34)
    half_head = half_shaft * rng.uniform(1.6, 1.8)
    neck = -1 + rng.uniform(0.25, 0.4)
    rim = np.array([(-0.92, -half_head), (-0.92, half_head)])
    top = np.array([(-1.0, half_head * 0.8), (-1.0, -half_head * 0.8)])
    head = np.concatenate([rim, top, [(-0.92, -half_head)]])
    cone = np.array(
        [(-0.92, -half_head), (neck, -half_shaft), (neck, half_shaft), (-0.92, half_head)]
    )
    tip = rng.uniform(0.45, 0.7)
    shaft = np.array(
        [
            (neck - 0.02, -half_shaft),
            (tip, -half_shaft * 0.9),
            (1.0, 0.0),
            (tip, half_shaft * 0.9),
            (neck - 0.02, half_shaft),
        ]
    )
    return Shape([head, cone, shaft], [], thread(neck + 0.1, tip, half_shaft, 9))


PARTS: dict[str, Callable[[np.random.Generator], Shape]] = {
    'washer': washer,
    'nut': nut,
    'gear': gear,
    'bolt': bolt,
    'screw': screw,
}
CLASSES = tuple(PARTS)


def draw_part(label: int, length: float, rng: np.random.Generator, light: np.ndarray) -> Patch:
    """Draws a part of class `label` at a random pose, painted or bare; see `render`."""
    name = CLASSES[label]
    color = PAINTS[name] if rng.random() < PAINTED else random_metal(rng)
    return render(PARTS[name](rng), color, length, rng, light)


def draw_distractor(length: float, rng: np.random.Generator, light: np.ndarray) -> Patch:
    """Draws something that is no part, in bare metal; see `render`."""
    shape = DISTRACTORS[rng.integers(len(DISTRACTORS))](rng)
    return render(shape, random_metal(rng), length, rng, light)


def random_metal(rng: np.random.Generator) -> tuple[int, int, int]:
    return METALS[rng.integers(len(METALS))]


def disc(rng: np.random.Generator) -> Shape:
    return Shape([circle()], [], [circle(rng.uniform(0.6, 0.85))])


def plate(rng: np.random.Generator) -> Shape:
    return Shape([regular_polygon(int(rng.integers(4, 7)))])


def rod(rng: np.random.Generator) -> Shape:
    return Shape([box(-1.0, 1.0, rng.uniform(0.14, 0.28))])


def pebble(rng: np.random.Generator) -> Shape:
    radius = rng.uniform(0.65, 1.0, 10)
    smooth = (radius + np.roll(radius, 1) + np.roll(radius, -1)) / 3
    return Shape([regular_polygon(10) * smooth[:, None]])


DISTRACTORS = (disc, plate, rod, pebble)


def render(
    shape: Shape,
    color: tuple[int, int, int],
    length: float,
    rng: np.random.Generator,
    light: np.ndarray,
) -> Patch:
    """Draws a shape at a random pose.

    Args:
        shape: The part in unit coordinates.
        color: BGR of its material.
        length: Its longest extent in pixels.
        rng: Pose, tone and wear are drawn from it.
        light: (2,) unit vector of the direction the light comes from, in image coordinates.
    """
    side = int(np.ceil(length)) + 4
    pose = random_pose(rng) * (length / 2)
    alpha, grooves = rasterize(shape, pose, side)
    return Patch(alpha, shade(alpha, grooves, color, length, rng, light))


def random_pose(rng: np.random.Generator) -> np.ndarray:
    """Returns a (2, 2) matrix: a rotation of a part that is tilted a little to the camera."""

    def rotation(angle: float) -> np.ndarray:
        return np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])

    tilt = rotation(rng.uniform(0, 2 * np.pi))
    squash = np.diag([1.0, rng.uniform(0.75, 1.0)])
    return rotation(rng.uniform(0, 2 * np.pi)) @ tilt.T @ squash @ tilt


def rasterize(shape: Shape, pose: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the coverage of the part and of its grooves, two (side, side) arrays in [0, 1]."""
    large = side * SUPERSAMPLE
    solid = np.zeros((large, large), np.uint8)
    groove = np.zeros_like(solid)

    def pixels(points: np.ndarray) -> np.ndarray:
        scaled = (points @ pose.T + side / 2) * SUPERSAMPLE * 2**SUBPIXEL_BITS
        return np.round(scaled).astype(np.int32)

    for points in shape.solids:
        cv2.fillPoly(solid, [pixels(points)], 255, shift=SUBPIXEL_BITS)
    for points in shape.holes:
        cv2.fillPoly(solid, [pixels(points)], 0, shift=SUBPIXEL_BITS)
    for points in shape.grooves:
        closed = len(points) > 2
        cv2.polylines(groove, [pixels(points)], closed, 255, thickness=3, shift=SUBPIXEL_BITS)
    small = [
        cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        for layer in (solid, groove)
    ]
    return small[0], small[1]


def shade(
    alpha: np.ndarray,
    grooves: np.ndarray,
    color: tuple[int, int, int],
    length: float,
    rng: np.random.Generator,
    light: np.ndarray,
) -> np.ndarray:
    """Returns the (h, w, 3) colour of a part with bevelled edges, a light gradient and wear."""
    side = alpha.shape[0]
    inside = (alpha > 0.5).astype(np.uint8)
    bevel = max(1.5, 0.06 * length)
    height = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 3) / bevel, 1)
    height = cv2.GaussianBlur(height, (0, 0), 0.8)
    slope_y, slope_x = np.gradient(height)
    relief = -bevel * (slope_x * light[0] + slope_y * light[1])

    axis = (np.arange(side) - side / 2) / side
    gradient = axis[None, :] * light[0] + axis[:, None] * light[1]
    wear = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), 1.2)
    tone = 1 + 0.5 * relief + rng.uniform(0.1, 0.4) * gradient + 0.12 * wear - 0.4 * grooves

    base = np.array(color, np.float32)
    base = np.clip(base * rng.uniform(0.75, 1.2) + rng.normal(0, 8, 3), 20, 245)
    return np.clip(tone[..., None] * base, 0, 255).astype(np.float32)
