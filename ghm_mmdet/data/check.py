"""Checks of a config's data sets, before anything is built: seconds instead of an epoch later.

MMDetection drops what it does not expect without a word: categories that are not listed, boxes of
no size, and, where a config lists no classes, everything that is not among COCO's 80.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.logging import print_log
from mmengine.utils import is_abs

from ghm_mmdet.data.coco_file import CocoFile, DataError, read_coco_file


@dataclass(frozen=True)
class CheckedDataset:
    """What a data set holds, once it has been checked.

    Attributes:
        name: Where the config defines it.
        classes: The names of its classes, by label.
        ann_file: Its annotation file, with the data root.
        image_ids: The ids of the file's images.
        crowd_flags: Whether every annotation says if it is a crowd, which COCO's metric needs.
    """

    name: str
    classes: tuple[str, ...]
    ann_file: str
    image_ids: frozenset[int]
    crowd_flags: bool


def leaf_datasets(dataset: Mapping, name: str) -> Iterator[tuple[str, Mapping]]:
    """Name and config of every data set with files of its own, wrappers taken off."""
    if 'dataset' in dataset:
        yield from leaf_datasets(dataset['dataset'], f'{name}.dataset')
    elif 'datasets' in dataset:
        for index, part in enumerate(dataset['datasets']):
            yield from leaf_datasets(part, f'{name}.datasets[{index}]')
    else:
        yield name, dataset


def check_dataset(
    dataset: Mapping, name: str, *, boxes: bool = True, unused_categories: Collection[str] = ()
) -> CheckedDataset | None:
    """Check one data set without wrappers: annotation file, classes, boxes, image files.

    Args:
        dataset: Its config.
        name: Where the config defines it, for the messages.
        boxes: Whether it needs at least one object; data that is only predicted on does not.
        unused_categories: Names in the file that the config leaves out on purpose.

    Returns:
        What it holds; None where it is not in COCO's format or not on a local disk: that is left
        to the data set itself.

    Raises:
        DataError: It cannot be used as configured.
    """
    kind = _dataset_class(dataset.get('type'), name)
    if not _reads_coco(kind) or _is_remote(dataset):
        return None
    root = dataset.get('data_root') or ''
    classes = _classes(kind, dataset.get('metainfo'), name)
    file = read_coco_file(_join(root, _text(dataset, 'ann_file', name)))
    _check_categories(file, classes, f'{name}.metainfo.classes', unused_categories)
    if boxes and not file.trainable(file.categories[label] for label in classes).any():
        raise DataError(
            f'{file.path}: no box to learn from among {len(file.annotations)} annotations; needed: '
            f'at least one of {_listing(classes)}, of a pixel or more, inside its image, not crowd'
        )
    prefix = dataset.get('data_prefix') or {}
    folder = _join(root, _text(prefix, 'img', f'{name}.data_prefix', empty=True))
    _check_images(file, folder, f'{name}.data_prefix.img')
    return CheckedDataset(name, classes, file.path, frozenset(file.images), _crowd_flags(file))


def check_evaluator(evaluator: Mapping, name: str, datasets: Sequence[CheckedDataset]) -> None:
    """Check that the annotation file of COCO's metric belongs to the data sets that it judges.

    Raises:
        DataError: The file is missing or broken, or lacks their images, classes or crowd flags.
    """
    path = evaluator.get('ann_file')
    kind = evaluator.get('type')
    # Metrics of other data sets, and subclasses, have formats of their own.
    is_coco = (METRICS.get(kind) if isinstance(kind, str) else kind) is CocoMetric
    if not is_coco or not isinstance(path, str) or _is_remote(evaluator):
        return
    own = [data for data in datasets if os.path.realpath(data.ann_file) == os.path.realpath(path)]
    file = None if own else read_coco_file(path)
    for data in datasets if file else ():
        absent = data.image_ids.difference(file.images)
        if absent:
            raise DataError(
                f'{name}.ann_file={path!r}: lacks {len(absent)} images of {data.ann_file}, such as '
                f'id {min(map(str, absent))}; must cover all images of {data.name}'
            )
        _check_categories(file, data.classes, f'{data.name}.metainfo.classes', file.categories)
    if not (_crowd_flags(file) if file else own[0].crowd_flags):
        raise DataError(
            f"{name}.ann_file={path!r}: not every annotation has 'iscrowd' (0 or 1), which COCO's "
            'metric needs'
        )


def _crowd_flags(file: CocoFile) -> bool:
    return all('iscrowd' in entry for entry in file.annotations)


def _dataset_class(kind: object, name: str) -> type:
    found = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(found, type):
        raise DataError(f'{name}.type={kind!r}: must be the name of a registered data set')
    return found


def _reads_coco(kind: type) -> bool:
    """Whether a class reads its file as CocoDataset does; a subclass may have its own format."""
    return (
        issubclass(kind, CocoDataset)
        and kind.load_data_list is CocoDataset.load_data_list
        and kind.parse_data_info is CocoDataset.parse_data_info
    )


def _is_remote(config: Mapping) -> bool:
    backend = (config.get('backend_args') or {}).get('backend', 'local')
    paths = (str(config.get(key, '')) for key in ('data_root', 'ann_file'))
    return backend != 'local' or any('://' in path for path in paths)


def _join(root: str, path: str) -> str:
    """Path as mmengine's data sets join it with their data root."""
    return path if is_abs(path) or not root else os.path.join(root, path)


def _text(config: Mapping, key: str, name: str, *, empty: bool = False) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not (value or empty):
        raise DataError(f'{name}.{key}={value!r}: must be one path; several need a ConcatDataset')
    return value


def _classes(kind: type, metainfo: object, name: str) -> tuple[str, ...]:
    if metainfo is not None and not isinstance(metainfo, Mapping):
        raise DataError(f'{name}.metainfo={metainfo!r}: must be a dict with the key classes')
    classes = kind._load_metainfo(metainfo).get('classes')
    named = isinstance(classes, (list, tuple)) and all(isinstance(label, str) for label in classes)
    if not (named and classes and len(set(classes)) == len(classes)):
        raise DataError(
            f'{name}.metainfo.classes={classes!r}: must be a list of different names; '
            "one class is written ('name',), with the comma"
        )
    return tuple(classes)


def _check_categories(
    file: CocoFile, classes: Sequence[str], name: str, unused_categories: Collection[str]
) -> None:
    """The file's categories and the config's classes are the same, in the same order."""
    absent = [label for label in classes if label not in file.categories]
    used = {entry['category_id'] for entry in file.annotations}
    unlisted = [
        label
        for label, category_id in file.categories.items()
        if category_id in used and label not in classes and label not in unused_categories
    ]
    if absent or unlisted:
        differences = [
            f'classes that the file does not have: {_listing(absent)}' if absent else '',
            f'categories with boxes that the config does not list: {_listing(unlisted)}'
            if unlisted
            else '',
        ]
        raise DataError(
            f'{file.path}: does not fit {name}: {"; ".join(filter(None, differences))}; list the '
            "file's categories in metainfo=dict(classes=...), or name those to be dropped in "
            'unused_categories'
        )
    order = [label for label in file.categories if label in classes]
    if order != list(classes):
        raise DataError(
            f'{name}={_listing(classes)}: must be in the order of {file.path}, which mmdet numbers '
            f'its labels by: {_listing(order)}'
        )


def _check_images(file: CocoFile, folder: str, name: str) -> None:
    """Every image is there, found by listing each folder once."""
    if not os.path.isdir(folder):
        raise DataError(f'{name}: no such folder: {folder} (images of {file.path})')
    by_folder = defaultdict(list)
    for image in file.images.values():
        path = os.path.join(folder, image['file_name'])
        by_folder[os.path.dirname(path)].append(path)
    _warn_of_images_elsewhere(file, by_folder, folder, name)
    missing = []
    for directory, paths in by_folder.items():
        present = _files(directory)
        missing += [path for path in paths if os.path.basename(path) not in present]
    if missing:
        raise DataError(
            f'{file.path}: {len(missing)} of {len(file.images)} images are missing; '
            f'the first is {missing[0]}'
        )


def _warn_of_images_elsewhere(
    file: CocoFile, by_folder: Mapping[str, Sequence[str]], folder: str, name: str
) -> None:
    """Absolute file names, and those with '..', are read from where they point to."""
    inside = os.path.join(os.path.abspath(folder), '')
    elsewhere = [
        path
        for directory, paths in by_folder.items()
        if not os.path.join(os.path.abspath(directory), '').startswith(inside)
        for path in paths
    ]
    if elsewhere:
        print_log(
            f'{file.path}: {len(elsewhere)} of {len(file.images)} images lie outside of '
            f'{name}={folder!r}, such as {elsewhere[0]!r}; they are read from there',
            'current',
            logging.WARNING,
        )


def _files(directory: str) -> set[str]:
    try:
        with os.scandir(directory) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _listing(names: Sequence[str], most: int = 5) -> str:
    rest = f' and {len(names) - most} more' if len(names) > most else ''
    return f'{list(names[:most])}{rest}'
