"""The number of objects of each class in a data set, as a training sees it."""

from __future__ import annotations

from typing import Any


def class_counts(dataset: Any) -> list[int]:
    """Number of objects per class. Ignored objects do not count, repeated images count again.

    Args:
        dataset: Of MMDetection, or a wrapper of some.
    """
    while not hasattr(dataset, 'get_data_info'):
        dataset = dataset.dataset
    counts = [0] * len(dataset.metainfo['classes'])
    for index in range(len(dataset)):
        for instance in dataset.get_data_info(index)['instances']:
            counts[instance['bbox_label']] += not instance.get('ignore_flag', 0)
    return counts
