"""The tables of heads other than RetinaNet's, on the sample data: own losses and GHM-C's balances.

docs/heads.md has the results.
"""

from __future__ import annotations

from studies.tables import Row, Table


def _own(name: str, label: str, config: str, **loss: object) -> Row:
    changes = {f'model.bbox_head.loss_cls.{key}': value for key, value in loss.items()}
    return Row(name, label, f'sample/{config}_sample.py', changes=changes, detector=True)


def _harmonized(own: Row, head: dict[str, object], name: str, label: str, **loss: object) -> Row:
    """A detector's row with GHM-C over its pyramid, in place of its classification loss."""
    ghmc = dict(_delete_=True, type='GHMCLoss', use_sigmoid=True, bins=30, momentum=0.75, **loss)
    changes = {
        'model.bbox_head.type': 'WholePyramidHead',
        **{f'model.bbox_head.{key}': value for key, value in head.items()},
        'model.bbox_head.loss_cls': ghmc,
    }
    return Row(name, label, own.config, changes=changes, detector=True)


def _table(title: str, own: tuple[Row, ...], equal_weight: float, **head: object) -> Table:
    """A head's own losses, equal weight at the loss weight of docs/heads.md, and 'small-data'."""
    of = (own[0], head)
    return Table(
        title,
        (
            *own,
            _harmonized(*of, 'equal-weight', 'GHM-C, equal weight', loss_weight=equal_weight),
            _harmonized(
                *of,
                'small-data',
                "GHM-C, balance='small-data'",
                balance='small-data',
                loss_weight=0.15,
            ),
        ),
        paired=True,
    )


TABLES = {
    'heads-atss': _table(
        'ATSS, which ranks by score x centerness',
        (
            _own('atss', 'focal loss (gamma 2)', 'atss_r18_fpn_focal'),
            _own('atss-gamma1', 'focal loss (gamma 1)', 'atss_r18_fpn_focal', gamma=1.0),
        ),
        equal_weight=0.4,
        head='ATSSHead',
    ),
    'heads-gfl': _table(
        'GFL, whose targets are qualities',
        (_own('gfl', 'quality focal loss', 'gfl_r18_fpn_qfl'),),
        equal_weight=0.5,
        head='GFLHead',
    ),
    'heads-rtmdet': _table(
        'RTMDet, which divides the loss by the scores of its positives',
        (_own('rtmdet', 'quality focal loss', 'rtmdet_r18_fpn_qfl'),),
        equal_weight=1.3,
        head='RTMDetSepBNHead',
        ignore_avg_factor=True,
    ),
}
"""By name. The first row of each is what the others are compared with, seed by seed."""
