"""Annotation files in COCO's JSON format, read from their bytes and checked once."""

from __future__ import annotations

import gc
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ghm_mmdet.datasets.coco_errors import errors_of
from ghm_mmdet.datasets.findings import DataError, Findings


@dataclass(frozen=True)
class CocoFile:
    """A checked annotation file.

    Attributes:
        path: Of the file.
        images: Its images by id, with the keys in ``coco_errors.KEYS``.
        annotations: Its annotations, likewise.
        categories: Its category ids by name, in the order of the file.
        content: The whole content; a list of pictures to predict on has no 'annotations'.
    """

    path: str
    images: dict[int | str, dict]
    annotations: list[dict]
    categories: dict[str, int | str]
    content: dict


def is_ignored(annotation: dict) -> bool:
    """Whether an annotation is a crowd or an ignored region, and no object."""
    return bool(annotation.get('iscrowd') or annotation.get('ignore'))


def free_id(annotations: Iterable[dict]) -> int:
    """The number after the largest id that is a number; 1 if there is no such id."""
    return 1 + max([0, *(each['id'] for each in annotations if isinstance(each['id'], int))])


def read_coco_file(path: str) -> CocoFile:
    """Read and check an annotation file.

    Raises:
        DataError: It is missing, not JSON, not COCO's format, or its entries contradict each other.
    """
    findings = Findings()
    file = load_coco_file(path, findings)
    findings.raise_error()
    return file


def load_coco_file(path: str, findings: Findings) -> CocoFile | None:
    """Read and check an annotation file; None if it has errors, which go to the findings."""
    try:
        with _without_collections():
            content = _read_json(path)
            errors = [f'{path}: {text}' for text in errors_of(content)]
    except DataError as error:
        findings.error(str(error))
        return None
    for text in errors:
        findings.error(text)
    if errors:
        return None
    return CocoFile(
        path=path,
        images={image['id']: image for image in content['images']},
        annotations=content.get('annotations', []),
        categories={category['name']: category['id'] for category in content['categories']},
        content=content,
    )


def write_new_json(path: Path, content: object, indent: str | None = None) -> None:
    """Write a new JSON file in UTF-8, with an indent or in one line.

    Raises:
        DataError: It exists already, or cannot be written.
    """
    # json.dump takes several times as long
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    try:
        with path.open('xb') as file:
            # half of a surrogate pair has no bytes, but JSON has its escape
            file.write(text.encode('utf-8', 'backslashreplace'))
    except FileExistsError:
        raise DataError(f'{path}: exists already; remove it or name another file') from None
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from error


def indent_of(path: str) -> str | None:
    """The indent of a JSON file's first key or entry; None if it is on the first line."""
    with open(path, 'rb') as file:
        start = file.read(4096).decode(encoding_of(path), 'ignore')
    found = re.match(r'\s*[{[][ \t]*\r?\n([ \t]*)', start)
    return found[1] if found else None


def encoding_of(path: str) -> str:
    """The encoding that the first bytes of a JSON file show, as Python names it."""
    with open(path, 'rb') as file:
        return json.detect_encoding(file.read(4))


def _read_json(path: str) -> object:
    if not os.path.isfile(path):
        raise DataError(f'{path}: no such annotation file')
    with open(path, 'rb') as file:
        data = file.read()
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise DataError(
            f'{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}; '
            'export it again, it may be cut off or edited by hand'
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f'{path}: not JSON: byte {error.start} is not {error.encoding.upper()} text; '
            'save it as UTF-8'
        ) from error
    except (RecursionError, ValueError) as error:
        what = 'nested too deep' if isinstance(error, RecursionError) else error
        raise DataError(f'{path}: not JSON that can be read: {what}; export it again') from error


@contextmanager
def _without_collections() -> Iterator[None]:
    """Switch off the garbage collector, which would search millions of new objects repeatedly."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
