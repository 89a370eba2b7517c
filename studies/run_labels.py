"""Short names for runs, made of the words in which their work dirs differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import permutations, takewhile
from pathlib import Path


def run_labels(work_dirs: Sequence[Path]) -> list[str]:
    """One label for each work dir, all different.

    The words that all names begin or end with are left out: ``retinanet_focal_coco`` and
    ``retinanet_ghm_coco`` are ``focal`` and ``ghm``. If folders have the same name, their parents
    are named, too. A single run keeps its name, and so do all where one name goes on where another
    ends, such as ``my_data`` and ``my_data_focal``.

    Args:
        work_dirs: Different folders.
    """
    parts = [path.resolve().parts for path in work_dirs]
    depth = 1
    while len({path[-depth:] for path in parts}) < len(parts):
        depth += 1
    names = ['/'.join(path[-depth:]) for path in parts]
    labels = names if len(names) < 2 or _one_goes_on(names) else _without_shared_ends(names)
    # '_run' and 'run' would become equal
    return labels if len(set(labels) - {''}) == len(names) else names


def _one_goes_on(names: Sequence[str]) -> bool:
    """Whether a folder's name, of a path, is another's with words behind it."""
    folders = [name.split('/') for name in names]
    pairs = ((a, b) for one, other in permutations(folders, 2) for a, b in zip(one, other))
    return any(b.startswith((f'{a}_', f'{a}-')) for a, b in pairs)


def _without_shared_ends(names: Sequence[str]) -> list[str]:
    rows = [re.split(r'(?<=[_/-])', name) for name in names]
    shortest = min(map(len, rows))
    first = min(_shared(rows), shortest - 1)
    last = min(_shared([row[:first:-1] for row in rows]), shortest - 1 - first)
    # a bare number says nothing without the word before it
    while first and not all(_has_letter(row[first : len(row) - last]) for row in rows):
        first -= 1
    return [''.join(row[first : len(row) - last]).strip('_/-') for row in rows]


def _shared(rows: Iterable[Sequence[str]]) -> int:
    """How many words all rows begin with."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*rows)))


def _has_letter(words: Sequence[str]) -> bool:
    return any(map(str.isalpha, ''.join(words)))
