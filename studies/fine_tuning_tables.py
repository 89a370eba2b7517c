"""The tables of the fine-tuning study, on data whose name ends in ``-pretrained``.

docs/studies/fine-tuning.md has the protocol, the commands and the results.
"""

from __future__ import annotations

from studies.study_tables import FOCAL, NO_PRIOR, SMALL_DATA, TUNED_FOCAL, cause, variant
from studies.tables import Row, Table


def _at_rate(of: Row, rate: float) -> Row:
    changes = {**of.changes, 'optim_wrapper.optimizer.lr': rate}
    return Row(f'{of.name}-lr{rate:g}', f'learning rate {rate:g}', of.config, changes=changes)


FINE_TUNED = cause('ghmc', "GHM-C, balance='small-data', loss weight 1", loss_weight=1.0)
FINE_TUNED_FOCAL = variant(FOCAL, 'focal', 'focal loss (gamma 1)', **TUNED_FOCAL)
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
            _at_rate(SMALL_DATA_PRIOR, 1e-3),
        ),
    ),
    'fine-tuning': Table(
        'Fine-tuning from ImageNet weights, with L1 boxes',
        (
            FINE_TUNED_FOCAL,
            variant(FOCAL, 'focal-gamma2', "focal loss (gamma 2, MMDetection's default)"),
            FINE_TUNED,
            variant(
                FINE_TUNED, 'ghmc-no-prior', 'the same, scores start at 0.5', init_cfg=NO_PRIOR
            ),
            variant(
                SMALL_DATA,
                'ghmc-scratch',
                'the settings for training from scratch',
                init_cfg=NO_PRIOR,
            ),
        ),
        paired=True,
    ),
}
"""By name. The first row of each is what the others are compared with, seed by seed."""
