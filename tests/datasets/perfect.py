"""COCO's metric itself, given the annotations as detections: what it makes of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmdet.evaluation import CocoMetric


def judged(
    path: Path,
    classes: Sequence[str],
    is_found: Callable[[dict], bool] = lambda image: True,
    judge: Path | None = None,
    **arguments: object,
) -> float:
    """mAP of detections that are the annotations of a file, on those images that are found.

    Args:
        path: Annotation file, whose images are predicted on.
        classes: By label.
        is_found: Whether the objects of an image are.
        judge: The metric's file, by default the same.
        **arguments: Of the metric.
    """
    content = json.loads(path.read_text())
    label = {each['id']: classes.index(each['name']) for each in content['categories']}
    metric = CocoMetric(ann_file=str(judge or path), metric='bbox', **arguments)
    metric.dataset_meta = dict(classes=classes)
    for image in content['images']:
        own = [
            each
            for each in content.get('annotations', ())
            if each['image_id'] == image['id'] and is_found(image)
        ]
        boxes = torch.tensor([each['bbox'] for each in own], dtype=torch.float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found = dict(
            bboxes=boxes,
            scores=torch.ones(len(own)),
            labels=torch.tensor([label[each['category_id']] for each in own], dtype=torch.long),
        )
        shape = (image['height'], image['width'])
        metric.process({}, [dict(img_id=image['id'], ori_shape=shape, pred_instances=found)])
    return metric.evaluate(size=len(content['images']))['coco/bbox_mAP']
