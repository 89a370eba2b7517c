"""The tables of the fine-tuning study, on data whose name ends in ``-pretrained``.

docs/studies/fine-tuning.md has the protocol, the commands and the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from studies.anchor_eqlv2 import AnchorEQLV2Loss
from studies.class_density import ClassDensityGHMC
from studies.class_weighted_focal import ClassWeightedFocalLoss
from studies.loss_weight_decay import LossWeightDecay
from studies.quality_head import QualityRetinaHead
from studies.study_tables import FOCAL, L1, NO_PRIOR, OHEM, SMALL_DATA, TUNED_FOCAL, cause, variant
from studies.tables import Row, Table

MMDET_GHMC = dict(
    _delete_=True, type='GHMC', use_sigmoid=True, bins=30, momentum=0.75, loss_weight=1.0
)
BALANCED_L1 = dict(
    _delete_=True, type='BalancedL1Loss', alpha=0.5, gamma=1.5, beta=0.11, loss_weight=1.0
)
BALANCED_PYRAMID = dict(
    type='BFP', in_channels=96, num_levels=5, refine_level=1, refine_type='non_local'
)
PYRAMID = dict(
    type='FPN',
    in_channels=[40, 112, 320],
    out_channels=96,
    start_level=0,
    add_extra_convs='on_input',
    num_outs=5,
)


def _changed(of: Row, changes: Mapping[str, object], **names: str) -> Row:
    """A row that differs from another in settings beside those of its head."""
    return replace(of, changes={**of.changes, **changes}, **names)


def _at_rate(of: Row, rate: float) -> Row:
    names = dict(name=f'{of.name}-lr{rate:g}', label=f'learning rate {rate:g}')
    return _changed(of, {'optim_wrapper.optimizer.lr': rate}, **names)


def _importing(module: str, of: Row) -> Row:
    imports = ['ghm_mmdet', 'studies.bfloat16', 'studies.efficientnet_lite', module]
    return _changed(of, {'custom_imports.imports': imports})


FINE_TUNED = cause('ghmc', "GHM-C, balance='small-data', loss weight 1", loss_weight=1.0)
LOWER_WEIGHT = variant(
    FINE_TUNED, 'ghmc-weight0.25', 'GHM-C, loss weight 0.25', loss_cls__loss_weight=0.25
)
FINE_TUNED_FOCAL = variant(FOCAL, 'focal', 'focal loss (gamma 1)', **TUNED_FOCAL)
BCCD_WEIGHTS = [0.738, 2.462, 2.491]  # of 'auto' for 2,382, 214 and 209 objects
CLASS_DENSITY = _importing(
    'studies.class_density',
    variant(
        FINE_TUNED,
        'class-density',
        "a density for each of BCCD's three classes",
        loss_cls__type=ClassDensityGHMC.__name__,
        loss_cls__num_classes=3,
    ),
)
FOCAL_CLASSES = _importing(
    'studies.class_weighted_focal',
    variant(
        FINE_TUNED_FOCAL,
        'focal-classes',
        "focal loss (gamma 1) with the class weights that 'auto' has on BCCD",
        loss_cls__type=ClassWeightedFocalLoss.__name__,
        loss_cls__class_weight=BCCD_WEIGHTS,
    ),
)
FALLING_WEIGHT = _importing(
    'studies.loss_weight_decay',
    _changed(
        FINE_TUNED,
        {'custom_hooks': [dict(type=LossWeightDecay.__name__, last=0.1)]},
        name='ghmc-falling',
        label='GHM-C, loss weight from 1 to 0.1',
    ),
)
GAMMA = variant(FINE_TUNED, 'ghmc-gamma1', 'GHM-C, gamma 1', loss_cls__gamma=1.0)
GAMMA_2 = variant(FINE_TUNED, 'ghmc-gamma2', 'GHM-C, gamma 2', loss_cls__gamma=2.0)
GAMMA_2_TWICE = variant(
    GAMMA_2, 'ghmc-gamma2-weight2', 'GHM-C, gamma 2, loss weight 2', loss_cls__loss_weight=2.0
)
LOWEST_WEIGHT = variant(
    FINE_TUNED, 'ghmc-weight0.1', 'GHM-C, loss weight 0.1', loss_cls__loss_weight=0.1
)
WITH_CLASS_WEIGHTS = variant(
    LOWER_WEIGHT,
    'ghmc-classes-weight0.25',
    "GHM-C with class_weight='auto', loss weight 0.25",
    loss_cls__class_weight='auto',
)
GAMMA_CLASSES = variant(
    GAMMA,
    'ghmc-classes-gamma1',
    "GHM-C with class_weight='auto', gamma 1",
    loss_cls__class_weight='auto',
)
CROSS_ENTROPY_CLASSES = variant(
    FOCAL,
    'ce-classes',
    'cross entropy with the same class weights',
    loss_cls=dict(
        _delete_=True, type='CrossEntropyLoss', use_sigmoid=True, class_weight=BCCD_WEIGHTS
    ),
)
EQLV2 = _importing(
    'studies.anchor_eqlv2',
    variant(
        FOCAL,
        'eqlv2',
        'EQLv2',
        loss_cls=dict(
            _delete_=True, type=AnchorEQLV2Loss.__name__, use_sigmoid=True, num_classes=3
        ),
    ),
)


def _quality(name: str, label: str, loss: str) -> Row:
    settings = dict(_delete_=True, type=loss, use_sigmoid=True)
    row = variant(FOCAL, name, label, type=QualityRetinaHead.__name__, loss_cls=settings)
    return _importing('studies.quality_head', row)


FINE_TUNED_OHEM = variant(OHEM, 'ohem', 'OHEM, three negatives a positive', **L1)
COMPARED = (FINE_TUNED_FOCAL, FINE_TUNED, FINE_TUNED_OHEM)
RIVALS = (
    FINE_TUNED_OHEM,
    variant(FOCAL, 'mmdet-ghmc', "MMDetection's GHMC as published", loss_cls=MMDET_GHMC),
    Row(
        'pisa',
        'PISA: focal loss (gamma 1), ISR and CARL',
        FOCAL.config,
        changes={
            **FINE_TUNED_FOCAL.changes,
            'model.bbox_head.type': 'PISARetinaHead',
            'model.train_cfg.isr': dict(k=2.0, bias=0.0),
            'model.train_cfg.carl': dict(k=1.0, bias=0.2),
        },
    ),
    Row(
        'libra',
        'Libra: focal loss (gamma 1), balanced pyramid, balanced L1',
        FOCAL.config,
        changes={
            **FINE_TUNED_FOCAL.changes,
            'model.neck': [PYRAMID, BALANCED_PYRAMID],
            'model.bbox_head.loss_bbox': BALANCED_L1,
        },
    ),
    _quality('qfl', 'quality focal loss', 'QualityFocalLoss'),
    _quality('vfl', 'varifocal loss', 'VarifocalLoss'),
)


def _schedule(epochs: int, drop: int, validate_every: int) -> dict[str, object]:
    """The base config's schedule in another number of epochs."""
    return {
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': validate_every,
        'param_scheduler': [
            dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
            dict(
                type='MultiStepLR',
                begin=0,
                end=epochs,
                by_epoch=True,
                milestones=[drop],
                gamma=0.1,
            ),
        ],
    }


SMALL_DATA_PRIOR = variant(SMALL_DATA, 'ghmc', "GHM-C, balance='small-data', scores start at 0.01")

TABLES = {
    'fine-tuning-settings': Table(
        'The settings of both losses, tried on one seed that nothing else uses',
        (
            FINE_TUNED_FOCAL,
            variant(FOCAL, 'focal-gamma2', 'focal loss, gamma 2'),
            variant(FINE_TUNED_FOCAL, 'focal-weight2', 'loss weight 2', loss_cls__loss_weight=2.0),
            variant(FOCAL, 'focal-gamma0.5', 'focal loss, gamma 0.5', loss_cls__gamma=0.5),
            _at_rate(FINE_TUNED_FOCAL, 1e-3),
            SMALL_DATA_PRIOR,
            variant(SMALL_DATA, 'ghmc-no-prior', 'scores start at 0.5', init_cfg=NO_PRIOR),
            cause('ghmc-weight0.5', 'loss weight 0.5', loss_weight=0.5),
            cause('ghmc-weight1', 'loss weight 1', loss_weight=1.0),
            cause('ghmc-weight2', 'loss weight 2', loss_weight=2.0),
            _at_rate(SMALL_DATA_PRIOR, 1e-3),
        ),
    ),
    'fine-tuning': Table(
        'Fine-tuning from ImageNet weights, with L1 boxes',
        (
            FINE_TUNED_FOCAL,
            variant(FOCAL, 'focal-gamma2', "focal loss (gamma 2, MMDetection's default)"),
            FINE_TUNED,
            LOWER_WEIGHT,
            LOWEST_WEIGHT,
            FALLING_WEIGHT,
            GAMMA,
            GAMMA_2,
            GAMMA_2_TWICE,
            variant(
                FINE_TUNED,
                'ghmc-no-prior',
                'GHM-C, loss weight 1, scores start at 0.5',
                init_cfg=NO_PRIOR,
            ),
            variant(
                SMALL_DATA,
                'ghmc-scratch',
                'the settings for training from scratch',
                init_cfg=NO_PRIOR,
            ),
            *RIVALS,
            variant(
                FINE_TUNED,
                'ghmc-classes',
                "GHM-C with class_weight='auto'",
                loss_cls__class_weight='auto',
            ),
            WITH_CLASS_WEIGHTS,
            GAMMA_CLASSES,
            CLASS_DENSITY,
            FOCAL_CLASSES,
            CROSS_ENTROPY_CLASSES,
            EQLV2,
        ),
        paired=True,
    ),
    'fine-tuning-short': Table(
        'The same in 4 epochs, with a drop of the learning rate after 3',
        tuple(_changed(each, _schedule(4, 3, 2)) for each in (*COMPARED, LOWER_WEIGHT)),
        paired=True,
    ),
    'fine-tuning-20e': Table(
        'The same in 20 epochs, with a drop of the learning rate after 16',
        tuple(
            _changed(each, _schedule(20, 16, 4))
            for each in (
                *COMPARED,
                LOWER_WEIGHT,
                LOWEST_WEIGHT,
                FALLING_WEIGHT,
                GAMMA,
                GAMMA_CLASSES,
                FOCAL_CLASSES,
            )
        ),
        paired=True,
    ),
}
"""By name. The first row of each is what the others are compared with, seed by seed."""
