"""The sizes of a data set's pictures, by their headers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ghm_mmdet.datasets.findings import Findings
from ghm_mmdet.datasets.image_files import read_header, size_fault
from ghm_mmdet.datasets.splits import Split

HEADERS = 50
"""Number of pictures of a data set whose headers are read before a training, evenly spread."""
UNDECODABLE_SHARE = 0.01
"""Share of a data set's pictures that may be broken."""


def warn_of_sizes(split: Split, findings: Findings, most: int = HEADERS) -> None:
    """Compare the headers of at most ``most`` pictures with the sizes in the annotation file."""
    if not split.turns or not split.paths:
        return
    rows = np.unique(np.linspace(0, len(split.paths) - 1, most).astype(int))
    with ThreadPoolExecutor() as pool:
        headers = [*pool.map(lambda row: read_header(split.paths[row]), rows)]
    faults = [
        f'{split.paths[row]} {fault}'
        for row, header in zip(rows, headers)
        if header and (fault := size_fault(header, split.table.sizes[row]))
    ]
    if faults:
        findings.warn(
            f'{split.table.path}: {len(faults)} of {len(rows)} pictures looked at have another '
            f'size than the file says: {faults[0]}'
        )
