"""Pictures of single objects with their surroundings."""

from __future__ import annotations

import math

import cv2
import mmcv
import numpy as np

from .label_errors import Suspect

SIDE = 180  # pixels of a crop
CONTEXT = 0.6  # of the box's longer side, on each side of the box
SMALLEST = 48  # pixels of the file that a crop shows at least
COLOUR = (0, 94, 213)  # vermillion of the figures' palette, blue first as OpenCV has it
BELIEVED_COLOUR = (233, 180, 86)  # its sky blue
DASH = 6  # pixels of a crop
GREY = 128
JPEG_QUALITY = 85
UNREAD = 'no picture'


def crop(suspect: Suspect) -> bytes:
    """A square JPEG around an object, with its box, and the model's box dashed.

    It shows nothing outside of the picture, so the object is in the middle only where there is
    room. If OpenCV cannot read the picture, because the data set has a loader of its own for it or
    the file is gone, the crop is grey and says so.
    """
    image = _read(suspect.image_path)
    unread = image is None
    if unread:
        image = np.full((*suspect.image_shape, 3), GREY, np.uint8)
    left, top, side = _window(suspect.box, image.shape[:2])
    corners = np.array([left, top, left + side - 1, top + side - 1])  # both are of the crop
    square = mmcv.imcrop(image, corners, pad_fill=GREY)
    # a large object would alias if single pixels were taken of it
    shrink = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    square = cv2.resize(square, (SIDE, SIDE), interpolation=shrink)
    zoom = SIDE / side
    offset = np.array([left, top, left, top])
    cv2.rectangle(square, *_corners(suspect.box, offset, zoom), COLOUR, 2)
    if suspect.believed_box is not None:
        _draw_dashed(square, *_corners(suspect.believed_box, offset, zoom))
    if unread:
        cv2.putText(square, UNREAD, (8, SIDE - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255,) * 3, 1)
    _, data = cv2.imencode('.jpg', square, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def _window(box: tuple[float, float, float, float], shape: tuple[int, int]) -> tuple[int, int, int]:
    """Left, top and side of the crop, which lies inside of the picture where the box allows it."""
    x1, y1, x2, y2 = box
    longest = max(x2 - x1, y2 - y1)
    side = round(max((1 + 2 * CONTEXT) * longest, SMALLEST))
    side = min(side, max(min(shape), math.ceil(longest)))
    left, top = (
        # a picture that is narrower than the crop is in the middle of it
        max(0, min(round(middle - side / 2), size - side)) if size >= side else (size - side) // 2
        for middle, size in (((x1 + x2) / 2, shape[1]), ((y1 + y2) / 2, shape[0]))
    )
    return left, top, side


def _corners(
    box: tuple[float, float, float, float], offset: np.ndarray, zoom: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and the last corner of a box in pixels of the crop."""
    x1, y1, x2, y2 = ((np.array(box) - offset) * zoom).round().astype(int).tolist()
    return (x1, y1), (x2, y2)


def _draw_dashed(image: np.ndarray, first: tuple[int, int], last: tuple[int, int]) -> None:
    (x1, y1), (x2, y2) = first, last
    for x in range(x1, x2, 2 * DASH):
        for y in (y1, y2):
            cv2.line(image, (x, y), (min(x + DASH, x2), y), BELIEVED_COLOUR, 2)
    for y in range(y1, y2, 2 * DASH):
        for x in (x1, x2):
            cv2.line(image, (x, y), (x, min(y + DASH, y2)), BELIEVED_COLOUR, 2)


def _read(path: str) -> np.ndarray | None:
    """A picture in 8 bits and three channels, blue first; None if it cannot be read."""
    try:
        image = mmcv.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, backend='cv2')
    except Exception:  # any error of the storage behind the path
        return None
    if image is None or image.dtype == np.uint8:
        return image
    # cameras fill 10 or 12 of 16 bits: by the type's range such a picture would be black
    values = np.nan_to_num(image.astype(float), posinf=0, neginf=0)
    return (values.clip(0) * (255 / max(values.max(), 1e-9))).astype(np.uint8)
