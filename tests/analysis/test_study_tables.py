"""The studies' tables: their rows differ in the classification loss alone, and are written down."""

from pathlib import Path

import pytest
from mmengine.config import Config

from ghm_mmdet.analysis.study_tables import TABLES
from ghm_mmdet.engine.check_config import check_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ROWS = [(table, row) for table in TABLES.values() for row in table.rows]


@pytest.mark.parametrize(('table', 'row'), ROWS, ids=lambda each: getattr(each, 'name', ''))
def test_rows_differ_in_the_loss_and_its_density_alone(table, row):
    first, cfg = (Config.fromfile(CONFIGS / each.config) for each in (table.rows[0], row))
    check_config(cfg, ('train', 'val'))
    heads = [each.model.bbox_head for each in (first, cfg)]
    for head in heads:
        head.pop('loss_cls')
        head.type = head.type.replace('GHMRetinaHead', 'RetinaHead')
    for each in (first, cfg):
        each.pop('custom_imports', None)
    assert first.to_dict() == cfg.to_dict()


@pytest.mark.parametrize(('table', 'row'), ROWS, ids=lambda each: getattr(each, 'name', ''))
def test_the_readme_beside_the_config_has_it(table, row):
    path = CONFIGS / row.config
    assert f'({path.name})' in (path.parent / 'README.md').read_text()


@pytest.mark.parametrize('table', TABLES.values(), ids=list(TABLES))
def test_names_are_unique(table):
    assert len({row.name for row in table.rows}) == len(table.rows)
