"""The published tables: every row has a config, and the README beside the configs has them all."""

import re
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from ghm_mmdet.cli.check_config import check_config
from studies.paper_tables import TABLES
from studies.table_plan import TABLES as ALL_TABLES

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ROWS = [(name, row) for name, table in TABLES.items() for row in table.rows]


@pytest.mark.parametrize('config', sorted({row.config for _, row in ROWS}))
def test_rows_pass_the_checks_and_train_for_twelve_epochs(config):
    cfg = Config.fromfile(CONFIGS / config)
    check_config(cfg, ('train', 'val'))
    assert cfg.train_cfg.max_epochs == 12


def test_ohem_is_over_sigmoid_cross_entropy():
    row = TABLES['classification'].rows[1]
    loss = MODELS.build(Config.fromfile(CONFIGS / row.config).model.bbox_head.loss_cls)
    assert loss.use_sigmoid and loss.loss.use_sigmoid


def test_names_can_be_folders_and_are_unique():
    for name, table in ALL_TABLES.items():
        names = [row.name for row in table.rows]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r'[a-z0-9]+([.-][a-z0-9]+)*', each) for each in names)
        assert name == name.lower()


def test_readme_lists_every_row_with_its_number():
    lines = (CONFIGS / 'paper' / 'README.md').read_text().splitlines()
    listed, table = [], None
    for line in (line for line in lines if line.startswith('| ') and '.py)' in line):
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        table = cells[0].strip('`') or table
        path = cells[2].partition('](')[2].rstrip(')')
        path = (CONFIGS / 'paper' / path).resolve().relative_to(CONFIGS.resolve()).as_posix()
        listed.append((table, cells[1].strip('`'), path, float(cells[3].split()[0])))
    assert listed == [(name, row.name, row.config, row.published.ap) for name, row in ROWS]
