"""Reads the log of GradientDensityHook, and draws how the density changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.gradient_density_hook import TAG
from ghm_mmdet.diagnosis.style import draw_shares, finish, panels, stairs
from studies.run_log import RunError
from studies.runs import SCALARS

QUANTITIES = ('counts', 'share_before', 'share_after')


@dataclass(frozen=True)
class Look:
    """The values of one loss in one iteration; arrays are of shape (M,).

    Attributes:
        iteration: Of the values.
        counts: Examples per region.
        share_before: Share of the total gradient, without harmonizing.
        share_after: The same with harmonizing.
    """

    iteration: int
    counts: np.ndarray
    share_before: np.ndarray
    share_after: np.ndarray


def read_looks(work_dir: Path, loss: str) -> list[Look]:
    """The recorded values of a run in order, from the last of its starts that has any.

    Args:
        work_dir: Of MMEngine.
        loss: Name of the module, such as 'bbox_head.loss_cls'.

    Raises:
        RunError: The hook has written nothing about this loss.
    """
    prefix = f'{TAG}/{loss}/'
    for path in sorted(work_dir.glob(f'*/{SCALARS}'), reverse=True):
        lines = path.read_text('utf-8').splitlines()
        looks = [_look(json.loads(line), prefix) for line in lines if prefix in line]
        if looks:
            return looks
    raise RunError(f'{work_dir}: no {prefix}... in its logs, which GradientDensityHook writes')


def _look(line: dict, prefix: str) -> Look:
    def regions(name: str) -> np.ndarray:
        start = f'{prefix}{name}/'
        found = {int(key[len(start) :]): line[key] for key in line if key.startswith(start)}
        return np.array([found[region] for region in sorted(found)])

    return Look(line['step'], *map(regions, QUANTITIES))


def draw_looks(runs: Sequence[tuple[str, Sequence[Look]]]) -> Figure:
    """Draw a row per run: first and last counts, and the last shares of the gradient.

    Args:
        runs: Label and recorded values of each.
    """
    figure, axes = panels(2, len(runs))
    for row, (label, looks) in enumerate(runs):
        left, right = axes[2 * row : 2 * row + 2]
        for look, style in ((looks[0], '--'), (looks[-1], '-')):
            name = f'iteration {look.iteration}'
            stairs(left, look.counts, name, 'GHM-C', linestyle=style)
        last = looks[-1]
        draw_shares(right, {'cross entropy': last.share_before, 'GHM-C': last.share_after}, 'g')
        left.set(title=f'{label}: how many examples', ylabel='examples per region', yscale='log')
        right.set_title(f'Who moves the model, iteration {last.iteration}')
        finish(left, 'g')
    return figure
