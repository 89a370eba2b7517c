"""An annotation file as columns: what MMDetection keeps of it, counted without a loop."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ghm_mmdet.datasets.coco_file import CocoFile


@dataclass(frozen=True)
class CocoTable:
    """The columns of an annotation file with I images, A annotations and C categories.

    Attributes:
        path: The file.
        is_labelled: Whether it has the list 'annotations' at all.
        image_ids: In the order of the file, I of them.
        file_names: Of the images.
        sizes: Width and height of each image in pixels, float64, shape (I, 2).
        category_ids: By name, in the order of the file, C of them.
        annotation_ids: A of them.
        image: Row of each annotation's image, int64, shape (A,).
        category: Place of each annotation's category in the order of the file, int64, shape (A,).
        boxes: x, y, width and height in pixels, float64, shape (A, 4).
        areas: In square pixels, float64, shape (A,).
        is_crowd: Shape (A,), bool.
        is_ignored: Whether the key 'ignore' is set, shape (A,), bool.
        without_crowd_flag: Ids of the annotations that do not have the key 'iscrowd'.
        without_mask: Ids of the annotations whose segmentation is neither polygons nor RLE.
    """

    path: str
    is_labelled: bool
    image_ids: list[int | str]
    file_names: list[str]
    sizes: np.ndarray
    category_ids: dict[str, int | str]
    annotation_ids: list[int | str]
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    without_crowd_flag: list[int | str]
    without_mask: list[int | str]

    @classmethod
    def of(cls, file: CocoFile) -> CocoTable:
        """The columns of a file, which does not have to be kept."""
        images, annotations = file.images.values(), file.annotations
        row = {key: index for index, key in enumerate(file.images)}
        place = {key: index for index, key in enumerate(file.categories.values())}
        return cls(
            path=file.path,
            is_labelled='annotations' in file.content,
            image_ids=list(file.images),
            file_names=[image['file_name'] for image in images],
            sizes=_column([(image['width'], image['height']) for image in images], float, 2),
            category_ids=dict(file.categories),
            annotation_ids=[each['id'] for each in annotations],
            image=_column([row[each['image_id']] for each in annotations], int),
            category=_column([place[each['category_id']] for each in annotations], int),
            boxes=_column([each['bbox'] for each in annotations], float, 4),
            areas=_column([each['area'] for each in annotations], float),
            is_crowd=_column([each.get('iscrowd', 0) for each in annotations], bool),
            is_ignored=_column([each.get('ignore') for each in annotations], bool),
            without_crowd_flag=[each['id'] for each in annotations if 'iscrowd' not in each],
            without_mask=[
                each['id'] for each in annotations if not _is_mask(each.get('segmentation'))
            ],
        )

    def is_of(self, classes: Collection[str]) -> np.ndarray:
        """Mask (A,) of the annotations whose category is among the classes."""
        listed = np.array([name in classes for name in self.category_ids], dtype=bool)
        return listed[self.category]

    def left_out(self) -> dict[str, np.ndarray]:
        """Masks (A,) of the annotations that MMDetection does not train on, by the reason.

        No annotation has two reasons. They are those of ``CocoDataset.parse_data_info``.
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
    return (
        isinstance(segmentation, list)
        and bool(segmentation)
        and all(
            isinstance(each, list)
            and len(each) >= 6
            and len(each) % 2 == 0
            # points in pairs are no polygon that pycocotools reads
            and not isinstance(each[0], list)
            for each in segmentation
        )
    )


def _column(values: list, dtype: type, width: int | None = None) -> np.ndarray:
    column = np.array(values, dtype=dtype)
    return column if width is None else column.reshape(-1, width)
