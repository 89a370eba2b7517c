"""The pictures of the demonstration, which compare trainings by their names in ``COLOURS``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import mmcv
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from mmdet.structures import DetDataSample
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from ghm_mmdet.diagnosis.style import COLOURS, DPI, LINE_WIDTH, finish, panels


def save_curves(path: Path, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Draw the mAP over the iterations of each training, in [0, 1].

    Args:
        path: PNG file to write.
        curves: mAP by iteration, by the name of the training.
    """
    figure, (axes,) = panels(1)
    for name, curve in curves.items():
        axes.plot(*zip(*curve.items()), 'o-', label=name, color=COLOURS[name], lw=LINE_WIDTH)
    axes.set(
        title='Two losses, all else the same',
        xlabel='training iterations',
        ylabel='COCO mAP on the validation pictures',
        xlim=(0, None),
        ylim=(0, None),
    )
    finish(axes)
    figure.savefig(path, dpi=DPI)


def save_detections(path: Path, runners: Mapping[str, Runner], count: int) -> None:
    """Draw validation pictures, one a row: the annotations, and beside them the detections.

    As scores of two losses do not mean the same, there are as many detections as annotations, those
    of the highest scores.

    Args:
        path: PNG file to write.
        runners: With trained models and the same pictures, by the name of the training.
        count: Largest number of pictures. Pictures without annotated objects are left out.
    """
    rows = list(zip(*(_detect(runner, count) for runner in runners.values())))
    classes = next(iter(runners.values())).val_dataloader.dataset.metainfo['classes']
    figure, axes = panels(1 + len(runners), len(rows))
    cells = iter(axes)
    for row in rows:
        truth = row[0].gt_instances
        for instances in (truth, *(each.pred_instances[: len(truth)] for each in row)):
            _draw(next(cells), row[0].img_path, instances, classes)
    for place, title in zip(axes, ('annotated', *runners)):
        place.set_title(title)
    figure.savefig(path, dpi=DPI)


@torch.no_grad()
def _detect(runner: Runner, count: int) -> list[DetDataSample]:
    runner.model.eval()
    found = (
        sample.cpu()
        for batch in runner.val_dataloader
        for sample in runner.model.test_step(batch)
        if len(sample.gt_instances)
    )
    return list(islice(found, count))


def _draw(axes: Axes, path: str, instances: InstanceData, classes: Sequence[str]) -> None:
    # test pipelines load annotations after resizing, so both sets of boxes are in the file's pixels
    axes.imshow(mmcv.imread(path, channel_order='rgb'), interpolation='bicubic')
    for box, label in zip(instances.bboxes.tolist(), instances.labels.tolist()):
        left, top, right, bottom = box
        colour = f'C{label}'
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, lw=2)
        )
        tag = dict(facecolor=colour, edgecolor='none', pad=1)
        axes.text(left, top, classes[label], color='white', fontsize=8, va='top', bbox=tag)
    axes.set_axis_off()
