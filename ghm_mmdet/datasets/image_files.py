"""Checks that the pictures of an annotation file exist and have the annotated size."""

from __future__ import annotations

import os
import struct
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath

import cv2
from PIL import Image, UnidentifiedImageError

ORIENTATION = 0x0112
"""The EXIF tag that says how a picture has to be rotated for display."""
TURNED = (5, 6, 7, 8)
"""Its values that exchange width and height."""
TURNED_BY_LOADER = ('JPEG', 'MPO', 'PNG')
"""Formats that OpenCV rotates by this tag, and Pillow does not."""
UNDECODABLE = 'failed to load image'
"""The message of mmcv's assertion for a picture that OpenCV cannot decode."""
DECODER_ERRORS = (cv2.error, EOFError, Image.DecompressionBombError, struct.error, SyntaxError)
"""Errors of decoders, besides Pillow's plain OSError."""


def missing_images(paths: Sequence[str]) -> list[str]:
    """The pictures that do not exist, found by listing each folder once."""
    by_folder = defaultdict(list)
    for path in paths:
        by_folder[os.path.dirname(path)].append(path)
    missing = []
    for folder, inside in by_folder.items():
        present = _files(folder)
        missing += [path for path in inside if os.path.basename(path) not in present]
    return missing


def why_missing(path: str, folder: str) -> str:
    """A hint at the file that may be meant, beginning with '; ', or nothing."""
    name = os.path.relpath(path, folder)
    if '\\' in name:
        return '; its name has backslashes, as Windows writes paths: write / instead'
    here = os.path.dirname(path)
    for other in _files(here):
        if _composed(other) == _composed(os.path.basename(path)):
            return (
                f'; {here} has that name in another Unicode form (NFC or NFD, as a Mac writes '
                'umlauts): rename the file, or normalise the names in the annotation file'
            )
        if _composed(other).casefold() == _composed(os.path.basename(path)).casefold():
            return f'; {here} has {other!r}: capital and small letters differ'
    base = PureWindowsPath(path).name
    if base in _files(folder):
        return f'; {folder} has a file {base!r}: file_name is a path below that folder'
    return ''


def _composed(name: str) -> str:
    return unicodedata.normalize('NFC', name)


def _files(folder: str) -> set[str]:
    try:
        with os.scandir(folder or os.curdir) as entries:
            # a link may lead nowhere
            return {
                entry.name
                for entry in entries
                if not entry.is_dir() and (not entry.is_symlink() or os.path.exists(entry.path))
            }
    except (FileNotFoundError, NotADirectoryError):
        return set()


def outside(paths: Sequence[str], folder: str) -> list[str]:
    """The pictures outside of the folder, by absolute names or names with '..'."""
    inside = os.path.join(os.path.abspath(folder), '')
    return [path for path in paths if not os.path.abspath(path).startswith(inside)]


@dataclass(frozen=True)
class Header:
    """Size, format and orientation from the first bytes of a picture.

    Attributes:
        size: Width and height in pixels, as they are stored.
        orientation: EXIF's, 1 if there is none.
    """

    size: tuple[int, int]
    orientation: int

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the picture as MMDetection loads it, turned by its orientation."""
        return self.size[::-1] if self.orientation in TURNED else self.size


def read_header(path: str) -> Header | None:
    """The header of a picture; None if Pillow does not know its format."""
    try:
        with Image.open(path) as image:
            # not image.getexif(), which decodes a whole PNG to look for the tag at its end
            exif = Image.Exif()
            if image.format in TURNED_BY_LOADER:
                exif.load(image.info.get('exif'))
            return Header(image.size, exif.get(ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def size_fault(header: Header, size: Sequence[float]) -> str | None:
    """The difference between a picture's size and the annotation file's, in words, or None."""
    if tuple(size) == header.shown:
        return None
    width, height = header.shown
    fault = f'is {width} x {height} pixels, the annotation file says {size[0]:g} x {size[1]:g}'
    if header.orientation in TURNED and tuple(size) == header.size:
        return (
            f'{fault}: its EXIF orientation {header.orientation} turns it when it is loaded, and '
            'the boxes are on the stored picture; turn the pixels and remove the tag, or turn '
            'the boxes'
        )
    return f'{fault}; boxes are in pixels of the picture itself: export it again'


def is_undecodable(error: BaseException) -> bool:
    """Whether an error in loading a picture means that its file is no complete picture.

    It is not for an error of the system, such as a missing file.
    """
    if isinstance(error, AssertionError):
        return UNDECODABLE in str(error)
    if type(error) is OSError:
        return error.errno is None
    return isinstance(error, (*DECODER_ERRORS, UnidentifiedImageError))
