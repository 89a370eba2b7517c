"""One harmonized loss in one iteration as a figure: counts, weights, who moves the model."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.density_probe import Harmonizing
from ghm_mmdet.diagnosis.panels import DPI, SHARE_LABEL, finish, panels, stairs


def density_figure(seen: Harmonizing) -> Figure:
    """Three panels over the regions of the gradient norm."""
    is_box = seen.symbol == 'gr'
    name, plain = ('GHM-R', 'authentic smooth L1') if is_box else ('GHM-C', 'cross entropy')
    figure, (left, middle, right) = panels(3)
    figure.suptitle(seen.name)
    if not is_box:
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
    right.set(title='Who moves the model', ylabel=SHARE_LABEL)
    for axes in (left, middle, right):
        finish(axes, seen.symbol)
    return figure


def rendered(figure: Figure) -> np.ndarray:
    """A figure's pixels, RGB, uint8, shape (height, width, 3)."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
