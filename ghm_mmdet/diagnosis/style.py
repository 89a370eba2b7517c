"""Colours, panels and files of all figures."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can distinguish.
COLOURS = {
    'cross entropy': '#E69F00',
    'OHEM': '#CC79A7',
    'focal loss': '#009E73',
    'GHM-C': '#0072B2',
    'GHM-C, no prior': '#0072B2',
    'smooth L1': '#E69F00',
    'authentic smooth L1': '#009E73',
    'GHM-R': '#0072B2',
    'positives': '#D55E00',
    'negatives': '#56B4E9',
    'moving average': '#000000',
}
LINE_WIDTH = 1.8
PANEL = (5.2, 3.8)  # inches: two beside each other are legible at the width of a README
NARROW = (4.2, 3.8)  # so are three of these
DPI = 130
EVEN_SHARES = 4  # where the axis of a region's share ends, in units of 1 / M


def panels(columns: int, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with its axes, row by row."""
    width, height = PANEL if columns < 3 else NARROW
    figure = Figure(figsize=(width * columns, height * rows), layout='constrained')
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def stairs(axes: Axes, values: np.ndarray, label: str, colour: str, **look: object) -> None:
    """Draw one value for each region of [0, 1], shape (M,).

    The colour is a name of ``COLOURS`` or one of matplotlib's, and so is the look.
    """
    edges = np.linspace(0, 1, len(values) + 1)
    colour = COLOURS.get(colour, colour)
    look = dict(color=colour, linewidth=LINE_WIDTH, baseline=None, **look)  # no edges at the ends
    axes.stairs(values, edges, label=label, **look)


def draw_shares(axes: Axes, shares: Mapping[str, np.ndarray], symbol: str) -> None:
    """Share of the total gradient per region, shape (M,), by a name of ``COLOURS``.

    The axis is the same for the same M. What is above it is cut off there, and named.
    """
    top = 100 * EVEN_SHARES / len(next(iter(shares.values())))
    for name, share in shares.items():
        stairs(axes, 100 * share, name, name)
        region = share.argmax()
        if 100 * share[region] > top:
            place = ((region + 1) / len(share), top)
            text = f' {share[region]:.0%}'
            axes.annotate(text, place, color=COLOURS[name], va='top', annotation_clip=False)
    axes.set(title='Who moves the model', ylabel='share of the gradient\nper region (%)')
    axes.set_ylim(0, top)
    finish(axes, symbol)


def finish(axes: Axes, symbol: str | None = None) -> None:
    """Add the grid, the frame and the legend that all panels have.

    Args:
        axes: The panel.
        symbol: Of the gradient norm on its x axis, such as 'g'; None for another x axis.
    """
    if symbol:
        axes.set(xlim=(0, 1), xlabel=f'gradient norm {symbol}')
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def rendered(figure: Figure) -> np.ndarray:
    """A figure's pixels, RGB, uint8, shape (height, width, 3)."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes for the same figure, and return the files.

    The suffixes replace that of the path.
    """
    files = [path.with_suffix('.png'), path.with_suffix('.svg')]
    figure.savefig(files[0], dpi=DPI)
    files[1].write_bytes(svg(figure, path.stem))
    return files


def svg(figure: Figure, name: str) -> bytes:
    """A figure as SVG, the same bytes for the same figure and name."""
    buffer = BytesIO()
    with matplotlib.rc_context({'svg.hashsalt': name}):
        figure.savefig(buffer, format='svg', metadata={'Date': None})
    return buffer.getvalue()
