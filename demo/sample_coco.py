"""The pictures of one split as files, and what is on them as COCO annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from demo.sample_parts import CLASSES
from demo.sample_scene import Instance, draw_scene

JPEG_QUALITY = 92
Track = Callable[[Sequence[int], str], Iterable[int]]
"""Takes the ids of a split's images and the split's name; yields the ids, and may show them."""


def untracked(image_ids: Sequence[int], split: str) -> Iterable[int]:
    """Shows nothing."""
    return image_ids


def write_images(
    folder: Path, seed: int, stream: int, count: int, size: int, track: Track = untracked
) -> dict:
    """Writes the images of one split and returns its COCO content, free of errors.

    Args:
        folder: Created here.
        seed: Of the data set.
        stream: Tells the random numbers of one split from another's.
        count: Number of images.
        size: Their side in pixels.
        track: Shows how far it is.
    """
    folder.mkdir()
    images, annotations = [], []
    for image_id in track(range(1, count + 1), folder.name):
        pixels, instances = draw_scene(np.random.default_rng([seed, stream, image_id]), size)
        name = f'{image_id:06d}.jpg'
        encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        (folder / name).write_bytes(encoded.tobytes())
        images.append({'id': image_id, 'file_name': name, 'width': size, 'height': size})
        annotations += coco_annotations(instances, image_id, len(annotations) + 1)
    return {
        'info': {'description': 'ghm_mmdet sample data set'},
        'images': images,
        'annotations': annotations,
        'categories': [
            {'id': number, 'name': name} for number, name in enumerate(CLASSES, start=1)
        ],
    }


def coco_annotations(instances: list[Instance], image_id: int, first_id: int) -> Iterator[dict]:
    for number, instance in enumerate(instances):
        x, y, width, height = instance.bbox
        annotation = {
            'id': first_id + number,
            'image_id': image_id,
            'category_id': instance.label + 1,
            'bbox': [x, y, width, height],
            'area': width * height,
            # pycocotools lets a region go unfound only if it is a crowd, whatever `ignore` says;
            # mmdet drops what has `ignore` from training and passes crowds on as ignored boxes.
            'iscrowd': int(instance.crowd or instance.ignore),
        }
        yield annotation | ({'ignore': 1} if instance.ignore else {})
