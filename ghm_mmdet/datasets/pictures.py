"""Looks at the pictures of a data set themselves: sizes, ends, and what they decode to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ghm_mmdet.datasets.findings import Findings, listing
from ghm_mmdet.datasets.image_files import is_cut_off, is_decodable, read_header, size_fault
from ghm_mmdet.datasets.splits import Split

HEADERS = 50
"""Pictures of a data set whose headers are looked at before a training, evenly spread."""
UNDECODABLE_SHARE = 0.01
"""Share of a data set's pictures that may be broken."""
Progress = Callable[[Iterable, int], Iterable]
"""Shows how far an iteration is, given its length."""


@dataclass(frozen=True)
class Look:
    """What is wrong with one picture; None and False where nothing is.

    Attributes:
        size: Sentence on a size that is not the annotation file's.
        cut_off: Whether the file ends before the picture does.
        broken: Whether it cannot be decoded.
    """

    size: str | None = None
    cut_off: bool = False
    broken: bool = False


def warn_of_sizes(split: Split, findings: Findings) -> None:
    """Compare some pictures' headers with the sizes in the annotation file."""
    if not split.turns or not split.paths:
        return
    rows = np.unique(np.linspace(0, len(split.paths) - 1, HEADERS).astype(int))
    faults = {row: _size_fault(split, row) for row in rows}
    _warn_of_faulty_sizes(split, faults, len(rows), findings)


def look_at_pictures(split: Split, decode: bool, findings: Findings, progress: Progress) -> None:
    """Look at every picture of a data set: header and last bytes, or all of it.

    Args:
        split: The data set.
        decode: Whether to decode each picture as well.
        findings: Where errors and warnings go.
        progress: Shows how far it is.
    """
    total = len(split.paths)

    def look(row: int) -> Look:
        return _look(split, row, decode)

    with ThreadPoolExecutor() as pool:
        looks = [*progress(pool.map(look, range(total)), total)]
    sizes = {row: each.size for row, each in enumerate(looks)}
    _warn_of_faulty_sizes(split, sizes, total, findings)
    pairs = [*zip(split.paths, looks, strict=True)]
    broken = [path for path, each in pairs if each.broken]
    ended = [path for path, each in pairs if each.cut_off and not each.broken]
    if ended:
        findings.warn(
            f'{split.table.path}: {len(ended)} of {total} pictures end before their last line, '
            f'{listing(ended)}; MMDetection may not read them: copy them again'
        )
    if broken:
        report = findings.error if len(broken) > UNDECODABLE_SHARE * total else findings.warn
        report(
            f'{split.table.path}: {len(broken)} of {total} pictures cannot be decoded, '
            f'{listing(broken)}; copy them again, or remove their entries'
        )


def _look(split: Split, row: int, decode: bool) -> Look:
    path = split.paths[row]
    try:
        header = read_header(path)
        # a kind that Pillow does not know may be one that OpenCV does
        if (decode or header is None) and split.turns and not is_decodable(path):
            return Look(broken=True)
        return Look(_size_fault(split, row) if header else None, is_cut_off(path))
    except FileNotFoundError:
        return Look()  # which the reading has said


def _size_fault(split: Split, row: int) -> str | None:
    header = read_header(split.paths[row])
    return header and size_fault(header, split.table.sizes[row])


def _warn_of_faulty_sizes(
    split: Split, faults: dict[int, str | None], total: int, findings: Findings
) -> None:
    wrong = [(row, fault) for row, fault in faults.items() if fault]
    if wrong:
        row, fault = wrong[0]
        findings.warn(
            f'{split.table.path}: {len(wrong)} of {total} pictures looked at have another size '
            f'than the file says: {split.paths[row]} {fault}'
        )
