"""A detector's gradient norms as pictures: each a figure, the numbers behind it, and a sentence."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.style import LINE_WIDTH, PANEL, finish, panels, save

from .curve_figures import draw_contributions, draw_norms, draw_reformulated
from .curves import (
    classification_curves,
    contribution_shares,
    mined_ratio,
    regression_curves,
)
from .recorder import LossRecord

PUBLISHED_REGIONS = {'classification': 30, 'box': 10}  # M of GHM-C and GHM-R
EASY, OUTLIER = 0.1, 0.9  # where the text puts the ends of the distribution


@dataclass(frozen=True)
class Picture:
    """One figure of the report.

    Attributes:
        name: Of its files.
        title: Above it.
        sentence: What it means.
        figure: The drawing.
        table: The numbers that are drawn, by column, each with a value for every region.
    """

    name: str
    title: str
    sentence: str
    figure: Figure
    table: Mapping[str, np.ndarray]

    def save(self, folder: Path) -> list[Path]:
        """Write it as PNG, SVG and CSV; the CSV has a row for each region."""
        files = save(self.figure, folder / self.name)
        path = folder / f'{self.name}.csv'
        with path.open('w', newline='') as file:
            rows = csv.writer(file)
            rows.writerow(['from', 'to', *self.table])
            bins = len(next(iter(self.table.values())))
            for region in range(bins):
                values = [f'{column[region]:.6g}' for column in self.table.values()]
                edges = (region / bins, (region + 1) / bins)
                rows.writerow([*(f'{edge:.6g}' for edge in edges), *values])
        return [*files, path]


def pictures_of(
    record: LossRecord, classes: Sequence[str], strides: Sequence[int], per_class: bool
) -> list[Picture]:
    """All pictures of one loss.

    Args:
        record: What it was called with.
        classes: Names, by class index.
        strides: Of the pyramid's levels in pixels, where the head calls its loss for each.
        per_class: Whether to draw the positives of every class too.
    """
    found = [_overview(record)]
    if len(record.counts) > 1:
        found.append(_levels(record, strides))
    if per_class and record.kind == 'classification' and record.counts.size(2) >= len(classes):
        found.append(_classes(record, classes))
    return found


def _overview(record: LossRecord) -> Picture:
    negatives, positives = record.by_sign.numpy()
    counts = record.by_region.numpy()
    if record.kind == 'classification':
        histograms = {'negatives': negatives, 'positives': positives}
        kept = mined_ratio(positives, negatives)
        curves = classification_curves(counts, keep_ratio=kept)
    else:
        histograms = {'positives': positives}
        curves = regression_curves(counts, mu=record.mu)
    fine = contribution_shares(counts, curves)
    regions = PUBLISHED_REGIONS[record.kind]
    shares = contribution_shares(counts, curves, regions)
    figure, (left, middle, right) = panels(3)
    draw_norms(left, histograms, record.symbol)
    draw_reformulated(middle, curves, record.symbol)
    draw_contributions(right, shares, record.symbol)
    table = {
        **histograms,
        **{f'gradient norm under {name}': values for name, values in curves.items()},
        **{
            f'share of the gradient of its 1/{regions} under {name}': values.repeat(
                len(counts) // regions
            )
            for name, values in shares.items()
        },
    }
    sentence = ' '.join([_who(record, counts), _who_moves(fine)])
    if record.kind == 'classification':
        sentence += f' Share that the positives have: {_of_positives(counts, positives, fine)}.'
    return Picture(_name(record), _title(record), sentence, figure, table)


def _levels(record: LossRecord, strides: Sequence[int]) -> Picture:
    calls = record.counts.sum((1, 2)).numpy()
    per_level = len(strides) == len(calls)
    names = [f'stride {each}' for each in strides] if per_level else _numbered(len(calls))
    colours = matplotlib.colormaps['viridis'](np.linspace(0, 0.85, len(calls)))
    figure, (axes,) = panels(1)
    for name, counts, colour in zip(names, calls, colours, strict=True):
        edges = np.linspace(0, 1, len(counts) + 1)
        axes.stairs(counts, edges, label=name, color=colour, linewidth=LINE_WIDTH)
    axes.set_yscale('log')
    axes.set_ylim(bottom=0.5)
    _label(axes, record, 'examples per region')
    finish(axes)
    what = 'level of the pyramid' if per_level else 'call of the loss'
    return Picture(
        f'{_name(record)}_levels',
        f'{_title(record)}, each {what}',
        f'A loss that is called for each {what} makes a density of each of these curves; with one '
        'density for all, the largest outvotes the others.',
        figure,
        dict(zip(names, calls, strict=True)),
    )


def _classes(record: LossRecord, classes: Sequence[str]) -> Picture:
    positives = record.counts.sum(0)[1, : len(classes)].numpy()
    figure = Figure(figsize=(PANEL[0] * 1.5, 1.4 + 0.24 * len(classes)), layout='constrained')
    axes = figure.subplots()
    drawn = axes.imshow(
        np.ma.masked_equal(positives, 0),
        aspect='auto',
        interpolation='nearest',
        extent=(0, 1, len(classes) - 0.5, -0.5),
        cmap='viridis',
        norm=LogNorm(vmin=1, vmax=max(2, positives.max())),
    )
    axes.set_yticks(range(len(classes)), classes)
    figure.colorbar(drawn, label='positives per region')
    _label(axes, record, '')
    total = positives.sum(1)
    region = (np.arange(positives.shape[1]) + 0.5) / positives.shape[1]
    mean = np.divide(positives @ region, total, out=np.zeros(len(classes)), where=total > 0)
    order = np.argsort(-mean)
    hardest = ', '.join(f'{classes[i]} ({mean[i]:.2f})' for i in order[:3] if total[i])
    return Picture(
        f'{_name(record)}_classes',
        f'{_title(record)}, positives of each class',
        f'A row is a class. The hardest by their mean g: {hardest}.',
        figure,
        dict(zip(classes, positives, strict=True)),
    )


def _who(record: LossRecord, counts: np.ndarray) -> str:
    easy, outlier = _ends(counts / counts.sum())
    what = 'examples' if record.kind == 'classification' else 'box coordinates of positives'
    return (
        f'Of {counts.sum():,} {what}, {easy:.1%} have {record.symbol} below {EASY} and are easy; '
        f'{outlier:.2%} are above {OUTLIER}: outliers, which the model contradicts.'
    )


def _who_moves(shares: Mapping[str, np.ndarray]) -> str:
    ends = {name: _ends(share) for name, share in shares.items()}
    listed = ', '.join(
        f'{name} {easy:.0%} and {outlier:.0%}' for name, (easy, outlier) in ends.items()
    )
    return f'Share of the gradient that the easy and the outliers have: {listed}.'


def _of_positives(
    counts: np.ndarray, positives: np.ndarray, shares: Mapping[str, np.ndarray]
) -> str:
    """The positives' part of the gradient: of each region's what they are of its examples."""
    part = np.divide(positives, counts, out=np.zeros(len(counts)), where=counts > 0)
    return ', '.join(f'{name} {part @ share:.0%}' for name, share in shares.items())


def _ends(shares: np.ndarray) -> tuple[float, float]:
    """What lies below EASY and above OUTLIER."""
    bins = len(shares)
    return shares[: round(EASY * bins)].sum(), shares[round(OUTLIER * bins) :].sum()


def _label(axes: Axes, record: LossRecord, ylabel: str) -> None:
    axes.set_xlim(0, 1)
    axes.set(xlabel=f'gradient norm {record.symbol}', ylabel=ylabel)


def _numbered(calls: int) -> list[str]:
    return [f'call {index + 1}' for index in range(calls)]


def _name(record: LossRecord) -> str:
    return record.name.replace('.', '_')


def _title(record: LossRecord) -> str:
    of = 'Classification' if record.kind == 'classification' else f'Boxes (mu {record.mu:g})'
    return f'{of}: {record.name}'
