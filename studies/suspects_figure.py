"""The first suspect of each gallery of report.html: a line of crops for each report."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from html import unescape
from io import BytesIO
from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib.figure import Figure

from studies.run_log import RunError

KINDS = ('wrong class', 'missing box', 'badly placed box', 'box around nothing')
GALLERY = '<div class="suspects">'
FIRST = re.compile(r'\s*<figure>\s*<img alt="([^"]*)" src="data:image/jpeg;base64,([^"]*)">')
SIDE = 2.0  # inches of a crop, with its share of the gap to the next
BETWEEN = 0.5  # inches of text between two lines of crops


def first_suspects(report: Path) -> list[tuple[str, np.ndarray]]:
    """What the page says about each gallery's first suspect, and its crop, uint8, (H, W, 3).

    Args:
        report: Folder that tools/analyze_gradients.py has written.

    Raises:
        RunError: There is no such page, or it lacks a suspect of one kind.
    """
    page = report / 'report.html'
    if not page.is_file():
        raise RunError(f'{page}: no such page; tools/analyze_gradients.py writes it')
    galleries = page.read_text('utf-8').split(GALLERY)[1:]
    found = [FIRST.match(each) for each in galleries]
    if len(found) != len(KINDS) or None in found:
        raise RunError(f'{page}: must have a suspect in each of {len(KINDS)} galleries')
    return [
        (unescape(each[1]), matplotlib.image.imread(BytesIO(b64decode(each[2])), 'jpg'))
        for each in found
    ]


def draw_suspects(reports: Mapping[str, Sequence[tuple[str, np.ndarray]]]) -> Figure:
    """The suspects of each report beside each other, under its title.

    Args:
        reports: See :func:`first_suspects`, by title.
    """
    height = (SIDE + BETWEEN) * len(reports) + BETWEEN
    figure = Figure(figsize=(SIDE * len(KINDS), height))
    rows = figure.subplots(
        len(reports),
        len(KINDS),
        squeeze=False,
        gridspec_kw=dict(
            left=0.01,
            right=0.99,
            bottom=0.6 * BETWEEN / height,
            top=1 - 1.3 * BETWEEN / height,
            wspace=0.06,
            hspace=BETWEEN / SIDE,
        ),
    )
    for axes, kind in zip(rows[0], KINDS):
        axes.set_title(kind, loc='left', fontweight='bold', pad=20)
    for row, (title, suspects) in zip(rows, reports.items()):
        row[0].text(0, 1.04, title, transform=row[0].transAxes, color='#666666')
        for axes, (said, crop) in zip(row, suspects):
            axes.imshow(crop)
            axes.set_axis_off()
            axes.text(0, -0.04, said, transform=axes.transAxes, va='top')
    return figure
