"""Logs as MMEngine writes them, made up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

CONFIG = """
model = dict(
    bbox_head=dict(loss_bbox=dict(type='GHMRLoss'), loss_cls=dict(type={loss!r})),
)
resume = {resume}
"""


def train_line(iteration: int, epoch: int | None = None, **values: float) -> dict:
    """A line of training; what is not given has some value."""
    line = {'lr': 0.01, 'data_time': 0.1, 'loss': 1.0, 'time': 0.5, **values}
    if epoch is not None:
        line['epoch'] = epoch
    return {**line, 'iter': iteration, 'step': iteration}


def val_line(step: int, ap: float, **metrics: float) -> dict:
    """A line of a validation."""
    return {'coco/bbox_mAP': ap, **metrics, 'data_time': 0.2, 'time': 0.3, 'step': step}


def write_start(
    work_dir: Path,
    lines: Iterable[dict],
    start: str = '20260101_000000',
    loss: str = 'FocalLoss',
    resume: bool = False,
    end: str = '',
) -> Path:
    """Write what one start leaves in a work dir, and return its log.

    Args:
        work_dir: Made where it is not there.
        lines: Of the log.
        start: Name of the start's folder.
        loss: Type of the classification loss in the config.
        resume: Whether the start goes on from a checkpoint.
        end: What comes after the last line.
    """
    path = work_dir / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines) + end)
    path.with_name('config.py').write_text(CONFIG.format(loss=loss, resume=resume))
    return path
