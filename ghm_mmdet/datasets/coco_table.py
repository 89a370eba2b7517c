"""An annotation file as NumPy columns, and masks of the objects that MMDetection keeps."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ghm_mmdet.datasets.coco_file import CocoFile


class CocoTable:
    """The columns of an annotation file with I images, A annotations and C categories.

    Args:
        file: Is read once, and need not be kept.

    Attributes:
        is_labelled: Whether the file has the list 'annotations' at all.
        sizes: Width and height of each image in pixels, float64, shape (I, 2).
        category_ids: By name, in the order of the file, C of them.
        image: Row of each annotation's image, int64, shape (A,).
        category: Place of each annotation's category in the order of the file, int64, shape (A,).
        boxes: x, y, width and height in pixels, float64, shape (A, 4).
        areas: In square pixels, float64, shape (A,).
        is_ignored: Whether the key 'ignore' is set, shape (A,), bool.
        without_crowd_flag: Ids of the annotations that do not have the key 'iscrowd'.
        without_mask: Ids of the annotations whose segmentation is neither polygons nor RLE.
    """

    def __init__(self, file: CocoFile) -> None:
        images, annotations = file.images.values(), file.annotations
        row = {key: index for index, key in enumerate(file.images)}
        place = {key: index for index, key in enumerate(file.categories.values())}
        self.path = file.path
        self.is_labelled = 'annotations' in file.content
        self.image_ids = list(file.images)
        self.file_names = [image['file_name'] for image in images]
        self.sizes = _pixels([(image['width'], image['height']) for image in images], 2)
        self.category_ids = dict(file.categories)
        self.annotation_ids = [each['id'] for each in annotations]
        self.image = np.array([row[each['image_id']] for each in annotations], int)
        self.category = np.array([place[each['category_id']] for each in annotations], int)
        self.boxes = _pixels([each['bbox'] for each in annotations], 4)
        self.areas = np.array([each['area'] for each in annotations], float)
        self.is_crowd = np.array([each.get('iscrowd', 0) for each in annotations], bool)
        self.is_ignored = np.array([each.get('ignore') for each in annotations], bool)
        self.without_crowd_flag = [each['id'] for each in annotations if 'iscrowd' not in each]
        self.without_mask = [
            each['id'] for each in annotations if not _is_mask(each.get('segmentation'))
        ]

    def is_of(self, classes: Collection[str]) -> np.ndarray:
        """Mask (A,) of the annotations whose category is among the classes."""
        listed = np.array([name in classes for name in self.category_ids], dtype=bool)
        return listed[self.category]

    def left_out(self) -> dict[str, np.ndarray]:
        """Masks (A,) of the annotations that MMDetection does not train on, by reason.

        No annotation has two reasons. The reasons are those of ``CocoDataset.parse_data_info``.
        """
        far = self.boxes[:, :2] + self.boxes[:, 2:]
        limits = self.sizes[self.image]
        overlap = np.minimum(far, limits) - np.maximum(self.boxes[:, :2], 0)
        reasons = {
            'ignore': self.is_ignored,
            'iscrowd': self.is_crowd,
            'thin': (self.boxes[:, 2:] < 1).any(axis=1),
            'area': self.areas <= 0,
            'outside': (overlap <= 0).any(axis=1),
        }
        taken = np.zeros(len(self.areas), dtype=bool)
        for name, mask in reasons.items():
            reasons[name] = mask & ~taken
            taken = taken | mask
        return reasons

    def is_trained_on(self, classes: Collection[str]) -> np.ndarray:
        """Mask (A,) of the annotations that MMDetection keeps as objects of the classes."""
        return self.is_of(classes) & ~np.any([*self.left_out().values()], axis=0)


def _is_mask(segmentation: object) -> bool:
    if isinstance(segmentation, dict):
        return 'counts' in segmentation and 'size' in segmentation
    # pycocotools does not read a polygon as pairs of coordinates
    return (isinstance(segmentation, list) and bool(segmentation)) and all(
        isinstance(each, list)
        and len(each) >= 6
        and len(each) % 2 == 0
        and not isinstance(each[0], list)
        for each in segmentation
    )


def _pixels(values: list, width: int) -> np.ndarray:
    return np.array(values, float).reshape(-1, width)
