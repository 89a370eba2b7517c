"""Draws a harmonized loss in one iteration: counts, weights, shares of the gradient."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.density_probe import Harmonizing
from ghm_mmdet.diagnosis.style import COLOURS, DPI, LINE_WIDTH, finish, panels


def density_figure(seen: Harmonizing) -> Figure:
    """Three panels over the regions of the gradient norm."""
    name = 'GHM-C' if seen.symbol == 'g' else 'GHM-R'
    plain = 'cross entropy' if seen.symbol == 'g' else 'authentic smooth L1'
    figure, (left, middle, right) = panels(3)
    figure.suptitle(seen.name)
    if seen.symbol == 'g':
        stairs(left, seen.negatives, 'negatives', 'negatives')
    stairs(left, seen.positives, 'positives', 'positives')
    if seen.moving_average is not None:
        stairs(left, seen.moving_average, 'moving average', 'moving average', linestyle='--')
    left.set(title='How many examples', ylabel='examples per region', yscale='log')
    left.set_ylim(bottom=0.5)
    stairs(middle, seen.beta, name, name)
    middle.set(title='Harmonizing weight', ylabel='beta', yscale='log')
    stairs(right, seen.share_before * 100, f'before: {plain}', plain)
    stairs(right, seen.share_after * 100, f'after: {name}', name)
    right.set(title='Who moves the model', ylabel='share of the total gradient\nper region (%)')
    for axes in (left, middle, right):
        axes.set_xlim(0, 1)
        axes.set_xlabel(f'gradient norm {seen.symbol}')
        finish(axes)
    return figure


def rendered(figure: Figure) -> np.ndarray:
    """A figure's pixels, RGB, uint8, shape (height, width, 3)."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def stairs(axes: Axes, values: np.ndarray, label: str, colour: str, **look: object) -> None:
    """Draw one value for each region of [0, 1].

    Args:
        axes: Where to draw.
        values: Shape (M,).
        label: In the legend.
        colour: A name of ``style.COLOURS``.
        **look: Of matplotlib's ``stairs``.
    """
    edges = np.linspace(0, 1, len(values) + 1)
    axes.stairs(values, edges, label=label, color=COLOURS[colour], linewidth=LINE_WIDTH, **look)
