"""What a row gains over the first of its table, for many tables on one axis."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.style import COLOURS, finish
from studies.run_log import RunError

WIDTH, LINE = 8.0, 0.3  # inches


@dataclass(frozen=True)
class Difference:
    """A paired difference of AP in percent, and its standard error."""

    label: str
    mean: float
    error: float

    @property
    def counts(self) -> bool:
        """Whether it is beyond two standard errors."""
        return abs(self.mean) > 2 * self.error


def read_difference(label: str, path: Path, row: str) -> Difference:
    """The difference of a row in a ``table.csv`` to the first one.

    Raises:
        RunError: There is no such file or row, or fewer than two seeds of both rows.
    """
    try:
        with path.open(newline='', encoding='utf-8') as file:
            found = {each['row']: each for each in csv.DictReader(file)}[row]
        return Difference(label, float(found['difference_mean']), float(found['difference_error']))
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f'{path}: no difference of row {row} over two seeds or more') from error


def draw_differences(differences: Sequence[Difference], xlabel: str) -> Figure:
    """A line for each difference, from top to bottom, with a bar of two standard errors.

    Those that count are filled.

    Args:
        differences: To draw.
        xlabel: What is subtracted from what.
    """
    height = LINE * len(differences) + 0.9
    figure = Figure(figsize=(WIDTH, height), layout='constrained')
    axes = figure.subplots()
    colour = COLOURS['GHM-C']
    axes.axvline(0, color=COLOURS['focal loss'], linewidth=1.2)
    for place, each in enumerate(differences):
        face = colour if each.counts else 'white'
        look = dict(fmt='o', color=colour, markerfacecolor=face, capsize=2, linewidth=1.4)
        axes.errorbar(each.mean, place, xerr=2 * each.error, **look)
    axes.set_yticks(range(len(differences)), [each.label for each in differences])
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set_xlabel(xlabel)
    finish(axes)
    return figure
