"""Loads data sets with undecodable pictures without ending the run.

MMDetection ends the run at the first such picture, which may be hours after its start. Here
training draws another picture. A test predicts on a black picture, and the caller discards its
detections. Only too many such pictures end the run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from ghm_mmdet.datasets.findings import DataError
from ghm_mmdet.datasets.image_files import is_undecodable
from ghm_mmdet.datasets.pictures import UNDECODABLE_SHARE

MARK = 'undecodable'
"""Metainfo of a data sample whose picture was replaced by a black one."""


class TolerantItems:
    """Prepares the items of a data set, and replaces or drops undecodable pictures.

    It replaces the data set's ``prepare_data``, so that hooks still find and change the data set's
    own pipeline. In training it returns None for such a picture, and the data set then
    draws another item. In a test a black picture of the annotated size goes through the rest of the
    pipeline, and its data sample is marked.

    Args:
        dataset: The data set, without wrappers.

    Attributes:
        seen: (N,) bool, True for each undecodable picture that was met, shared with all workers.
    """

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset
        self.seen = torch.zeros(len(dataset), dtype=torch.bool).share_memory_()

    def __call__(self, index: int) -> dict | None:
        """Run the data set's pipeline for an item.

        Raises:
            DataError: The data set has too many undecodable pictures.
        """
        data = self.dataset.get_data_info(index)
        is_black = False
        for transform in self.dataset.pipeline.transforms:
            try:
                transformed = transform(data)
            except Exception as error:
                # if the picture was loaded already, the error has another cause
                if 'img' in data or not is_undecodable(error):
                    raise
                self._add(data)
                is_black = self.dataset.test_mode
                transformed = _black(data, transform) if is_black else None
            if transformed is None:
                return None
            data = transformed
        if is_black:
            _mark(data)
        return data

    @property
    def paths(self) -> list[str]:
        """Paths of the undecodable pictures that were met."""
        rows = self.seen.nonzero().flatten().tolist()
        return [self.dataset.get_data_info(row)['img_path'] for row in rows]

    def pool(self) -> None:
        """Count the undecodable pictures of all ranks together.

        Raises:
            DataError: There are too many.
        """
        seen = self.seen.int()
        all_reduce(seen, 'max')
        self.seen |= seen.bool()
        self._check()

    def _add(self, data: dict) -> None:
        """Count a picture, and warn of it the first time."""
        if not self.seen[data['sample_idx']]:
            self.seen[data['sample_idx']] = True
            is_tested = self.dataset.test_mode
            way = 'counts as without detections' if is_tested else 'is passed over'
            print_log(f'{data["img_path"]}: cannot be decoded, {way}', 'current', logging.WARNING)
        self._check()

    def _check(self) -> None:
        count, total = int(self.seen.sum()), len(self.seen)
        if count > UNDECODABLE_SHARE * total:
            raise DataError(
                f'{self.dataset.ann_file}: {count} of {total} pictures could not be decoded so '
                f'far, such as {self.paths[0]}; at most {UNDECODABLE_SHARE:.0%} may be so: copy '
                'them again or remove their entries; `python tools/check_data.py CONFIG --decode` '
                'lists them all'
            )


def tolerate_undecodable(dataset: Dataset) -> list[TolerantItems]:
    """Let a data set, or the data sets that it wraps, go on after undecodable pictures.

    Args:
        dataset: A data set of MMEngine's. It is not changed if it is tolerant already, or if it
            prepares its items in its own way, like those of videos.

    Returns:
        The objects that now prepare the items of each data set without wrappers.
    """
    tolerant = []
    for leaf in _leaves(dataset):
        if not isinstance(leaf.prepare_data, TolerantItems):
            leaf.prepare_data = TolerantItems(leaf)
        tolerant.append(leaf.prepare_data)
    return tolerant


def marked(samples: Iterable[BaseDataElement]) -> list[BaseDataElement]:
    """The data samples whose picture is undecodable."""
    return [sample for sample in samples if MARK in sample]


def _leaves(dataset: Dataset) -> Iterator[BaseDataset]:
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from _leaves(part)
    elif hasattr(dataset, 'dataset'):
        yield from _leaves(dataset.dataset)
    elif getattr(type(dataset), 'prepare_data', None) is BaseDataset.prepare_data:
        yield dataset


def _black(data: dict, loading: object) -> dict:
    """The information of an item, with its picture replaced by a black one."""
    shape = (data['height'], data['width'])
    is_gray = getattr(loading, 'color_type', 'color').startswith('grayscale')
    kind = np.float32 if getattr(loading, 'to_float32', False) else np.uint8
    image = np.zeros(shape if is_gray else (*shape, 3), kind)
    return {**data, 'img': image, 'img_shape': shape, 'ori_shape': shape}


def _mark(packed: dict) -> None:
    samples = packed['data_samples']
    # test-time augmentation makes several of one picture
    for sample in samples if isinstance(samples, list) else [samples]:
        sample.set_metainfo({MARK: True})
