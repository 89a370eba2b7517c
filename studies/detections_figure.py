"""What detectors find on the first test pictures of a data set, beside the annotated boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from mmdet.apis import inference_detector, init_detector
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ghm_mmdet.cli.checkpoint import newest_complete
from ghm_mmdet.cli.config import load_config
from studies.run_log import RunError

SCORE = 0.5
COLOURS = ('#D55E00', '#0072B2', '#000000', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#F0E442')
WIDTH = 3.2  # inches of a picture
TITLE = 0.3  # inches above the pictures, and below them for the names of the classes


class Objects(NamedTuple):
    """Objects of a picture.

    Attributes:
        boxes: Corners in pixels, (x1, y1, x2, y2), float32, shape (N, 4).
        labels: Indices of the classes, int64, shape (N,).
    """

    boxes: np.ndarray
    labels: np.ndarray


def annotated_objects(cfg: Config, count: int) -> tuple[dict[str, Objects], Sequence[str]]:
    """The objects of the first pictures of a config's test split, by path, and the classes.

    Args:
        cfg: With a test dataset whose annotations are a COCO file.
        count: Number of pictures.

    Raises:
        RunError: There are more classes than colours.
    """
    init_default_scope('mmdet')
    data = DATASETS.build({**cfg.test_dataloader.dataset, 'pipeline': []})
    classes = data.metainfo['classes']
    if len(classes) > len(COLOURS):
        raise RunError(f'{len(classes)} classes: the figure has colours for {len(COLOURS)}')
    pictures = {}
    for index in range(min(count, len(data))):
        info = data.get_data_info(index)
        boxes = np.array([each['bbox'] for each in info['instances']], np.float32).reshape(-1, 4)
        labels = np.array([each['bbox_label'] for each in info['instances']], np.int64)
        pictures[info['img_path']] = Objects(boxes, labels)
    return pictures, classes


def run_config(work_dir: Path) -> Config:
    """The config that MMEngine wrote into the folder of a run.

    Raises:
        RunError: There is none, or more than one.
    """
    configs = sorted(work_dir.glob('*.py'))
    if len(configs) != 1:
        raise RunError(f'{work_dir}: has {len(configs)} configs, must have one, as of a training')
    return load_config(str(configs[0]))


def found_objects(work_dir: Path, paths: Sequence[str]) -> list[Objects]:
    """What the newest complete checkpoint of a run finds with a score of ``SCORE`` or more.

    Args:
        work_dir: Of a training.
        paths: Of pictures.

    Raises:
        RunError: The folder has no config or no complete checkpoint.
    """
    cfg = run_config(work_dir)
    cfg.work_dir = str(work_dir)
    checkpoint = newest_complete(cfg)
    if checkpoint is None:
        raise RunError(f'{work_dir}: has no checkpoint that is complete')
    model = init_detector(cfg, checkpoint, palette='none', device='cpu')
    found = []
    for path in paths:
        instances = inference_detector(model, path).pred_instances
        instances = instances[instances.scores >= SCORE].numpy()
        found.append(Objects(instances.bboxes, instances.labels))
    return found


def draw_detections(
    pictures: Sequence[np.ndarray], columns: Mapping[str, Sequence[Objects]], classes: Sequence[str]
) -> Figure:
    """A row for each picture, with one column of boxes beside the other.

    Args:
        pictures: RGB, uint8, shape (H, W, 3).
        columns: Objects of each picture, by title.
        classes: Names, at most as many as ``COLOURS``.
    """
    heights = [WIDTH * len(each) / each.shape[1] for each in pictures]
    size = (WIDTH * len(columns), sum(heights) + 2 * TITLE)
    figure = Figure(figsize=size)
    rows = figure.subplots(
        len(pictures),
        len(columns),
        squeeze=False,
        gridspec_kw=dict(
            left=0.01,
            right=0.99,
            bottom=TITLE / size[1],
            top=1 - TITLE / size[1],
            wspace=0.03,
            hspace=0.03,
            height_ratios=heights,
        ),
    )
    for axes, title in zip(rows[0], columns):
        axes.set_title(title, loc='left', fontweight='bold')
    for at, picture in enumerate(pictures):
        for axes, objects in zip(rows[at], columns.values()):
            axes.imshow(picture)
            axes.set_axis_off()
            _draw(axes, objects[at])
    handles = [Patch(color=colour, label=name) for name, colour in zip(classes, COLOURS)]
    figure.legend(handles=handles, loc='lower left', ncols=len(handles), frameon=False)
    return figure


def _draw(axes: Axes, objects: Objects) -> None:
    for (left, top, right, bottom), label in zip(*objects):
        look = dict(fill=False, edgecolor=COLOURS[label], linewidth=1.6)
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, **look))
