"""The paper's three panels: how many examples, the gradient of one, the gradient of all of them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ghm_mmdet.diagnosis.style import COLOURS, LINE_WIDTH, finish

# where the axes end: what lies below is of no account, and would squeeze the rest on a log axis
LOWEST_COUNT = 0.5
LOWEST_NORM = 1e-4
LOWEST_PERCENT = 1e-3


def draw_norms(axes: Axes, histograms: dict[str, np.ndarray], symbol: str) -> None:
    """Examples per region of the gradient norm.

    Args:
        axes: Where to draw.
        histograms: Counts, shape (F,), by a name of ``style.COLOURS``.
        symbol: Of the gradient norm, such as 'g'.
    """
    _draw(axes, histograms, symbol, LOWEST_COUNT)
    axes.set(title='How many examples', ylabel='examples per region')


def draw_reformulated(axes: Axes, curves: dict[str, np.ndarray], symbol: str) -> None:
    """Gradient norm of one example under each loss against the criterion's own.

    Args:
        axes: Where to draw.
        curves: Of ``curves.classification_curves`` or ``curves.regression_curves``.
        symbol: Of the gradient norm, such as 'g'.
    """
    _draw(axes, curves, symbol, LOWEST_NORM)
    axes.yaxis.set_major_formatter('{x:g}')
    axes.set(
        title='The gradient of one example',
        ylabel='reformulated gradient norm,\nscaled to equal totals',
    )


def draw_contributions(axes: Axes, shares: dict[str, np.ndarray], symbol: str) -> None:
    """Gradient of all examples of a region under each loss, in % of the loss's total.

    Args:
        axes: Where to draw.
        shares: Of ``curves.contribution_shares``.
        symbol: Of the gradient norm, such as 'g'.
    """
    percent = {name: share * 100 for name, share in shares.items()}
    _draw(axes, percent, symbol, LOWEST_PERCENT)
    axes.yaxis.set_major_formatter('{x:g}')
    axes.set(title='Who moves the model', ylabel='share of the total gradient\nper region (%)')


def _draw(axes: Axes, lines: dict[str, np.ndarray], symbol: str, lowest: float) -> None:
    for name, values in lines.items():
        edges = np.linspace(0, 1, len(values) + 1)
        colour = COLOURS[name]
        axes.stairs(values, edges, baseline=None, label=name, color=colour, linewidth=LINE_WIDTH)
    drawn = np.concatenate(list(lines.values()))
    highest = max(drawn.max(), 1)
    bottom = max(lowest, drawn.min(where=drawn > 0, initial=highest) / 2)
    # a fifth of the height above the lines is the legend's
    axes.set_ylim(bottom, bottom * (highest / bottom) ** 1.25)
    axes.set_yscale('log')
    axes.set_xlim(0, 1)
    axes.set_xlabel(f'gradient norm {symbol}')
    finish(axes)
    axes.legend(frameon=False, ncols=2, loc='upper center')
