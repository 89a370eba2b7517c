"""The picture has a line per contestant, in both panels."""

from __future__ import annotations

import cv2
import pytest

from benchmarks import plot
from tests.benchmarks.rows import row


@pytest.fixture
def rows():
    scaling = [
        row(name, size * (m or 1) / 1e5, examples=size, bins=m)
        for size in (10**5, 10**6)
        for name, bins in {'GHM-C': (10, 30, 100), 'mmdet FocalLoss': (None,)}.items()
        for m in bins
    ]
    floor = row('floor at 3,000 GB/s', 1e-3, bins=None)
    return [*scaling, floor, row('GHM-C', 3e3, examples=10**7)]


def test_a_picture_is_written(rows, tmp_path):
    plot.draw(rows, tmp_path / 'picture.png')
    assert cv2.imread(str(tmp_path / 'picture.png')).std() > 0


def test_the_panel_against_m_shows_the_largest_size_with_all_of_them(rows):
    assert plot._size_with_most_bins(rows) == 10**6


@pytest.mark.parametrize('name', ['GHM-C', 'mmdet FocalLoss (PyTorch)', 'GHM-C exact'])
def test_names_that_go_on_have_the_style_of_their_start(name):
    assert plot._style(name) in plot.STYLES.values()


def test_no_two_contestants_look_alike():
    looks = [(style['color'], style['marker']) for style in plot.STYLES.values()]
    assert len(set(looks)) == len(looks)
