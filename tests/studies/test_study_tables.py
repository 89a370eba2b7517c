"""The studies' tables: their rows differ in the losses alone, and are written down."""

from copy import deepcopy
from pathlib import Path

import pytest

from ghm_mmdet.cli.check_config import check_config
from studies.fine_tuning_tables import TABLES as FINE_TUNING_TABLES
from studies.head_tables import TABLES as HEAD_TABLES
from studies.study_tables import FOCAL
from studies.study_tables import TABLES as STUDY_TABLES
from studies.table_runs import row_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TABLES = {**STUDY_TABLES, **FINE_TUNING_TABLES, **HEAD_TABLES}
ROWS = [(table, row) for table in TABLES.values() for row in table.rows]
LITE_NECK = row_config(FOCAL, 'bccd-pretrained', CONFIGS).model.neck
READ = {}


def config(row):
    """A copy, to change, of what trains a row on BCCD; each row's is read once."""
    if id(row) not in READ:
        READ[id(row)] = row_config(row, 'bccd', CONFIGS)
    return deepcopy(READ[id(row)])


@pytest.mark.parametrize(('table', 'row'), ROWS, ids=lambda each: getattr(each, 'name', ''))
def test_rows_differ_in_the_losses_their_density_the_prior_and_the_rate_alone(table, row):
    first, cfg = config(table.rows[0]), config(row)
    check_config(cfg, ('train', 'val'))
    heads = [each.model.bbox_head for each in (first, cfg)]
    for head in heads:
        for part in ('loss_cls', 'loss_bbox', 'init_cfg'):
            head.pop(part, None)
        # one density over the pyramid
        if head.type == 'WholePyramidHead':
            head.type = head.pop('head')
            head.pop('ignore_avg_factor', None)
        for name in ('GHMRetinaHead', 'PISARetinaHead', 'QualityRetinaHead'):
            head.type = head.type.replace(name, 'RetinaHead')
    # what two of the rivals are, beside their losses: Libra's pyramid, and PISA's sampling
    if row.name == 'libra':
        assert cfg.model.neck[0] == LITE_NECK
        cfg.model.neck = first.model.neck
    for part in ('isr', 'carl') if row.name == 'pisa' else ():
        cfg.model.train_cfg.pop(part)
    if row.name == 'ghmc-falling':
        assert [hook.type for hook in cfg.pop('custom_hooks')] == ['LossWeightDecay']
    for each in (first, cfg):
        each.pop('custom_imports', None)
        each.optim_wrapper.optimizer.pop('lr')
    assert first.to_dict() == cfg.to_dict()


@pytest.mark.parametrize(('table', 'row'), ROWS, ids=lambda each: getattr(each, 'name', ''))
def test_the_readme_beside_the_config_has_it(table, row):
    path = CONFIGS / row.config
    assert f'({path.name})' in (path.parent / 'README.md').read_text()


@pytest.mark.parametrize('table', TABLES.values(), ids=list(TABLES))
def test_no_two_rows_are_the_same(table):
    settings = [
        (cfg.model.bbox_head, cfg.optim_wrapper, cfg.get('custom_hooks'))
        for cfg in map(config, table.rows)
    ]
    assert all(settings.count(each) == 1 for each in settings)
