"""Tables of our own: what balances examples best on a few hundred images.

Nothing is published for them. The schedule is that of the data set's base config unless
``--cfg-options`` says otherwise; docs/results.md has the protocol and the commands.
"""

from __future__ import annotations

from ghm_mmdet.analysis.tables import Row, Table


def _bccd(change: str) -> str:
    return f'bccd/retinanet_r18_fpn_{change}-6e_bccd.py'


FOCAL = Row('focal', 'focal loss, L1', _bccd('focal'))

TABLES = {
    'small-data': Table(
        'Classification loss on a few hundred images, with L1 boxes',
        (
            FOCAL,
            Row('ce', 'cross entropy, L1', _bccd('ce')),
            Row('ghmc', 'GHM-C (equal weight), L1', _bccd('ghmc-pyramid')),
            Row('tempered', 'GHM-C, tempering 0.75, L1', _bccd('ghmc-tempered')),
            Row('equal-gradient', 'GHM-C, equal gradient, L1', _bccd('ghmc-equal-gradient')),
            Row(
                'tempered-gradient',
                'GHM-C, equal gradient, tempering 0.75, L1',
                _bccd('ghmc-tempered-gradient'),
            ),
        ),
        paired=True,
    ),
}
"""By name. The first row of each is what the others are compared with, seed by seed."""
