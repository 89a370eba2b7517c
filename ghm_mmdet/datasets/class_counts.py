"""The number of objects of each class in a data set, as a training sees it."""

from __future__ import annotations

from typing import Any


def class_counts(dataset: Any) -> dict[str, int]:
    """Number of objects by the name of the class, in the order of the classes.

    Ignored objects do not count, repeated images count again.

    Args:
        dataset: Of MMDetection, or a wrapper of such data sets.

    Raises:
        ValueError: It is another kind of data set, whose objects cannot be counted.
    """
    # imported here, as MMDetection's data sets print a line
    from mmdet.datasets import MultiImageMixDataset

    while isinstance(dataset, MultiImageMixDataset):
        dataset = dataset.dataset
    meta = getattr(dataset, 'metainfo', {})
    # a list if joined data sets differ
    names = {
        tuple(each.get('classes') or ()) for each in (meta if isinstance(meta, list) else [meta])
    }
    if not hasattr(dataset, 'get_data_info') or len(names) != 1 or names == {()}:
        raise ValueError(
            f"class_weight='auto' with a {type(dataset).__name__} to train on, whose objects "
            'cannot be counted: write one weight per class'
        )
    (classes,) = names
    counts = [0] * len(classes)
    for index in range(len(dataset)):
        for instance in dataset.get_data_info(index)['instances']:
            counts[instance['bbox_label']] += not instance.get('ignore_flag', 0)
    return dict(zip(classes, counts))
