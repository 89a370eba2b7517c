"""The studies' tables: their rows differ in the losses alone, and are written down."""

from copy import deepcopy
from pathlib import Path

import pytest

from ghm_mmdet.cli.check_config import check_config
from studies.study_tables import TABLES
from studies.table_runs import row_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ROWS = [(table, row) for table in TABLES.values() for row in table.rows]
READ = {}


def config(row):
    """A copy, to change, of what trains a row on BCCD; each row's is read once."""
    if id(row) not in READ:
        READ[id(row)] = row_config(row, 'bccd', CONFIGS)
    return deepcopy(READ[id(row)])


@pytest.mark.parametrize(('table', 'row'), ROWS, ids=lambda each: getattr(each, 'name', ''))
def test_rows_differ_in_the_losses_their_density_and_the_prior_alone(table, row):
    first, cfg = config(table.rows[0]), config(row)
    check_config(cfg, ('train', 'val'))
    heads = [each.model.bbox_head for each in (first, cfg)]
    for head in heads:
        for part in ('loss_cls', 'loss_bbox', 'init_cfg'):
            head.pop(part, None)
        head.type = head.type.replace('GHMRetinaHead', 'RetinaHead')
    for each in (first, cfg):
        each.pop('custom_imports', None)
    assert first.to_dict() == cfg.to_dict()


@pytest.mark.parametrize(('table', 'row'), ROWS, ids=lambda each: getattr(each, 'name', ''))
def test_the_readme_beside_the_config_has_it(table, row):
    path = CONFIGS / row.config
    assert f'({path.name})' in (path.parent / 'README.md').read_text()


@pytest.mark.parametrize('table', TABLES.values(), ids=list(TABLES))
def test_no_two_rows_are_the_same(table):
    heads = [config(row).model.bbox_head.to_dict() for row in table.rows]
    assert all(heads.count(head) == 1 for head in heads)
