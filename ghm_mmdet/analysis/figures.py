"""Figures of gradient-norm distributions. Every loss has one colour, the same in all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, which stays apart for colour-blind readers
COLOURS = {
    'before training': '#999999',
    'after training': '#0072B2',
    'cross entropy': '#E69F00',
    'focal loss': '#009E73',
    'GHM-C': '#0072B2',
}
FOCAL_GAMMA = 2.0


def region_centres(num_regions: int) -> np.ndarray:
    """Centres of equal regions of [0, 1], shape (num_regions,)."""
    return (np.arange(num_regions) + 0.5) / num_regions


def gradient_shares(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Share of the total gradient that each region's examples have under three losses.

    Args:
        counts: Examples per region of the cross entropy's gradient norm, shape (M,).

    Returns:
        Shares that sum to 1, shape (M,), by the name of the loss. Focal loss with gamma 2 has the
        gradient g^gamma (g - gamma (1 - g) log(1 - g)), the same for both classes up to alpha,
        which is left out. GHM-C has 1 / R_j for each example of region j.
    """
    g = region_centres(len(counts))
    focal = g**FOCAL_GAMMA * (g - FOCAL_GAMMA * (1 - g) * np.log1p(-g))
    totals = {
        'cross entropy': counts * g,
        'focal loss': counts * focal,
        'GHM-C': np.where(counts > 0, g, 0.0),
    }
    return {name: total / total.sum() for name, total in totals.items()}


def draw_histogram(axes: Axes, histograms: dict[str, np.ndarray], title: str, symbol: str) -> None:
    """Counts against the gradient norm on a log axis, one outline for each named histogram."""
    for name, counts in histograms.items():
        edges = np.linspace(0, 1, len(counts) + 1)
        axes.stairs(counts, edges, label=name, color=COLOURS[name], linewidth=1.8)
    axes.set_yscale('log')
    axes.set(title=title, xlabel=f'gradient norm {symbol}', ylabel='examples per region')
    _finish(axes)


def draw_shares(axes: Axes, counts: np.ndarray) -> None:
    """Share of the total gradient against the gradient norm for CE, focal loss and GHM-C."""
    edges = np.linspace(0, 1, len(counts) + 1)
    for name, share in gradient_shares(counts).items():
        axes.stairs(share * 100, edges, label=name, color=COLOURS[name], linewidth=1.8)
    axes.set_yscale('log')
    axes.set(
        title='Who moves the model',
        xlabel='gradient norm g of cross entropy',
        ylabel='share of the total gradient (%)',
    )
    _finish(axes)


def save_training_figure(
    path: Path,
    before: dict[str, np.ndarray],
    after: dict[str, np.ndarray],
    titles: dict[str, tuple[str, str]],
) -> None:
    """One histogram panel for each loss, before and after training.

    Args:
        path: PNG or SVG file to write.
        before: Counts by loss name.
        after: Counts by loss name.
        titles: Panel title and symbol of the gradient norm by loss name, in the panels' order.
    """
    figure = Figure(figsize=(5.2 * len(titles), 3.8), layout='constrained')
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for axes, (name, (title, symbol)) in zip(panels, titles.items(), strict=True):
        histograms = {'before training': before[name], 'after training': after[name]}
        draw_histogram(axes, histograms, title, symbol)
    figure.savefig(path, dpi=130)


def save_harmonizing_figure(path: Path, counts: np.ndarray) -> None:
    """The distribution of the gradient norm, and what three losses make of it.

    Args:
        path: PNG or SVG file to write.
        counts: Examples per region of the cross entropy's gradient norm.
    """
    figure = Figure(figsize=(10.4, 3.8), layout='constrained')
    left, right = figure.subplots(1, 2)
    draw_histogram(left, {'after training': counts}, 'What a trained detector sees', 'g')
    left.get_legend().remove()
    draw_shares(right, counts)
    figure.savefig(path, dpi=130)


def _finish(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
