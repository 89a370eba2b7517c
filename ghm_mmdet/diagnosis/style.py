"""Colours, panels and files of all figures."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, which stays apart for colour-blind readers.
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
    'before training': '#999999',
    'after training': '#000000',
}
LINE_WIDTH = 1.8
PANEL = (5.2, 3.8)  # inches: two beside each other are legible at the width of a README
NARROW = (4.2, 3.8)  # so are three of these
DPI = 130


def panels(columns: int, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with its axes, row by row."""
    width, height = PANEL if columns < 3 else NARROW
    figure = Figure(figsize=(width * columns, height * rows), layout='constrained')
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def finish(axes: Axes) -> None:
    """The grid, the frame and the legend that all panels have."""
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes for the same figure.

    Args:
        figure: What to write.
        path: Name of both files; their suffixes are put in place of its own.

    Returns:
        The files.
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
