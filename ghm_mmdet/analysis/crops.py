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
JPEG_QUALITY = 85


def crop(suspect: Suspect) -> bytes:
    """A square JPEG around an object, its box drawn in."""
    image = mmcv.imread(suspect.image_path)
    x1, y1, x2, y2 = suspect.box
    side = max((1 + 2 * CONTEXT) * max(x2 - x1, y2 - y1), SMALLEST)
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    zoom = SIDE / side
    matrix = np.float64([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]])
    # Outside of the picture the crop is grey.
    square = cv2.warpAffine(
        image, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA, borderValue=(128, 128, 128)
    )
    first = (round((x1 - left) * zoom), round((y1 - top) * zoom))
    last = (round((x2 - left) * zoom), round((y2 - top) * zoom))
    cv2.rectangle(square, first, last, COLOUR, 2)
    _, data = cv2.imencode('.jpg', square, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
