"""Loss and metric of several runs side by side, as a figure and as numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from ghm_mmdet.diagnosis.style import COLOURS, LINE_WIDTH, finish, panels
from studies.runs import Run

LOSS_NAMES = {
    'GHMCLoss': 'GHM-C',
    'GHMC': 'GHM-C',
    'FocalLoss': 'focal loss',
    'CrossEntropyLoss': 'cross entropy',
    'OHEMLoss': 'OHEM',
}
OTHER_COLOUR = '#777777'
LINE_STYLES = ('-', '--', ':', '-.')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')  # 7 and 4 make 28 pairs when taken in turn
FEW_POINTS = 40
WIDTH = 8  # inches at least: names of runs may be long
SMOOTHED_PART = 40  # a fortieth of the points to each side is averaged
CURVE_COLUMNS = ('run', 'curve', 'iteration', 'epoch', 'value', 'smoothed')


@dataclass(frozen=True)
class Look:
    """The look of a run, the same in both panels."""

    label: str
    colour: str
    line_style: str
    marker: str
    marked_loss: bool


def smooth(values: np.ndarray) -> np.ndarray:
    """Centred running mean over about a twentieth of the points.

    The window narrows towards both ends and towards a non-finite value, which stays. So a straight
    line does not change, a gap is not filled, and the first and the last value are the raw ones.

    Args:
        values: Shape (n,).
    """
    half = len(values) // SMOOTHED_PART
    result = np.where(np.isfinite(values), values, np.nan)
    gaps = [-1, *np.flatnonzero(np.isnan(result)), len(values)]
    for start, stop in zip(gaps, gaps[1:]):
        for i in range(start + 1, stop):
            reach = min(half, i - start - 1, stop - 1 - i)
            result[i] = np.mean(values[i - reach : i + reach + 1])
    return result


def looks(runs: Sequence[Run], labels: Sequence[str]) -> list[Look]:
    """Colour by the classification loss; runs that share it differ by line style and marker.

    A curve of the loss has its marker only where the line styles have run out.
    """
    seen: dict[str, int] = {}
    result = []
    for run, label in zip(runs, labels):
        name = LOSS_NAMES.get(run.classification, run.classification)
        colour = COLOURS.get(name, OTHER_COLOUR)
        order = seen.setdefault(colour, 0)
        seen[colour] += 1
        result.append(
            Look(
                # a name from a folder is no formula
                label=_with_loss(label, name).replace('$', r'\$'),
                colour=colour,
                line_style=LINE_STYLES[order % len(LINE_STYLES)],
                marker=MARKERS[order % len(MARKERS)],
                marked_loss=order >= len(LINE_STYLES),
            )
        )
    return result


def _with_loss(label: str, loss: str | None) -> str:
    """The label, with the loss behind it where it does not begin with its name already."""
    word = (loss or '').split(' ')[0].replace('-', '').lower()
    return label if label.lower().startswith(word) else f'{label} ({loss})'


def draw_comparison(runs: Sequence[Run], labels: Sequence[str], metric: str) -> Figure:
    """A metric of the validations; left of it the training loss, where all runs have the same.

    Args:
        runs: To compare.
        labels: One for each run.
        metric: Name of the metric.
    """
    comparable = len({run.classification for run in runs}) == 1
    figure, (*left, right) = panels(2 if comparable else 1)
    figure.set_figwidth(max(WIDTH, figure.get_figwidth()))
    drawn = looks(runs, labels)
    for axes in left:
        right.sharex(axes)
        _draw_losses(axes, runs, drawn)
    handles = [_draw_metric(right, run, look, metric) for run, look in zip(runs, drawn)]
    unit = ' (0 to 1)' if metric.startswith('coco/') else ''
    right.set(title='Validation: higher is better', xlabel='iteration', ylabel=metric + unit)
    finish(right)
    figure.legend(
        handles,
        [look.label for look in drawn],
        loc='outside lower center',
        ncols=_legend_columns(drawn, figure.get_figwidth()),
        frameon=False,
        handlelength=4,
    )
    return figure


def _legend_columns(drawn: Sequence[Look], width: float) -> int:
    """Number of columns that fit: a letter is 0.085 inches wide, a line's sample 0.9."""
    longest = max(len(look.label) for look in drawn)
    return min(len(drawn), max(1, int(width / (0.085 * longest + 0.9))))


def _spans_decades(losses: Sequence[float]) -> bool:
    finite = [loss for loss in losses if math.isfinite(loss)]
    return bool(finite) and 0 < 10 * min(finite) < max(finite)


def _set_log_scale(axes: Axes) -> None:
    axes.set_yscale('log')
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_losses(axes: Axes, runs: Sequence[Run], drawn: Sequence[Look]) -> None:
    for run, look in zip(runs, drawn):
        _draw_loss(axes, run, look)
    if _spans_decades([line.loss for run in runs for line in run.train]):
        _set_log_scale(axes)
    axes.set(title='Training loss', xlabel='iteration', ylabel='loss')
    finish(axes)


def _draw_loss(axes: Axes, run: Run, look: Look) -> None:
    iterations = [line.iteration for line in run.train]
    raw = np.array([line.loss for line in run.train])
    axes.plot(iterations, raw, color=look.colour, alpha=0.3, linewidth=0.8, marker='.', ms=3)
    axes.plot(
        iterations,
        smooth(raw),
        color=look.colour,
        linestyle=look.line_style,
        linewidth=LINE_WIDTH,
        marker=look.marker if look.marked_loss else '',
        markersize=4,
        markevery=max(1, len(raw) // 8),
    )


def _draw_metric(axes: Axes, run: Run, look: Look, metric: str) -> Line2D:
    points = [(done.iteration, done.metrics.get(metric, math.nan)) for done in run.validations]
    (line,) = axes.plot(
        [iteration for iteration, _ in points],
        [value for _, value in points],
        color=look.colour,
        linestyle=look.line_style,
        linewidth=LINE_WIDTH,
        marker=look.marker,
        markersize=4,
        markevery=max(1, len(points) // FEW_POINTS),
    )
    return line


def write_curves(path: Path, runs: Sequence[Run], labels: Sequence[str], metric: str) -> None:
    """Write the figure's points to a CSV file, with the columns of ``CURVE_COLUMNS``."""
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(CURVE_COLUMNS)
        for run, label in zip(runs, labels):
            writer.writerows((label, *point) for point in _points(run, metric))


def _points(run: Run, metric: str) -> Iterator[tuple]:
    smoothed = smooth(np.array([line.loss for line in run.train])).tolist()
    for line, mean in zip(run.train, smoothed):
        yield 'loss', line.iteration, line.epoch, line.loss, mean
    for done in run.validations:
        if metric in done.metrics:
            yield metric, done.iteration, done.epoch, done.metrics[metric], None
