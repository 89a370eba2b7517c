"""The tables of the studies on a few hundred images.

They have no published numbers. The schedule is that of the data set's base config unless
``--cfg-options`` says otherwise; docs/studies/from-scratch.md has the protocol and the commands.
"""

from __future__ import annotations

from studies.tables import Row, Table


def _bccd(change: str) -> str:
    return f'bccd/retinanet_r18_fpn_{change}-6e_bccd.py'


def variant(of: Row, name: str, label: str, **changes: object) -> Row:
    """A row that differs from another in settings of its head, ``part__setting=value``."""
    settings = {f'model.bbox_head.{key.replace("__", ".")}': each for key, each in changes.items()}
    return Row(name, label, of.config, changes={**of.changes, **settings})


FOCAL = Row('focal', 'focal loss, L1', _bccd('focal'))
GHM_C = Row('ghmc', 'GHM-C (equal weight), L1', _bccd('ghmc-pyramid'))
EQUAL_GRADIENT = Row('equal-gradient', 'GHM-C, equal gradient, L1', _bccd('ghmc-equal-gradient'))
TEMPERED_GRADIENT = Row(
    'tempered-gradient',
    'GHM-C, equal gradient, tempering 0.75, L1',
    _bccd('ghmc-tempered-gradient'),
)
SMALL_DATA = Row('small-data', 'the same, outliers kept, L1', _bccd('ghmc-small-data'))
OHEM = Row('ohem', 'OHEM, smooth L1', 'paper/retinanet_r101_fpn_ohem-smooth-l1-1x_coco.py')
L1 = dict(loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0))
SMOOTH_L1 = dict(loss_bbox__type='SmoothL1Loss', loss_bbox__beta=1 / 9, loss_bbox__loss_weight=1.0)
TUNED_FOCAL = dict(loss_cls__gamma=1.0)
NO_PRIOR = dict(
    type='Normal',
    layer='Conv2d',
    std=0.01,
    override=dict(type='Normal', name='retina_cls', std=0.01, bias_prob=0.5),
)
FROM_HALF = variant(SMALL_DATA, 'equal', 'no class weights', init_cfg=NO_PRIOR)


def cause(name: str, label: str, **changes: object) -> Row:
    """A row that differs from the chosen settings in arguments of GHM-C."""
    settings = {f'loss_cls__{key}': each for key, each in changes.items()}
    return variant(SMALL_DATA, name, label, **settings)


def _ghm_r(**settings: object) -> dict[str, object]:
    loss = dict(_delete_=True, type='GHMRLoss', bins=10, momentum=0.7)
    return dict(loss_bbox={**loss, **settings})


def _equal_ghm_r(mu: float) -> dict[str, object]:
    return _ghm_r(mu=mu, balance='gradient', loss_weight=10.0)


TABLES = {
    'small-data': Table(
        'Classification loss on a few hundred images, with L1 boxes',
        (
            FOCAL,
            Row('ce', 'cross entropy, L1', _bccd('ce')),
            variant(OHEM, 'ohem', 'OHEM, three negatives a positive, L1', **L1),
            GHM_C,
            Row('tempered', 'GHM-C, tempering 0.75, L1', _bccd('ghmc-tempered')),
            EQUAL_GRADIENT,
            TEMPERED_GRADIENT,
            SMALL_DATA,
        ),
        paired=True,
    ),
    'small-data-causes': Table(
        'What makes the difference: one setting changed at a time, with L1 boxes',
        (
            variant(
                SMALL_DATA,
                'chosen',
                'equal gradient, tempering 0.75, outliers kept, loss weight 0.25',
            ),
            cause('damped', 'outliers damped', balance__outliers='damp'),
            cause('untempered', 'no tempering', balance__tempering=1.0),
            cause('half-tempered', 'tempering 0.5', balance__tempering=0.5),
            cause('equal-weight', 'equal weight', balance__equal='weight'),
            cause('weight1', 'loss weight 1', loss_weight=1.0),
            cause('m10', 'M = 10', bins=10),
            cause('no-average', 'momentum 0', momentum=0),
            cause('long-average', 'momentum 0.95', momentum=0.95, bias_correction=True),
            cause(
                'paper-average',
                'the average decays and is corrected for its start',
                density='paper',
                bias_correction=True,
            ),
            variant(SMALL_DATA, 'levels', 'a density per level', type='RetinaHead'),
            variant(SMALL_DATA, 'no-prior', 'bias of p = 0.5', init_cfg=NO_PRIOR),
            variant(GHM_C, 'ghmc', 'GHM-C as published'),
            variant(FOCAL, 'focal', 'focal loss (gamma 1)', **TUNED_FOCAL),
        ),
        paired=True,
    ),
    'small-data-classes': Table(
        'Weights for rare classes, with L1 boxes and scores that start at 0.5',
        (
            FROM_HALF,
            variant(FROM_HALF, 'auto', "class_weight='auto'", loss_cls__class_weight='auto'),
            variant(
                FROM_HALF,
                'auto1',
                'class_weight=dict(auto=1.0)',
                loss_cls__class_weight=dict(auto=1.0),
            ),
            variant(FOCAL, 'focal', 'focal loss (gamma 1)', **TUNED_FOCAL),
        ),
        paired=True,
    ),
    'small-data-focal': Table(
        "Focal loss's own settings, with L1 boxes",
        (
            FOCAL,
            *(
                variant(
                    FOCAL,
                    f'gamma{gamma:g}-alpha{alpha:g}',
                    f'gamma {gamma:g}, alpha {alpha:g}',
                    loss_cls__gamma=gamma,
                    loss_cls__alpha=alpha,
                )
                for gamma, alpha in ((1.0, 0.25), (1.0, 0.5), (0.5, 0.5), (2.0, 0.5))
            ),
            variant(FOCAL, 'weight2', 'loss weight 2', loss_cls__loss_weight=2.0),
            variant(FOCAL, 'weight0.5', 'loss weight 0.5', loss_cls__loss_weight=0.5),
        ),
        paired=True,
    ),
    'small-data-boxes': Table(
        'Box loss on a few hundred images, with GHM-C of equal gradient',
        (
            EQUAL_GRADIENT,
            variant(EQUAL_GRADIENT, 'smooth-l1', 'smooth L1', **SMOOTH_L1),
            variant(EQUAL_GRADIENT, 'ghmr', 'GHM-R, mu 0.02', **_ghm_r(mu=0.02, loss_weight=10.0)),
            variant(
                EQUAL_GRADIENT, 'ghmr-mu0.1', 'GHM-R, mu 0.1', **_ghm_r(mu=0.1, loss_weight=10.0)
            ),
            *(
                variant(
                    EQUAL_GRADIENT,
                    f'ghmr-gradient-mu{mu:g}',
                    f'GHM-R, mu {mu:g}, equal gradient',
                    **_equal_ghm_r(mu),
                )
                for mu in (0.02, 0.05, 0.1)
            ),
        ),
        paired=True,
    ),
    'small-data-mmdet': Table(
        "The published settings with MMDetection's own classes and with these",
        (
            Row('mmdet-ghm', 'GHMC and GHMR of MMDetection', _bccd('mmdet-ghm')),
            Row('ghm', 'GHMCLoss and GHMRLoss', _bccd('ghm')),
            Row('ghm-pyramid', 'the same, one density over the pyramid', _bccd('ghm-pyramid')),
            Row('focal', 'focal loss as published, L1', _bccd('focal')),
        ),
        paired=True,
    ),
    'small-data-final': Table(
        'What was chosen, against focal loss at its best',
        (
            variant(FOCAL, 'focal', 'focal loss (gamma 1), L1', **TUNED_FOCAL),
            variant(
                FOCAL,
                'focal-smooth-l1',
                'focal loss (gamma 1), smooth L1',
                **TUNED_FOCAL,
                **SMOOTH_L1,
            ),
            variant(
                SMALL_DATA, 'ghmc', 'GHM-C (equal gradient, tempering 0.75, outliers kept), L1'
            ),
            variant(TEMPERED_GRADIENT, 'ghmc-damped', 'the same, outliers damped'),
            variant(SMALL_DATA, 'ghmc-no-prior', 'ghmc with a bias of p = 0.5', init_cfg=NO_PRIOR),
            variant(
                SMALL_DATA,
                'ghm',
                "the same as ghmc, GHM-R (equal gradient, tempering 0.75) with mu='median'",
                **_ghm_r(
                    mu='median',
                    balance=dict(equal='gradient', tempering=0.75),
                    loss_weight=10.0,
                ),
            ),
        ),
        paired=True,
    ),
}
"""By name. The first row of each is what the others are compared with, seed by seed."""
