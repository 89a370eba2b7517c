"""Crops: the object in the middle, its box around it, and no stripes where a large one shrinks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ghm_mmdet.analysis.crops import COLOUR, CONTEXT, GREY, SIDE, crop
from ghm_mmdet.analysis.suspects import Suspect


def cropped(path, image, box):
    cv2.imwrite(str(path), image)
    suspect = Suspect(1, str(path), image.shape[:2], box, 0, 0.1, 1, 0.9, 0.9)
    return cv2.imdecode(np.frombuffer(crop(suspect), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    'box',
    [(40.0, 30.0, 60.0, 50.0), (0.0, 0.0, 20.0, 30.0), (90.0, 70.0, 100.0, 80.0)],
    ids=['inside', 'at one corner', 'at the other'],
)
def test_the_object_is_in_the_middle_and_what_lies_outside_is_grey(tmp_path, box):
    image = np.zeros((80, 100, 3), np.uint8)
    x1, y1, x2, y2 = map(int, box)
    image[y1:y2, x1:x2] = 255
    shown = cropped(tmp_path / 'image.png', image, box).astype(int)
    assert shown.shape == (SIDE, SIDE, 3)
    assert (shown[SIDE // 2, SIDE // 2] > 250).all()
    outside = [
        (row, column)
        for row, edge in ((2, y1 < 15), (SIDE - 3, y2 > 70))
        for column, other in ((2, x1 < 15), (SIDE - 3, x2 > 90))
        if edge and other
    ]
    for row, column in outside:
        assert abs(shown[row, column] - GREY).max() < 8


def test_the_box_is_drawn(tmp_path):
    shown = cropped(tmp_path / 'image.png', np.zeros((400, 400, 3), np.uint8), (150, 150, 250, 250))
    # the box's longer side is 1 of the 1 + 2 CONTEXT that the crop shows
    edge = round(SIDE * CONTEXT / (1 + 2 * CONTEXT))
    assert abs(shown[SIDE // 2, edge].astype(int) - COLOUR).max() < 40


def test_a_large_object_does_not_alias(tmp_path):
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[:, ::2] = 255
    shown = cropped(tmp_path / 'image.png', image, (300.0, 300.0, 900.0, 900.0))
    inside = shown[SIDE // 2 - 20 : SIDE // 2 + 20, SIDE // 2 - 20 : SIDE // 2 + 20].astype(int)
    assert abs(inside - 128).max() < 20
