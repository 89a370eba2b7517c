"""Finds entries of an annotation file that MMDetection or pycocotools cannot read.

Each fault is one line: the first entry that has it, what is allowed, and how many entries have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

KEYS = {
    'images': ('id', 'file_name', 'width', 'height'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
    'categories': ('id', 'name'),
}
"""Keys that an entry of each list needs, in the order in which they are checked."""
MAX_OBJECTS = 100_000
"""Objects of an image: matching them with the 5,000 anchors of a small picture takes 2 GB."""
LARGEST = 1e300
HINTS = {
    'bbox': '; MMDetection reads boxes, polygons alone are not enough',
    'area': '; width x height of the box is enough',
    'width': '; the size of the picture in pixels',
    'height': '; the size of the picture in pixels',
}
NAME = (
    'category {id} has name={name!r}; must be a text that no other category has; rename it, or '
    'remove the one without annotations'
)
SIDE = "must be a number of pixels above 0, the picture's own"
BOX = (
    'annotation {id} has bbox={bbox!r}, area={area!r}; must be finite numbers '
    '[x, y, width, height] in pixels with width and height not negative; correct or remove it'
)


def errors_of(content: object) -> Iterator[str]:
    """The faults in the content of a JSON file, each one line without the file's name."""
    structure = list(_structure_errors(content))
    yield from structure
    if structure:
        return
    complete = {part: [] for part in KEYS}
    for part, entries in complete.items():
        yield from _entry_errors(part, content.get(part, []), entries)
    images, annotations, categories = complete.values()
    names = Counter(each['name'] for each in categories if isinstance(each['name'], str))
    yield from _counted([c for c in categories if names.get(_text(c['name'])) != 1], NAME)
    for side in ('width', 'height'):
        wrong = [each for each in images if not (_is_number(each[side]) and each[side] > 0)]
        yield from _counted(wrong, f'image {{id}} has {side}={{{side}!r}}; {SIDE}')
    yield from _counted(
        [each for each in images if not _text(each['file_name'])],
        'image {id} has file_name={file_name!r}; must be the name of a file',
    )
    references = [
        *_reference_errors(annotations, 'image', images),
        *_reference_errors(annotations, 'category', categories),
    ]
    yield from references
    boxes = [a for a in annotations if not (_is_box(a['bbox']) and _is_number(a['area']))]
    yield from _counted(boxes, BOX)
    yield from _flag_errors(annotations)
    if not references:
        yield from _crowding_errors(annotations)


def _structure_errors(content: object) -> Iterator[str]:
    needed = (
        'not an annotation file in COCO format, which is a JSON object with the lists '
        "'images', 'annotations' and 'categories'"
    )
    if not isinstance(content, dict):
        kind = 'a list, as of detections' if isinstance(content, list) else type(content).__name__
        yield f'{needed}; it is {kind}; name the file that has the annotations'
        return
    for key in ('images', 'categories'):
        if not isinstance(content.get(key), list):
            yield f'{needed}; {key!r} is not there, or no list; export it as COCO JSON'
    # a list of pictures to predict on, or to learn from without labels, may leave them out
    if not isinstance(content.get('annotations', []), list):
        yield f"{needed}; 'annotations' is no list; export it as COCO JSON"


def _entry_errors(part: str, entries: list, complete: list[dict]) -> Iterator[str]:
    """Entries that are no object, lack a key, or have no id of their own.

    Those with all keys are added to ``complete``.
    """
    keys, incomplete, wrong, repeated, seen = {*KEYS[part]}, [], [], [], set()
    for index, entry in enumerate(entries):
        if not (isinstance(entry, dict) and entry.keys() >= keys):
            incomplete.append((index, entry))
            continue
        complete.append(entry)
        if not _is_id(entry['id']):
            wrong.append((index, entry['id']))
        elif entry['id'] in seen:
            repeated.append((index, entry['id']))
        else:
            seen.add(entry['id'])
    yield from _counted(incomplete, lambda fault: _incomplete(part, *fault))
    yield from _counted(
        wrong,
        lambda fault: (
            f'{part}[{fault[0]}] has id={fault[1]!r}, {kind_of(fault[1])}; must be an '
            'integer of its own'
        ),
    )
    yield from _counted(
        repeated,
        lambda fault: (
            f'{part}[{fault[0]}] repeats id={fault[1]!r}; must be unique: number them 1, 2, 3 ...'
        ),
    )


def _incomplete(part: str, index: int, entry: object) -> str:
    key = next(key for key in KEYS[part] if not (isinstance(entry, dict) and key in entry))
    return f'{part}[{index}] has no {key!r}; needed: {list(KEYS[part])}{HINTS.get(key, "")}'


def _reference_errors(annotations: list[dict], what: str, entries: list[dict]) -> Iterator[str]:
    key, known = f'{what}_id', {each['id'] for each in entries if _is_id(each['id'])}
    yield from _counted(
        [each for each in annotations if not (_is_id(each[key]) and each[key] in known)],
        lambda each: (
            f'annotation {each["id"]} has {key}={each[key]!r}, '
            f'{_why_unknown(each[key], known, what)}'
        ),
    )


def _why_unknown(value: object, known: Collection, what: str) -> str:
    """A hint at the id that an unknown reference may mean."""
    as_text = f'{value:g}' if isinstance(value, float) else str(value).strip()
    for each in known:
        if str(each) == as_text:
            return (
                f'{kind_of(value)}; must be {each!r}, {kind_of(each)}, as the {what} has its id: '
                'write both alike'
            )
    return f'which the file does not define; remove such annotations, or add the {what}'


def _flag_errors(annotations: list[dict]) -> Iterator[str]:
    """Find ``iscrowd`` values other than 0 and 1: '0' is true, and null or NaN ends pycocotools."""
    for key, harmless in (('iscrowd', ()), ('ignore', (None,))):
        yield from _counted(
            [
                each
                for each in annotations
                if key in each and not _is_flag(each[key]) and each[key] not in harmless
            ],
            lambda each, key=key: (
                f'annotation {each["id"]} has {key}={each[key]!r}, '
                f'{kind_of(each[key])}; must be the number 0 for an object, or 1 for what is not '
                'trained on'
            ),
        )


def _crowding_errors(annotations: list[dict]) -> Iterator[str]:
    """Images with so many boxes that matching them with anchors would take all memory."""
    objects = Counter(each['image_id'] for each in annotations if not each.get('iscrowd'))
    for image, count in objects.most_common(1):
        if count > MAX_OBJECTS:
            yield (
                f'image {image} has {count} annotations; must be at most {MAX_OBJECTS}: '
                'cut the image into parts, or mark crowds by one box with iscrowd=1'
            )


def _counted(faults: Sequence, describe: str | Callable[[Any], str]) -> Iterator[str]:
    """One line on the first fault of a kind, and the number of these faults.

    The text may be a format string for the values of the entry.
    """
    if faults:
        text = describe.format_map if isinstance(describe, str) else describe
        yield text(faults[0]) + (f' ({len(faults)} in all)' if len(faults) > 1 else '')


def kind_of(value: object) -> str:
    """The name of a JSON value's type."""
    if value is None:
        return 'null'
    if isinstance(value, bool):
        return 'true or false'
    if isinstance(value, str):
        return 'a text'
    if isinstance(value, float):
        return 'a number with a decimal point' if value == value else 'NaN'
    return 'an integer' if isinstance(value, int) else f'a {type(value).__name__}'


def _text(value: object) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def _is_id(value: object) -> bool:
    return type(value) is int or type(value) is str


def _is_flag(value: object) -> bool:
    return isinstance(value, (int, float)) and value in (0, 1)


def _is_box(box: object) -> bool:
    # written out, as there may be millions
    try:
        x, y, width, height = box
        return (
            -LARGEST < x < LARGEST
            and -LARGEST < y < LARGEST
            and 0 <= width < LARGEST
            and 0 <= height < LARGEST
        )
    except (TypeError, ValueError):
        return False


def _is_number(value: object) -> bool:
    # NaN is not below anything, and an integer may be too long for a float
    try:
        return -LARGEST < value < LARGEST
    except TypeError:
        return False
