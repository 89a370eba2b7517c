"""Pictures of single objects with what surrounds them."""

from __future__ import annotations

import cv2
import mmcv
import numpy as np

from ghm_mmdet.analysis.suspects import Suspect

SIDE = 180  # pixels of a crop
CONTEXT = 0.6  # of the box's longer side, on each side of the box
SMALLEST = 48  # pixels of the file that a crop shows at least
COLOUR = (0, 94, 213)  # vermillion of the figures' palette, blue first as OpenCV has it
GREY = 128
JPEG_QUALITY = 85


def crop(suspect: Suspect) -> bytes:
    """A square JPEG around an object, its box drawn in."""
    image = mmcv.imread(suspect.image_path)
    x1, y1, x2, y2 = suspect.box
    side = round(max((1 + 2 * CONTEXT) * max(x2 - x1, y2 - y1), SMALLEST))
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    square = _window(image, left, top, side)
    # a large object would alias if single pixels were taken of it
    shrink = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    square = cv2.resize(square, (SIDE, SIDE), interpolation=shrink)
    zoom = SIDE / side
    first = (round((x1 - left) * zoom), round((y1 - top) * zoom))
    last = (round((x2 - left) * zoom), round((y2 - top) * zoom))
    cv2.rectangle(square, first, last, COLOUR, 2)
    _, data = cv2.imencode('.jpg', square, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def _window(image: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """A square of the picture; what lies outside of it is grey."""
    window = np.full((side, side, 3), GREY, np.uint8)
    height, width = image.shape[:2]
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    inside = image[rows, columns]
    window[
        rows.start - top : rows.start - top + inside.shape[0],
        columns.start - left : columns.start - left + inside.shape[1],
    ] = inside
    return window
