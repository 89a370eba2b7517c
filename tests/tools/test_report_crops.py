"""Crops: all of the object, its box around it, and no stripes where a large one shrinks.

Pictures that OpenCV does not read, or not as 8 bits and three channels, have a crop too.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from gradient_report.crops import BELIEVED_COLOUR, COLOUR, CONTEXT, GREY, SIDE, crop
from gradient_report.label_errors import Suspect


def cropped(path, image, box):
    # OpenCV compresses floats with a loss otherwise
    cv2.imwrite(str(path), image, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    return crop_of(path, image.shape[:2], box)


def crop_of(path, shape, box):
    suspect = Suspect(1, str(path), shape, box, 0, 0.1, 1, 0.9, 0.9)
    return cv2.imdecode(np.frombuffer(crop(suspect), np.uint8), cv2.IMREAD_COLOR)


BOXES = [(40.0, 30.0, 60.0, 50.0), (0.0, 0.0, 20.0, 30.0), (90.0, 70.0, 100.0, 80.0)]


@pytest.mark.parametrize('box', BOXES, ids=['inside', 'at one corner', 'at the other'])
def test_all_of_the_object_is_shown_and_nothing_outside_of_the_picture(tmp_path, box):
    image = np.full((80, 100, 3), (0, 250, 0), np.uint8)
    x1, y1, x2, y2 = map(int, box)
    image[y1:y2, x1:x2] = (250, 250, 0)
    shown = cropped(tmp_path / 'image.png', image, box).astype(int)
    assert shown.shape == (SIDE, SIDE, 3)
    assert (shown[..., 1] > 60).all()  # the box's own colour has the least green
    side = max((1 + 2 * CONTEXT) * max(x2 - x1, y2 - y1), 48)
    seen = (shown[..., 0] > 150).sum() * (side / SIDE) ** 2
    assert seen == pytest.approx((x2 - x1) * (y2 - y1), rel=0.25)


def test_an_object_amid_a_large_picture_is_in_the_middle(tmp_path):
    image = np.zeros((400, 400, 3), np.uint8)
    image[190:210, 190:210] = 255
    shown = cropped(tmp_path / 'image.png', image, (190, 190, 210, 210)).astype(int)
    rows, columns = np.nonzero((shown > 250).all(2))
    assert (rows.mean(), columns.mean()) == pytest.approx((SIDE / 2, SIDE / 2), abs=2)


@pytest.mark.parametrize('shape', [(30, 90), (90, 30), (30, 30)])
def test_a_picture_that_is_smaller_than_the_object_needs_is_padded(tmp_path, shape):
    image = np.full((*shape, 3), 255, np.uint8)
    box = (0.0, 0.0, float(shape[1]), float(shape[0]))
    shown = cropped(tmp_path / 'image.png', image, box).astype(int)
    white = (shown > 250).all(2).mean()
    assert white == pytest.approx(min(shape) / max(shape), abs=0.1)


def test_the_box_is_drawn(tmp_path):
    shown = cropped(tmp_path / 'image.png', np.zeros((400, 400, 3), np.uint8), (150, 150, 250, 250))
    # the box's longer side is 1 of the 1 + 2 CONTEXT that the crop shows
    edge = round(SIDE * CONTEXT / (1 + 2 * CONTEXT))
    assert abs(shown[SIDE // 2, edge].astype(int) - COLOUR).max() < 40


def test_the_box_that_the_model_sees_is_drawn_dashed(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.zeros((400, 400, 3), np.uint8))
    plain = Suspect(1, str(path), (400, 400), (150, 150, 250, 250), 0, 0.1, 0, 0.9, 0.9)
    images = [
        cv2.imdecode(np.frombuffer(crop(each), np.uint8), cv2.IMREAD_COLOR).astype(int)
        for each in (plain, replace(plain, believed_box=(170.0, 120.0, 270.0, 220.0)))
    ]
    # the crop starts at 90 and shows 220 pixels
    top, left, right = (round((each - 90) * SIDE / 220) for each in (120, 170, 270))
    assert images[0][top, left : right + 1].max() < 40
    drawn = abs(images[1][top, left : right + 1] - BELIEVED_COLOUR).max(1) < 60
    assert 0.3 < drawn.mean() < 0.9


def test_a_large_object_does_not_alias(tmp_path):
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[:, ::2] = 255
    shown = cropped(tmp_path / 'image.png', image, (300.0, 300.0, 900.0, 900.0))
    inside = shown[SIDE // 2 - 20 : SIDE // 2 + 20, SIDE // 2 - 20 : SIDE // 2 + 20].astype(int)
    assert abs(inside - 128).max() < 20


BOX = (20.0, 20.0, 40.0, 40.0)


@pytest.fixture
def scene():
    """Grey with a bright object in BOX, 8 bits and three channels."""
    image = np.full((60, 60, 3), 40, np.uint8)
    image[20:40, 20:40] = (250, 200, 150)
    image[0, 0] = 255  # the largest value of the type, in a corner
    return image


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('four.png', lambda image: np.dstack([image, np.full((60, 60), 9, np.uint8)])),
        ('16.png', lambda image: image.astype(np.uint16) * 257),
        ('12.png', lambda image: image.astype(np.uint16) * 16),
        (
            '16-and-four.png',
            lambda image: np.dstack([image, image[..., 0]]).astype(np.uint16) * 257,
        ),
        ('float.tiff', lambda image: image.astype(np.float32) / 255),
    ],
)
def test_a_picture_of_other_depth_or_channels_looks_the_same(tmp_path, scene, name, change):
    expected = cropped(tmp_path / 'plain.png', scene, BOX).astype(int)
    shown = cropped(tmp_path / name, change(scene), BOX).astype(int)
    assert abs(shown - expected).max() <= 4


def test_a_picture_with_undefined_values_is_shown(tmp_path, scene):
    values = scene.astype(np.float32)
    values[50, 50], values[50, 51] = np.nan, np.inf
    expected = cropped(tmp_path / 'plain.png', scene, BOX).astype(int)
    shown = cropped(tmp_path / 'odd.tiff', values, BOX).astype(int)
    assert np.median(abs(shown - expected)) <= 2


@pytest.mark.parametrize('name', ['a.npy', 'empty.jpg', 'cut.jpg', 'folder.zarr', 'missing.png'])
def test_without_a_picture_the_box_is_drawn_on_grey(tmp_path, scene, name):
    np.save(tmp_path / 'a.npy', scene)
    (tmp_path / 'empty.jpg').touch()
    cv2.imwrite(str(tmp_path / 'whole.jpg'), scene)
    (tmp_path / 'cut.jpg').write_bytes((tmp_path / 'whole.jpg').read_bytes()[:100])
    (tmp_path / 'folder.zarr').mkdir()
    shown = crop_of(tmp_path / name, (60, 60), BOX).astype(int)
    assert shown.shape == (SIDE, SIDE, 3)
    assert abs(shown[:40] - GREY).max() < 8  # above the box, the words are below it
    edge = round(SIDE / 2 - SIDE * 20 / 48 / 2)
    assert abs(shown[SIDE // 2, edge] - COLOUR).max() < 40
