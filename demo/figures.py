"""Figures of gradient-norm distributions, as the demonstration draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ghm_mmdet.diagnosis.style import DPI, panels
from tools.gradient_report.curve_figures import draw_norms, draw_overview
from tools.gradient_report.curves import classification_curves, contribution_shares


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
    figure, columns = panels(len(titles))
    for axes, (name, (title, symbol)) in zip(columns, titles.items()):
        draw_norms(axes, {'before training': before[name], 'after training': after[name]}, symbol)
        axes.set_title(title)
    figure.savefig(path, dpi=DPI)


def save_harmonizing_figure(path: Path, counts: np.ndarray) -> None:
    """The distribution of the gradient norm, and what each loss makes of it.

    Args:
        path: PNG or SVG file to write.
        counts: Examples per region of the cross entropy's gradient norm, shape (F,).
    """
    shares = contribution_shares(counts, classification_curves(counts))
    draw_overview({'after training': counts}, shares, 'g').savefig(path, dpi=DPI)
