"""Made-up rows."""

from __future__ import annotations

from benchmarks.ghmc_loss import TARGET_EXAMPLES
from benchmarks.table import Row


def row(contestant: str, milliseconds: float, **columns: object) -> Row:
    """A row of GHM-C at the size and M of the targets, with other columns changed."""
    values = dict(
        device='D',
        device_type='cuda',
        torch='',
        backend='triton',
        operation='GHM-C',
        input='',
        dtype='float32',
        examples=TARGET_EXAMPLES['cuda'],
        contestant=contestant,
        bins=30,
        milliseconds=milliseconds,
        ratio=None,
        spread=None,
        runs=1,
        memory=1.0,
        peak_mib=None,
    )
    return Row(**{**values, **columns})
