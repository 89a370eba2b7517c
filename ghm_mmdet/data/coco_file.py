"""Annotation files in COCO's JSON format: what MMDetection needs of them, checked once."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

IMAGE_KEYS = ('id', 'file_name', 'width', 'height')
ANNOTATION_KEYS = ('id', 'image_id', 'category_id', 'bbox', 'area')
CATEGORY_KEYS = ('id', 'name')
MAX_OBJECTS = 100_000
"""Of an image: matched with the 5,000 anchors of a small picture they take 2 GB."""


class DataError(ValueError):
    """Data that cannot be trained on or evaluated; the message is one line and names the file."""


@dataclass(frozen=True)
class CocoFile:
    """A checked annotation file.

    Attributes:
        path: Where it was read from.
        images: Its images by id, with the keys of ``IMAGE_KEYS``.
        annotations: Its annotations, with the keys of ``ANNOTATION_KEYS``.
        categories: Its category ids by name, in the order of the file.
        content: All of it, as it was read.
    """

    path: str
    images: dict[int, dict]
    annotations: list[dict]
    categories: dict[str, int]
    content: dict

    def trainable(self, category_ids: Iterable[int]) -> np.ndarray:
        """Mask (A,) of the annotations that mmdet keeps as objects of the given categories."""
        wanted = set(category_ids)
        keep = [
            entry['category_id'] in wanted and not is_ignored(entry) for entry in self.annotations
        ]
        return np.array(keep, dtype=bool) & self._visible()

    def _visible(self) -> np.ndarray:
        """Mask (A,) of the boxes of at least one pixel that touch their image."""
        boxes = np.array([entry['bbox'] for entry in self.annotations], dtype=float).reshape(-1, 4)
        sizes = [self.images[entry['image_id']] for entry in self.annotations]
        limits = np.array([(image['width'], image['height']) for image in sizes]).reshape(-1, 2)
        overlap = np.minimum(boxes[:, :2] + boxes[:, 2:], limits) - np.maximum(boxes[:, :2], 0)
        areas = np.array([entry['area'] for entry in self.annotations], dtype=float)
        return (boxes[:, 2:] >= 1).all(axis=1) & (overlap > 0).all(axis=1) & (areas > 0)


def is_ignored(annotation: dict) -> bool:
    """Whether an annotation is a crowd or an ignored region, and no object."""
    return bool(annotation.get('iscrowd') or annotation.get('ignore'))


def read_coco_file(path: str) -> CocoFile:
    """Read and check an annotation file.

    Raises:
        DataError: It is missing, not JSON, not COCO's format, or its entries contradict each other.
    """
    content = _read_json(path)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f'{path}: not an annotation file in COCO format, which is a JSON object with the '
                f"lists 'images', 'annotations' and 'categories'; {key!r} is not there"
            )
    _check_entries(path, 'images', content['images'], IMAGE_KEYS)
    _check_entries(path, 'annotations', content['annotations'], ANNOTATION_KEYS)
    _check_entries(path, 'categories', content['categories'], CATEGORY_KEYS)
    _check_names(path, content['categories'])
    images = {image['id']: image for image in content['images']}
    categories = {category['name']: category['id'] for category in content['categories']}
    _check_images(path, content['images'])
    _check_references(path, content['annotations'], images, set(categories.values()))
    _check_boxes(path, content['annotations'])
    _check_crowding(path, content['annotations'])
    return CocoFile(path, images, content['annotations'], categories, content)


def _read_json(path: str) -> object:
    if not os.path.isfile(path):
        raise DataError(f'{path}: no such annotation file')
    try:
        with open(path, 'rb') as file:
            return json.load(file)
    except json.JSONDecodeError as error:
        raise DataError(
            f'{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}'
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f'{path}: not JSON: byte {error.start} is not UTF-8 text') from error
    except RecursionError as error:
        raise DataError(f'{path}: not JSON that can be read: nested too deep') from error


def _check_entries(path: str, part: str, entries: list, keys: Sequence[str]) -> None:
    """Every entry is an object with these keys, and no two have the same id."""
    seen = set()
    for index, entry in enumerate(entries):
        missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise DataError(f'{path}: {part}[{index}] has no {missing[0]!r}; needed: {list(keys)}')
        if not isinstance(entry['id'], (int, str)):
            raise DataError(f'{path}: {part}[{index}] has id={entry["id"]!r}; must be an integer')
        if entry['id'] in seen:
            raise DataError(f'{path}: {part}[{index}] repeats id={entry["id"]}; must be unique')
        seen.add(entry['id'])


def _check_names(path: str, categories: list[dict]) -> None:
    names = set()
    for category in categories:
        if not isinstance(category['name'], str) or category['name'] in names:
            raise DataError(
                f'{path}: category {category["id"]} has name={category["name"]!r}; '
                'must be a text that no other category has'
            )
        names.add(category['name'])


def _check_images(path: str, images: list[dict]) -> None:
    for image in images:
        for side in ('width', 'height'):
            if not (_is_number(image[side]) and image[side] > 0):
                raise DataError(
                    f'{path}: image {image["id"]} has {side}={image[side]!r}; '
                    'must be a number of pixels above 0'
                )
        if not (isinstance(image['file_name'], str) and image['file_name']):
            raise DataError(
                f'{path}: image {image["id"]} has file_name={image["file_name"]!r}; '
                'must be the name of a file'
            )


def _check_references(path: str, annotations: list[dict], images: dict, categories: set) -> None:
    for entry in annotations:
        for key, known in (('image_id', images), ('category_id', categories)):
            if not isinstance(entry[key], (int, str)) or entry[key] not in known:
                raise DataError(
                    f'{path}: annotation {entry["id"]} has {key}={entry[key]!r}, '
                    'which the file does not define'
                )


def _check_boxes(path: str, annotations: list[dict]) -> None:
    for entry in annotations:
        if not _is_box(entry['bbox']) or not _is_number(entry['area']):
            raise DataError(
                f'{path}: annotation {entry["id"]} has bbox={entry["bbox"]!r}, '
                f'area={entry["area"]!r}; must be finite numbers [x, y, width, height] with width '
                'and height not negative'
            )


def _check_crowding(path: str, annotations: list[dict]) -> None:
    """No image has so many boxes that matching them with anchors would take all memory."""
    objects = Counter(entry['image_id'] for entry in annotations if not entry.get('iscrowd'))
    for image, count in objects.most_common(1):
        if count > MAX_OBJECTS:
            raise DataError(
                f'{path}: image {image} has {count} annotations; must be at most {MAX_OBJECTS}: '
                'cut the image into parts, or mark crowds by one box with iscrowd=1'
            )


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return False
    return box[2] >= 0 and box[3] >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)
