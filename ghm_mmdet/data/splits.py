"""Data sets of one config beside each other: the same classes, and no picture in two of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ghm_mmdet.data.coco_table import CocoTable
from ghm_mmdet.data.findings import Findings, listing


@dataclass(frozen=True)
class Split:
    """One data set of a config, read.

    Attributes:
        name: Where the config defines it.
        loop: 'train', 'val' or 'test'.
        classes: The names of its classes, by label.
        table: Its annotation file.
        folder: Where its pictures lie.
        rows: The pictures that it hands out, as rows of the file's images, int64.
    """

    name: str
    loop: str
    classes: tuple[str, ...]
    table: CocoTable
    folder: str
    rows: np.ndarray

    @cached_property
    def paths(self) -> list[str]:
        """The files of all its pictures, in the order of the annotation file."""
        return [os.path.join(self.folder, name) for name in self.table.file_names]

    @cached_property
    def trained_on(self) -> np.ndarray:
        """Mask of the annotations that are objects of its classes on pictures that it hands out."""
        handed_out = np.zeros(len(self.table.image_ids), dtype=bool)
        handed_out[self.rows] = True
        return self.table.is_trained_on(self.classes) & handed_out[self.table.image]

    @property
    def objects(self) -> int:
        """How many those are."""
        return int(self.trained_on.sum())


def compare_splits(splits: Sequence[Split], findings: Findings) -> None:
    """Compare each data set's classes with the first one's, and each with what is trained on."""
    for split in splits[1:]:
        _compare_classes(splits[0], split, findings)
    trained = [split for split in splits if split.loop == 'train']
    for split in splits:
        if split.loop != 'train':
            _warn_of_common_pictures(trained, split, findings)


def _compare_classes(first: Split, other: Split, findings: Findings) -> None:
    """A label has to be the same class everywhere: the model knows numbers, not names."""
    differ = [
        label for label, pair in enumerate(zip(first.classes, other.classes)) if len({*pair}) > 1
    ]
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


def _warn_of_common_pictures(
    trained: Sequence[Split], judged: Split, findings: Findings
) -> None:
    known = {
        os.path.abspath(split.folder) + os.sep + split.table.file_names[row]
        for split in trained
        for row in split.rows
    }
    folder = os.path.abspath(judged.folder) + os.sep
    common = [name for name in judged.table.file_names if folder + name in known]
    if common:
        findings.warn(
            f'{judged.table.path}: {len(common)} of {len(judged.table.file_names)} pictures of '
            f'{judged.name} are trained on as well, such as {common[0]}; results on them say '
            'little of new pictures: take them out of one of the two (tools/split_coco.py)'
        )
