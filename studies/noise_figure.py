"""Final AP against the share of wrong labels, from the tables of studies.reproduce."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ghm_mmdet.diagnosis.style import COLOURS, LINE_WIDTH, finish, panels
from studies.run_log import RunError

MARKERS = {'focal loss': 'D', 'cross entropy': 's', 'GHM-C': 'o', 'GHM-C, no prior': '^'}


@dataclass(frozen=True)
class Result:
    """A row of a table: AP in percent over seeds."""

    mean: float
    deviation: float


def read_table(path: Path) -> dict[str, Result]:
    """The rows of a ``table.csv`` that have at least two seeds, by name.

    Raises:
        RunError: There is no such file, or it is something else.
    """
    if not path.is_file():
        raise RunError(f'{path}: no such table')
    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    try:
        return {
            row['row']: Result(float(row['ap_mean']), float(row['ap_deviation']))
            for row in rows
            if row['ap_deviation']
        }
    except (KeyError, ValueError) as error:
        raise RunError(f'{path}: not a table of studies.reproduce') from error


def draw_noise(
    tables: Mapping[float, Mapping[str, Result]], names: Mapping[str, str], title: str = ''
) -> Figure:
    """One line for each row that is named, with its name at its end.

    Args:
        tables: Rows by the share of wrong labels, in [0, 1].
        names: Name of a loss, as figures colour it, by the row.
        title: Of the figure, such as the data.
    """
    figure, (axes,) = panels(1)
    for row, name in names.items():
        points = [(noise, rows[row]) for noise, rows in sorted(tables.items()) if row in rows]
        axes.errorbar(
            [100 * noise for noise, _ in points],
            [result.mean for _, result in points],
            yerr=[result.deviation for _, result in points],
            color=COLOURS[name],
            marker=MARKERS[name],
            linewidth=LINE_WIDTH,
            capsize=3,
        )
        end = (100 * points[-1][0], points[-1][1].mean)
        text = dict(xytext=(10, 0), textcoords='offset points', va='center', color=COLOURS[name])
        axes.annotate(name, end, **text)
    axes.margins(y=0.15)
    axes.set_xticks([100 * noise for noise in sorted(tables)])
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set(title=title, xlabel='training objects with a wrong class', ylabel='mAP (%)')
    finish(axes)
    return figure
