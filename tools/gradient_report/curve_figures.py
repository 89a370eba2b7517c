"""The two panels of a loss: how many examples are easy or hard, and who moves the model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.style import finish, panels, stairs

EASY, OUTLIER = 0.1, 0.9  # where figures and text put the ends of the distribution
GROUPS = {'easy': '#BBBBBB', 'between': '#F0E442', 'outliers': '#CC79A7'}
LEAST_NAMED = 0.06  # share whose number has room in its bar


def draw_overview(
    histograms: Mapping[str, np.ndarray], shares: Mapping[str, np.ndarray], symbol: str
) -> Figure:
    """Both panels.

    Args:
        histograms: Examples per region of the gradient norm, shape (F,), by a name of ``COLOURS``.
        shares: Share of the total gradient per region, shape (F,), by the name of the loss.
        symbol: Of the gradient norm.
    """
    figure, (left, right) = panels(2)
    draw_norms(left, histograms, symbol)
    shade_groups(left)
    draw_contributions(right, shares, symbol)
    return figure


def draw_norms(axes: Axes, histograms: Mapping[str, np.ndarray], symbol: str) -> None:
    """Examples per region, with a note where the positives rise at the end of the axis."""
    for name, counts in histograms.items():
        stairs(axes, counts, name, name)
    highest = max(1, *(counts.max() for counts in histograms.values()))
    # a fifth of the height above the lines is the legend's
    axes.set_ylim(0.5, 0.5 * (2 * highest) ** 1.25)
    axes.set(title='How many examples', ylabel='examples per region', yscale='log')
    finish(axes, symbol)
    axes.legend(frameon=False, ncols=2, loc='upper center')
    if symbol == 'g' and rises_at_the_end(histograms.get('positives', np.zeros(10))):
        look = dict(arrowprops=dict(arrowstyle='->'), ha='right', va='center')
        height = histograms['positives'][-1]
        axes.annotate('wrong labels?', (0.99, height), (0.85, 10 * height), **look)


def shade_groups(axes: Axes) -> None:
    """Shade the regions of the easy examples and of the outliers, in the colours of their bars."""
    for name, start, end in (('easy', 0, EASY), ('outliers', OUTLIER, 1)):
        axes.axvspan(start, end, color=GROUPS[name], alpha=0.35, linewidth=0, zorder=0)


def rises_at_the_end(positives: np.ndarray) -> bool:
    """Whether the positives have a valley in the upper half and a smaller crowd behind it.

    In a trained detector that crowd is where wrong labels are. Before a training nearly all
    positives are there, and nothing is wrong with them.
    """
    tenths = np.array([part.sum() for part in np.array_split(positives, 10)])
    last = tenths[-1]
    return bool(tenths[5:].min() * 1.5 + 10 < last < tenths.sum() / 2)


def draw_contributions(axes: Axes, shares: Mapping[str, np.ndarray], symbol: str) -> None:
    """Shares that the easy, the outliers and those between have, a bar for each loss."""
    parts = np.array([groups(share) for share in shares.values()])
    start = np.zeros(len(parts))
    labels = (f'easy: {symbol} < {EASY}', 'between', f'outliers: {symbol} > {OUTLIER}')
    for label, colour, part in zip(labels, GROUPS.values(), parts.T):
        bars = axes.barh([*shares], 100 * part, 0.7, 100 * start, label=label, color=colour)
        axes.bar_label(
            bars, [f'{x:.0%}' if x >= LEAST_NAMED else '' for x in part], label_type='center'
        )
        start += part
    axes.invert_yaxis()
    axes.set(xlabel='share of the total gradient (%)', xlim=(0, 100))
    axes.set_title('Who moves the model', pad=26)
    axes.spines[['top', 'right']].set_visible(False)
    look = dict(handlelength=1.2, columnspacing=1.2, borderaxespad=0.2)
    axes.legend(frameon=False, ncols=3, loc='lower center', bbox_to_anchor=(0.5, 1), **look)


def groups(values: np.ndarray) -> np.ndarray:
    """Sums over the easy, those between and the outliers, from values per region, shape (3,)."""
    ends = [round(end * len(values)) for end in (EASY, OUTLIER)]
    return np.array([part.sum() for part in np.split(values, ends)])
