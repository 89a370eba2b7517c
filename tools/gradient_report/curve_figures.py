"""The paper's three panels: number of examples, gradient of one example, gradient of all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.style import SHARE_LABEL, finish, panels, stairs


def draw_curves(
    histograms: Mapping[str, np.ndarray],
    curves: Mapping[str, np.ndarray],
    shares: Mapping[str, np.ndarray],
    symbol: str,
) -> Figure:
    """The three panels, from the counts and the module ``curves``."""
    figure, (left, middle, right) = panels(3)
    draw_norms(left, histograms, symbol)
    draw_reformulated(middle, curves, symbol)
    draw_contributions(right, shares, symbol)
    return figure


def draw_norms(axes: Axes, histograms: Mapping[str, np.ndarray], symbol: str) -> None:
    """Examples per region of the gradient norm, shape (F,), by a name of ``COLOURS``."""
    _draw(axes, histograms, symbol, lowest=0.5)
    axes.set(title='How many examples', ylabel='examples per region')


def draw_reformulated(axes: Axes, curves: Mapping[str, np.ndarray], symbol: str) -> None:
    """Gradient norm of one example under each loss against the criterion's own."""
    _draw(axes, curves, symbol, lowest=1e-4)
    axes.yaxis.set_major_formatter('{x:g}')
    axes.set(
        title='The gradient of one example',
        ylabel='reformulated gradient norm,\nscaled to equal totals',
    )


def draw_contributions(axes: Axes, shares: Mapping[str, np.ndarray], symbol: str) -> None:
    """Gradient of all examples of a region under each loss, in % of the loss's total."""
    _draw(axes, {name: share * 100 for name, share in shares.items()}, symbol, lowest=1e-3)
    axes.yaxis.set_major_formatter('{x:g}')
    axes.set(title='Who moves the model', ylabel=SHARE_LABEL)


def _draw(axes: Axes, lines: Mapping[str, np.ndarray], symbol: str, lowest: float) -> None:
    """Draw lines on a log axis that ends at the lowest relevant value, to use the space well."""
    for name, values in lines.items():
        stairs(axes, values, name, name, baseline=None)
    drawn = np.concatenate(list(lines.values()))
    highest = max(drawn.max(), 1)
    bottom = max(lowest, drawn.min(where=drawn > 0, initial=highest) / 2)
    # a fifth of the height above the lines is the legend's
    axes.set_ylim(bottom, bottom * (highest / bottom) ** 1.25)
    axes.set_yscale('log')
    finish(axes, symbol)
    axes.legend(frameon=False, ncols=2, loc='upper center')
