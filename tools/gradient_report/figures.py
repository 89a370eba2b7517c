"""A detector's gradient norms as pictures: each has a figure, its numbers, and a sentence."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.recorder import LossRecord
from ghm_mmdet.diagnosis.style import PANEL, finish, panels, save, stairs

from .curve_figures import EASY, OUTLIER, draw_overview, groups
from .curves import classification_curves, contribution_shares, region_centres, regression_curves


@dataclass(frozen=True)
class Picture:
    """One figure of the report.

    Attributes:
        name: Of its files.
        title: Above it.
        sentence: Its meaning.
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
            values = np.stack([*self.table.values()], axis=1)
            edges = np.arange(len(values) + 1) / len(values)
            for row in zip(edges[:-1], edges[1:], *values.T):
                rows.writerow([f'{value:.6g}' for value in row])
        return [*files, path]


def pictures_of(
    record: LossRecord, classes: Sequence[str], strides: Sequence[int], per_class: bool
) -> list[Picture]:
    """All pictures of one loss.

    Args:
        record: Of its calls.
        classes: Names, by class index.
        strides: Of the pyramid's levels in pixels, where the head calls its loss for each.
        per_class: Whether to draw the positives of every class too.
    """
    found = [_overview(record)]
    if len(record.counts) > 1:
        found.append(_levels(record, strides))
    if per_class and record.symbol == 'g' and record.counts.size(2) >= len(classes):
        found.append(_classes(record, classes))
    return found


def _picture(
    record: LossRecord,
    sentence: str,
    figure: Figure,
    table: Mapping[str, np.ndarray],
    suffix: str = '',
    of: str = '',
) -> Picture:
    kind = 'Classification' if record.mu is None else f'Boxes (mu {record.mu:g})'
    name = record.name.replace('.', '_') + suffix
    return Picture(name, f'{kind}: {record.name}{of}', sentence, figure, table)


def _overview(record: LossRecord) -> Picture:
    negatives, positives = record.by_sign.numpy()
    counts = negatives + positives
    if record.symbol == 'g':
        histograms = {'negatives': negatives, 'positives': positives}
        curves = classification_curves(counts)
    else:
        histograms = {'positives': positives}
        curves = regression_curves(counts, mu=record.mu)
    shares = contribution_shares(counts, curves)
    table = dict(histograms)
    for name, values in curves.items():
        table[f'gradient norm under {name}'] = values
    for name, values in shares.items():
        table[f'share of the gradient under {name}'] = values
    figure = draw_overview(histograms, shares, record.symbol)
    return _picture(record, _sentence(record.symbol, counts, positives, shares), figure, table)


def _levels(record: LossRecord, strides: Sequence[int]) -> Picture:
    calls = record.counts.sum((1, 2)).numpy()
    names = [f'call {index + 1}' for index in range(len(calls))]
    what = 'call of the loss'
    if len(strides) == len(calls):
        names = [f'stride {each}' for each in strides]
        what = 'level of the pyramid'
    colours = matplotlib.colormaps['viridis'](np.linspace(0, 0.85, len(calls)))
    figure, (axes,) = panels(1)
    for name, counts, colour in zip(names, calls, colours):
        stairs(axes, counts, name, to_hex(colour))
    axes.set(yscale='log', ylabel='examples per region')
    axes.set_ylim(bottom=0.5)
    finish(axes, record.symbol)
    sentence = (
        f'A loss that is called for each {what} has a density for each of these curves. One '
        'density for all follows the largest curve.'
    )
    table = dict(zip(names, calls))
    return _picture(record, sentence, figure, table, '_levels', f', each {what}')


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
    axes.set(xlim=(0, 1), xlabel='gradient norm g')
    total = positives.sum(1)
    centres = region_centres(positives.shape[1])
    mean = np.divide(positives @ centres, total, out=np.zeros(len(classes)), where=total > 0)
    hardest = [i for i in np.argsort(-mean)[:3] if total[i]]
    listed = ', '.join(f'{classes[i]} ({mean[i]:.2f})' for i in hardest)
    sentence = f'A row is a class. The hardest by their mean g: {listed}.'
    table = dict(zip(classes, positives))
    return _picture(record, sentence, figure, table, '_classes', ', positives of each class')


def _sentence(
    symbol: str, counts: np.ndarray, positives: np.ndarray, shares: Mapping[str, np.ndarray]
) -> str:
    """Who is easy and who an outlier, and the shares of the gradient that these have."""
    easy, _, outlier = groups(counts / counts.sum())
    parts = {name: groups(share) for name, share in shares.items()}
    listed = '; '.join(f'{name} {low:.0%} and {high:.0%}' for name, (low, _, high) in parts.items())
    what = 'examples' if symbol == 'g' else 'box coordinates of positives'
    sentence = (
        f'Of {counts.sum():,} {what}, {easy:.1%} have {symbol} below {EASY} and are easy; '
        f'{outlier:.2%} are above {OUTLIER}: outliers, which the model contradicts. '
        f'Shares of the gradient of the easy examples and of the outliers: {listed}.'
    )
    if symbol == 'g':
        # positives have the share of a region's gradient that they have of its examples
        part = np.divide(positives, counts, out=np.zeros(len(counts)), where=counts > 0)
        listed = '; '.join(f'{name} {part @ share:.0%}' for name, share in shares.items())
        sentence += f' Share that the positives have: {listed}.'
    return sentence
