"""Compares the data sets of a config: classes, and pictures that two of them share."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from ghm_mmdet.datasets.coco_table import CocoTable
from ghm_mmdet.datasets.findings import Findings, listing


@dataclass(frozen=True, eq=False)
class Split:
    """A data set of a config and its annotation file, as read.

    Attributes:
        name: Its place in the config.
        loop: 'train', 'val' or 'test'.
        classes: The names of its classes, by label.
        table: Its annotation file.
        folder: Of its pictures.
        rows: The pictures that it hands out, as rows of the file's images, int64.
        turns: Whether it reads them with MMDetection's loader, which rotates them by EXIF.
    """

    name: str
    loop: str
    classes: tuple[str, ...]
    table: CocoTable
    folder: str
    rows: np.ndarray
    turns: bool

    @cached_property
    def paths(self) -> list[str]:
        """Paths of all pictures, in the order of the annotation file."""
        return [os.path.join(self.folder, name) for name in self.table.file_names]

    @cached_property
    def trained_on(self) -> np.ndarray:
        """Mask of the annotations that are objects of the data set's classes on its pictures."""
        handed_out = np.zeros(len(self.table.image_ids), dtype=bool)
        handed_out[self.rows] = True
        return self.table.is_trained_on(self.classes) & handed_out[self.table.image]

    @property
    def has_labels(self) -> bool:
        """Whether the classes matter; in training pictures without objects they do not."""
        return self.loop != 'train' or bool(self.table.annotation_ids)

    @property
    def objects(self) -> int:
        """Number of the annotations that are trained on."""
        return int(self.trained_on.sum())


def check_categories(
    split: Split, table: CocoTable, place: str, unused: Collection[str], findings: Findings
) -> bool:
    """Check that a file's categories are the classes of a data set, in the same order.

    MMDetection and COCO's metric number labels by the order of the file.

    Args:
        split: The data set.
        table: Its own file, or that of a metric.
        place: Beginning of a message.
        unused: Categories that need not be classes.
        findings: Where errors go.
    """
    classes, name = split.classes, f'{split.name}.metainfo.classes'
    absent = [label for label in classes if label not in table.category_ids]
    used = np.bincount(table.category, minlength=len(table.category_ids)) > 0
    unlisted = [
        label
        for label, is_used in zip(table.category_ids, used)
        if is_used and label not in classes and label not in unused
    ]
    order = [label for label in table.category_ids if label in classes]
    if absent or unlisted:
        differences = []
        if absent:
            differences.append(f'classes that the file does not have: {listing(absent)}')
        if unlisted:
            differences.append(
                f'categories with boxes that the config does not list: {listing(unlisted)}'
            )
        dropped = ', or name those to be dropped in unused_categories' if unlisted else ''
        findings.error(
            f'{place}: does not fit {name}: {"; ".join(differences)}'
            f"{_twins(absent, table.category_ids)}; list the file's categories in "
            f'metainfo=dict(classes=...){dropped}'
        )
    elif order != list(classes):
        findings.error(
            f'{place}: its categories must be in the order of {name}={listing(classes)}, which '
            f"the labels have; it is: {listing(order)}; sort its list 'categories', ids may stay, "
            'or the classes'
        )
    else:
        return True
    return False


def _twins(absent: Sequence[str], present: Collection[str]) -> str:
    """A hint at class names that differ only in case, spaces or the like."""
    plain = {label.strip().casefold(): label for label in present}
    for label in absent:
        for close in get_close_matches(label.strip().casefold(), plain, n=1):
            return f' ({label!r} is {plain[close]!r} there)'
    return ''


def compare_splits(splits: Sequence[Split], trained: Sequence[Split], findings: Findings) -> None:
    """Compare the classes of all data sets, and their pictures with those of the training."""
    labelled = [split for split in splits if split.has_labels]
    for split in labelled[1:]:
        _compare_classes(labelled[0], split, findings)
    for split in splits:
        if split not in trained:
            _warn_of_common_pictures(trained, split, findings)


def _compare_classes(first: Split, other: Split, findings: Findings) -> None:
    """Check that each label is the same class in all data sets; a model knows labels, not names."""
    # a data set with more classes is found by the check of the head's number of classes
    pairs = enumerate(zip(first.classes, other.classes))
    differ = [label for label, pair in pairs if len({*pair}) > 1]
    if not differ:
        return
    label = differ[0]
    fault = (
        f'{other.name}.metainfo.classes: label {label} is {other.classes[label]!r}, and '
        f'{first.classes[label]!r} in {first.name}'
    )
    if {*first.classes} & {other.classes[each] for each in differ}:
        findings.error(
            f'{fault}; the classes must stand in one order in all data sets, which is that of '
            f"their files: sort the list 'categories' of {other.table.path} as in "
            f'{first.table.path}, ids may stay, and list the classes as {listing(first.classes)}'
        )
    else:
        findings.warn(f'{fault}; is it the same class by another name?')


def _warn_of_common_pictures(trained: Sequence[Split], other: Split, findings: Findings) -> None:
    known = {
        os.path.abspath(split.folder) + os.sep + split.table.file_names[row]
        for split in trained
        for row in split.rows
    }
    folder, names = os.path.abspath(other.folder) + os.sep, other.table.file_names
    common = [name for name in names if folder + name in known]
    if common:
        findings.warn(
            f'{other.table.path}: {len(common)} of {len(names)} pictures, such as {common[0]}, '
            f'are in {" and ".join(split.table.path for split in trained)} as well; results on '
            'pictures that were trained on say little about new ones: take them out of one of the '
            'two (tools/split_coco.py)'
        )
