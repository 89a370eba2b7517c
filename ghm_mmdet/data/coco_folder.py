"""Finds its way in a user's COCO-format folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ghm_mmdet.data.coco_file import DataError, read_coco_file

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
        classes: Category names in the order of the training file.
    """

    root: Path
    train: CocoSplit
    val: CocoSplit
    classes: tuple[str, ...]


def find_coco_folder(root: str | Path) -> CocoFolder:
    """Look for ``annotations/*train*.json``, ``annotations/*val*.json`` and their images.

    The images may lie in a folder named as the annotation file without ``instances_``
    (``train2017``), as the split (``train``), either of them below ``images``, or in ``images``
    itself.

    Raises:
        DataError: A file or folder is missing, ambiguous or broken; names what was looked for.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f'data={str(root)!r}: must be a folder with annotations/ and images')
    train, categories = _find_split(root, 'train')
    val, _ = _find_split(root, 'val')
    return CocoFolder(root, train, val, tuple(categories))


def _find_split(root: Path, split: str) -> tuple[CocoSplit, list[str]]:
    found = sorted(root.glob(f'annotations/instances*{split}*.json'))
    found = found or sorted(root.glob(f'annotations/*{split}*.json'))
    if len(found) != 1:
        names = [path.name for path in found] or 'nothing'
        raise DataError(
            f'{root}: found {names} for annotations/*{split}*.json, must be exactly one file'
        )
    file = read_coco_file(str(found[0]))
    if not file.images or not file.categories:
        raise DataError(f'{file.path}: must list at least one image and one category')
    first = next(iter(file.images.values()))['file_name']
    stem = found[0].stem.removeprefix('instances_')
    for template in IMAGE_FOLDERS:
        images = template.format(stem=stem, split=split)
        if (root / images / first).is_file():
            relative = found[0].relative_to(root).as_posix()
            prefix = f'{images}/' if images else ''
            return CocoSplit(relative, prefix, len(file.images)), list(file.categories)
    looked_in = ', '.join(t.format(stem=stem, split=split) or '.' for t in IMAGE_FOLDERS)
    raise DataError(f'{root}: image {first!r} of {file.path} must be in one of {looked_in}')
