"""Finds its way in a user's COCO-format folder, as people lay it out and labelling tools export."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ghm_mmdet.datasets.coco_file import CocoFile, is_ignored, read_coco_file
from ghm_mmdet.datasets.findings import DataError

SPLITS = ('train', 'val')
ROBOFLOW = '_annotations.coco.json'
OWN_SPLIT = 'split'
"""The folder below the data that a user is told to split a single annotation file into."""
IMAGE_FOLDERS = ('{stem}', '{split}', 'images/{stem}', 'images/{split}', 'images', '')


@dataclass(frozen=True)
class CocoSplit:
    """One split: paths relative to the data folder, as MMDetection's configs have them."""

    annotations: str
    images: str
    num_images: int


@dataclass(frozen=True)
class CocoFolder:
    """A COCO-format data set on disk.

    Attributes:
        root: The folder.
        train: Split to train on.
        val: Split to evaluate on.
        classes: Names of the categories with objects, in the order of the files.
    """

    root: Path
    train: CocoSplit
    val: CocoSplit
    classes: tuple[str, ...]


def find_coco_folder(root: str | Path) -> CocoFolder:
    """Look for the annotation files of train and val, and for their images.

    The files are ``annotations/*train*.json`` and ``annotations/*val*.json``, whatever the case of
    the letters, or ``train/_annotations.coco.json`` and ``valid/_annotations.coco.json``. The
    images may lie beside the annotation file, in a folder named as it is without ``instances_``
    (``train2017``) or as the split (``train``), either of them below ``images``, in ``images``
    itself, or in any folder that holds those of one file for all.

    Raises:
        DataError: A file or folder is missing, ambiguous or broken, or the files do not fit each
            other; names what was looked for, and how a single file is split.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f'data={str(root)!r}: must be a folder with annotations/ and images')
    paths = [_annotation_file(root, split) for split in SPLITS]
    files = [read_coco_file(str(path)) for path in paths]
    for file in files:
        if not file.images or not file.categories:
            raise DataError(f'{file.path}: must list at least one image and one category')
    train, val = (_find_images(root, *each) for each in zip(SPLITS, paths, files))
    return CocoFolder(root, train, val, _classes(*files))


def _annotation_file(root: Path, split: str) -> Path:
    found = next(filter(None, _candidates(root, split)), [])
    if len(found) > 1:
        raise DataError(
            f'{root}: found {_listing(root, found)} for {split}, must be exactly one file'
        )
    if not found:
        raise DataError(
            f'{root}: has no annotation file for {split}, which is annotations/*{split}*.json or '
            f'{split}*/{ROBOFLOW}; {_how_to_split(root)}'
        )
    return found[0]


def _candidates(root: Path, split: str) -> Iterator[list[Path]]:
    """Annotation files of a split, the surest names first."""
    yield list(root.glob(f'{OWN_SPLIT}/instances_{split}.json'))
    named = [path for path in sorted(root.glob('annotations/*.json')) if _names(path.stem, split)]
    yield [path for path in named if path.stem.startswith('instances')]
    yield named
    yield [path for path in sorted(root.glob(f'*/{ROBOFLOW}')) if _names(path.parent.name, split)]


def _names(text: str, split: str) -> bool:
    """Whether a name is that of a split; 'trainval' is of none, as it is of both."""
    return [each for each in SPLITS if each in text.lower()] == [split]


def _how_to_split(root: Path) -> str:
    """The command that makes train and val of one file."""
    train = next(filter(None, _candidates(root, 'train')), [])
    patterns = ('*.json', 'annotations/*.json', f'*/{ROBOFLOW}')
    files = train or [path for pattern in patterns for path in sorted(root.glob(pattern))]
    if not files:
        return 'its pictures lie in a folder of that name, or in images/'
    source = str(files[0]) if len(files) == 1 else 'FILE'
    command = (sys.executable, 'tools/split_coco.py', source, str(root / OWN_SPLIT))
    which = '' if len(files) == 1 else f', where FILE is one of {_listing(root, files)}'
    return f'to split one file for all pictures: {shlex.join(command)}{which}'


def _listing(root: Path, paths: Sequence[Path], most: int = 5) -> str:
    """As labelling tools also write a file for each picture, not all of many."""
    rest = f' and {len(paths) - most} more' if len(paths) > most else ''
    return f'{[path.relative_to(root).as_posix() for path in paths[:most]]}{rest}'


def _find_images(root: Path, split: str, path: Path, file: CocoFile) -> CocoSplit:
    """The first folder that has images of a file, which must be all of them."""
    names = [image['file_name'] for image in file.images.values()]
    stem = re.sub('^instances_', '', path.stem)
    usual = [template.format(stem=stem, split=split) for template in IMAGE_FOLDERS]
    # those of one file that was split lie where neither split's name leads
    others = [*sorted(root.glob('*/')), *sorted(root.glob('images/*/'))]
    beside = [path.parent, path.parent / 'images']
    for folder in (*beside, *(root / each for each in usual), *others):
        missing = [name for name in names if not (folder / name).is_file()]
        if len(missing) < len(names):
            break
    else:
        looked_in = ', '.join(each or '.' for each in usual)
        hint = '; write / for backslashes in its file names' if '\\' in names[0] else ''
        raise DataError(
            f'{root}: image {names[0]!r} of {file.path} must be in one of {looked_in}{hint}'
        )
    if missing:
        raise DataError(
            f'{file.path}: {len(missing)} of {len(names)} images, such as {missing[0]!r}, are not '
            f'in {folder}, where the others are'
        )
    relative = folder.relative_to(root).as_posix()
    prefix = '' if relative == '.' else f'{relative}/'
    return CocoSplit(path.relative_to(root).as_posix(), prefix, len(names))


def _classes(train: CocoFile, val: CocoFile) -> tuple[str, ...]:
    """Names with objects, which MMDetection numbers in the order of each file."""
    used = [
        Counter(each['category_id'] for each in file.annotations if not is_ignored(each))
        for file in (train, val)
    ]
    for file, counts in zip((train, val), used):
        if not counts:
            raise DataError(f'{file.path}: has no object among {len(file.annotations)} annotations')
    names = {
        name
        for file, counts in zip((train, val), used)
        for name, number in file.categories.items()
        if counts[number]
    }
    orders = [[name for name in file.categories if name in names] for file in (train, val)]
    if orders[0] != orders[1]:
        raise DataError(
            f'{val.path}: has the categories {orders[1]} and {train.path} has {orders[0]}; must be '
            "the same in the same order in the list 'categories', whatever their ids, as "
            'MMDetection numbers classes by it'
        )
    return tuple(orders[0])
