"""Detections drawn beside the ground truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import mmcv
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from torch import nn
from torch.utils.data import DataLoader

SHORTEST_SIDE = 480  # pixels; below it mmdet's labels cannot be read


@torch.no_grad()
def draw_detections(
    model: nn.Module,
    batches: DataLoader,
    out_dir: Path,
    count: int,
    score_threshold: float = 0.5,
) -> list[Path]:
    """Write one picture per image: ground truth on the left, detections on the right.

    Args:
        model: An mmdet detector; it is put into eval mode.
        batches: Its test dataloader, with annotations.
        out_dir: Existing folder for the pictures, named after the images.
        count: At most so many pictures, of images that have annotated objects.
        score_threshold: Detections below it are left out.

    Returns:
        The pictures' paths.
    """
    model.eval()
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = batches.dataset.metainfo
    pictures: list[Path] = []
    for batch in batches:
        for sample in model.test_step(batch):
            if len(pictures) == count:
                return pictures
            if len(sample.gt_instances):
                path = out_dir / f'{Path(sample.img_path).stem}.png'
                _draw(visualizer, sample.cpu(), path, score_threshold)
                pictures.append(path)
    return pictures


def _draw(
    visualizer: DetLocalVisualizer, sample: DetDataSample, path: Path, score_threshold: float
) -> None:
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    zoom = max(1.0, SHORTEST_SIDE / min(image.shape[:2]))
    enlarged = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    # test pipelines load annotations after resizing, so both sets of boxes are in the file's pixels
    truth, detections = sample.gt_instances.clone(), sample.pred_instances.clone()
    for instances in (truth, detections):
        instances.bboxes = instances.bboxes * zoom
    scaled = DetDataSample(gt_instances=truth, pred_instances=detections)
    visualizer.add_datasample(
        path.stem, enlarged, scaled, out_file=str(path), pred_score_thr=score_threshold
    )
