"""Reads the data sets of a config before anything is built: seconds instead of an epoch later.

MMDetection silently drops data that it does not expect: categories that are not listed, boxes
without size, and, if a config lists no classes, all classes that are not among COCO's 80.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS, TRANSFORMS
from mmengine.utils import is_abs

from ghm_mmdet.config_types import config_class, is_a
from ghm_mmdet.datasets.coco_file import encoding_of, load_coco_file
from ghm_mmdet.datasets.coco_table import CocoTable
from ghm_mmdet.datasets.findings import DataError, Findings, listing
from ghm_mmdet.datasets.image_files import missing_images, outside, why_missing
from ghm_mmdet.datasets.metrics import check_metric, is_remote
from ghm_mmdet.datasets.splits import Split, check_categories, compare_splits
from ghm_mmdet.datasets.surprises import warn_of_repetitions, warn_of_training

LOOPS = ('train', 'val', 'test')
EXAMPLES = {
    'ann_file': "'annotations/instances_train.json'",
    'img': "'images/'",
    'data_prefix': "dict(img='images/')",
    'filter_cfg': 'dict(filter_empty_gt=True, min_size=32)',
}
"""Examples of a data set's config, for messages."""
TURNING = ('color', 'grayscale')
"""Color types with which the EXIF orientation of a picture is applied."""
AS_UTF8 = "python -c \"import json; json.dump(json.load(open({!r}, 'rb')), open('new.json', 'w'))\""


class DataReading:
    """The data sets of a config; each annotation file is read once, however often it is named.

    Args:
        unused_categories: Categories of the files that the config leaves out on purpose.

    Attributes:
        findings: Errors and warnings.
        splits: The data sets that could be read, in the order of the config.
    """

    def __init__(self, unused_categories: Collection[str] = ()) -> None:
        self.findings = Findings()
        self.splits: list[Split] = []
        self._unused_categories = unused_categories
        self._tables: dict[str, CocoTable | None] = {}

    def table(self, path: str) -> CocoTable | None:
        """An annotation file as MMDetection and pycocotools will read it; None if they can't."""
        key = os.path.realpath(path)
        if key not in self._tables:
            file = load_coco_file(path, self.findings)
            self._tables[key] = file and CocoTable(file)
            encoding = encoding_of(path) if os.path.isfile(path) else 'utf-8'
            if encoding != 'utf-8':
                self.findings.error(
                    f'{path}: is written as {encoding.upper()}; must be UTF-8 without a byte order '
                    f'mark (BOM), as pycocotools reads it: {AS_UTF8.format(path)}'
                )
        return self._tables[key]

    def read_loop(self, cfg: Mapping, loop: str) -> None:
        """Read the data sets of a loop of the runner, and check the metrics that judge them."""
        loader = cfg.get(f'{loop}_dataloader')
        if not isinstance(loader, Mapping) or not isinstance(loader.get('dataset'), Mapping):
            return
        leaves = dict(leaf_datasets(loader['dataset'], f'{loop}_dataloader.dataset'))
        found = [self.read_dataset(dataset, name, loop) for name, dataset in leaves.items()]
        splits = [split for split in found if split]
        self.splits += splits
        evaluators = cfg.get(f'{loop}_evaluator') or []
        evaluators = [evaluators] if isinstance(evaluators, Mapping) else list(evaluators)
        judges = [] if loop == 'train' else list(_coco_metrics(evaluators))
        if loop == 'train' or judges:
            self._need_objects(splits, len(splits) == len(found))
        for judge in judges:
            check_metric(judge, f'{loop}_evaluator', splits, self.table, self.findings)
            if not judge.get('ann_file'):
                self._need_truth(leaves, f'{loop}_evaluator')

    def read_dataset(self, dataset: Mapping, name: str, loop: str) -> Split | None:
        """Read one data set without wrappers: annotation file, classes, boxes, picture files.

        Returns:
            None if it cannot be used, with an error in the findings, and None if it is not in
            COCO's format or not on a local disk, so that only the data set itself can read it.
        """
        try:
            kind = _dataset_class(dataset.get('type'), name)
            if not _reads_coco(kind) or is_remote(dataset):
                return None
            root = dataset.get('data_root') or ''
            classes = _classes(kind, dataset.get('metainfo'), name)
            path = _join(root, _text(dataset, 'ann_file', name))
            prefix = _dict(dataset, 'data_prefix', name)
            folder = _join(root, _text(prefix, 'img', f'{name}.data_prefix', empty=True))
            filters = _dict(dataset, 'filter_cfg', name)
            indices = _indices(dataset.get('indices'), name)
        except DataError as error:
            self.findings.error(str(error))
            return None
        table = self.table(path)
        if table is None:
            return None
        rows = _filtered(table, classes, {} if dataset.get('test_mode') else filters)
        try:
            rows = rows[indices]
        except IndexError:
            self.findings.error(
                f'{name}.indices={dataset["indices"]!r}: must be numbers of the {len(rows)} '
                f'pictures of {table.path}, from 0'
            )
            return None
        turns = _loads_files(dataset)
        split = Split(name, loop, classes, table, folder, rows, turns)
        fits = not split.has_labels or check_categories(
            split, table, table.path, self._unused_categories, self.findings
        )
        if not fits:
            return split
        warn_of_repetitions(table, self.findings)
        if loop == 'train':
            self._need_masks(split, dataset.get('pipeline') or [])
            warn_of_training(table, classes, filters, name, self.findings)
        if '://' not in folder:
            check_images(split, f'{name}.data_prefix.img', self.findings)
        return split

    def _need_masks(self, split: Split, pipeline: Sequence[Mapping]) -> None:
        without = split.table.without_mask
        loads = any(
            step.get('with_mask') and is_a(step, TRANSFORMS, LoadAnnotations) for step in pipeline
        )
        if loads and without:
            self.findings.error(
                f'{split.table.path}: {len(without)} annotations have no segmentation that can be '
                f'read, such as {without[0]!r}, and {split.name}.pipeline loads masks; needed are '
                'polygons of three points or more, or RLE; without masks: with_mask=False'
            )

    def _need_truth(self, leaves: Mapping[str, Mapping], name: str) -> None:
        """Check that the data sets hand out annotations to a metric that has no file."""
        for place, dataset in leaves.items():
            steps = dataset.get('pipeline') or []
            if steps and not any('instances' in step.get('meta_keys', ()) for step in steps):
                self.findings.error(
                    f'{name}: CocoMetric has no ann_file, and {place}.pipeline hands it no objects'
                    "; name the annotation file, or add 'instances' to the meta_keys of "
                    'PackDetInputs'
                )
                return

    def _need_objects(self, splits: Sequence[Split], is_all: bool) -> None:
        """Check that the data sets of a loop together hold an object."""
        if not splits or not is_all or any(split.objects for split in splits):
            return
        annotations = sum(len(split.table.annotation_ids) for split in splits)
        what = 'learn from' if splits[0].loop == 'train' else 'be judged by'
        paths = ', '.join(dict.fromkeys(split.table.path for split in splits))
        has_list = any(split.table.is_labelled for split in splits)
        self.findings.error(
            f'{paths}: no box to {what} among {annotations} annotations'
            f'{"" if has_list else " (there is no list annotations)"}; needed: at least one of '
            f'{listing(splits[0].classes)}, of a pixel or more, inside its image, not crowd'
        )


def read_data(cfg: Mapping, loops: Sequence[str]) -> DataReading:
    """Read the data sets and metrics of the given loops of a config, and compare them."""
    reading = DataReading(cfg.get('unused_categories', ()))
    for loop in loops:
        reading.read_loop(cfg, loop)
    trained = [split for split in reading.splits if split.loop == 'train']
    compare_splits(reading.splits, trained, reading.findings)
    return reading


def leaf_datasets(dataset: Mapping, name: str) -> Iterator[tuple[str, Mapping]]:
    """Name and config of every data set with files of its own, without wrappers."""
    if 'dataset' in dataset:
        yield from leaf_datasets(dataset['dataset'], f'{name}.dataset')
    elif 'datasets' in dataset:
        for index, part in enumerate(dataset['datasets']):
            yield from leaf_datasets(part, f'{name}.datasets[{index}]')
    else:
        yield name, dataset


def _coco_metrics(evaluators: Sequence[Mapping]) -> Iterator[Mapping]:
    """The metrics of COCO's own that compare detections with annotations, and not only write them.

    Metrics of other data sets, and subclasses, have formats of their own.
    """
    for each in evaluators:
        if 'metrics' in each:
            inside = each['metrics']
            yield from _coco_metrics([inside] if isinstance(inside, Mapping) else inside)
        elif config_class(each.get('type'), METRICS) is CocoMetric and not each.get('format_only'):
            yield each


def check_images(split: Split, name: str, findings: Findings) -> None:
    """Check that every picture exists; pictures outside of the folder are a warning."""
    path, total = split.table.path, len(split.paths)
    if not os.path.isdir(split.folder or os.curdir):
        findings.error(
            f'{name}: no such folder: {split.folder} (images of {path}); set data_root and '
            'data_prefix to where the pictures are'
        )
        return
    elsewhere = outside(split.paths, split.folder) if split.folder else []
    if elsewhere:
        findings.warn(
            f'{path}: {len(elsewhere)} of {total} images lie outside of {name}={split.folder!r}, '
            f'such as {elsewhere[0]!r}; they are read from there'
        )
    missing = missing_images(split.paths)
    if missing:
        hint = why_missing(missing[0], split.folder)
        findings.error(
            f'{path}: {len(missing)} of {total} images are missing; the first is {missing[0]}'
            f'{hint or f"; add them, correct {name}, or remove their entries"}'
        )


def _loads_files(dataset: Mapping) -> bool:
    """Whether the pipeline begins with MMDetection's own loader, which turns pictures by EXIF."""
    pipeline = dataset.get('pipeline') or [{}]
    kind = config_class(pipeline[0].get('type'), TRANSFORMS)
    return kind is LoadImageFromFile and pipeline[0].get('color_type', 'color') in TURNING


def _dataset_class(kind: object, name: str) -> type:
    found = config_class(kind, DATASETS)
    if not isinstance(found, type):
        raise DataError(
            f'{name}.type={kind!r}: must be the name of a registered data set; import the module '
            'that registers it in custom_imports'
        )
    return found


def _reads_coco(kind: type) -> bool:
    """Whether a class reads its file as CocoDataset does; a subclass may have its own format."""
    return (
        issubclass(kind, CocoDataset)
        and kind.load_data_list is CocoDataset.load_data_list
        and kind.parse_data_info is CocoDataset.parse_data_info
    )


def _join(root: str, path: str) -> str:
    """Path as mmengine's data sets join it with their data root."""
    return path if is_abs(path) or not root else os.path.join(root, path)


def _text(config: Mapping, key: str, name: str, *, empty: bool = False) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not (value or empty):
        raise DataError(
            f'{name}.{key}={value!r}: must be one path, such as {EXAMPLES[key]}; several need a '
            'ConcatDataset'
        )
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


def _dict(config: Mapping, key: str, name: str) -> Mapping:
    value = config.get(key) or {}
    if not isinstance(value, Mapping):
        raise DataError(f'{name}.{key}={value!r}: must be a dict, such as {EXAMPLES[key]}')
    return value


def _indices(value: object, name: str) -> slice | list[int]:
    """The pictures of a data set that MMEngine's ``indices`` select."""
    if value is None:
        return slice(None)
    if isinstance(value, int):
        return slice(value) if value >= 0 else slice(value, None)
    if isinstance(value, Sequence) and all(isinstance(each, int) for each in value):
        return list(value)
    raise DataError(
        f'{name}.indices={value!r}: must be a number of pictures, or a list of their indices'
    )


def _filtered(table: CocoTable, classes: Sequence[str], filters: Mapping) -> np.ndarray:
    """Rows of the pictures that ``CocoDataset`` keeps."""
    keep = table.sizes.min(axis=1, initial=np.inf) >= filters.get('min_size', 0)
    if filters.get('filter_empty_gt'):
        annotated = table.image[table.is_of(classes)]
        keep &= np.bincount(annotated, minlength=len(keep)) > 0
    return np.flatnonzero(keep)
