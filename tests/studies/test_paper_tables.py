"""The published tables: every row has a config, and the README beside the configs has them all."""

from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ghm_mmdet.cli.check_config import check_config
from studies.paper_tables import TABLES

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ROWS = [(name, row) for name, table in TABLES.items() for row in table.rows]
SL1 = 'SmoothL1Loss'
CE, OHEM, FOCAL = (('CrossEntropyLoss', None), ('OHEMLoss', None), ('FocalLoss', None))
# Row -> type and M of the classification loss, type of the box loss.
LOSSES = {
    **{('regions', f'm{bins}'): ('GHMCLoss', bins, SL1) for bins in (5, 10, 20, 30, 40)},
    ('classification', 'ce'): (*CE, SL1),
    ('classification', 'ohem'): (*OHEM, SL1),
    ('classification', 'focal'): (*FOCAL, SL1),
    ('classification', 'ghmc'): ('GHMCLoss', 30, SL1),
    ('regression', 'sl1'): ('GHMCLoss', 30, SL1),
    ('regression', 'asl1'): ('GHMCLoss', 30, 'AuthenticSmoothL1Loss'),
    ('regression', 'ghmr'): ('GHMCLoss', 30, 'GHMRLoss'),
    ('two-stage', 'sl1'): (*CE, SL1),
    ('two-stage', 'ghmr'): (*CE, 'GHMRLoss'),
    ('density', 'ce'): (*CE, SL1),
    ('density', 'exact'): ('GHMCLoss', None, SL1),
    ('density', 'unit-region'): ('GHMCLoss', 30, SL1),
    ('test-dev', 'focal'): (*FOCAL, SL1),
    ('test-dev', 'ghm'): ('GHMCLoss', 30, 'GHMRLoss'),
    ('released', 'focal'): (*FOCAL, SL1),
    ('released', 'ghmc'): ('GHMCLoss', 30, SL1),
    ('released', 'ghm'): ('GHMCLoss', 30, 'GHMRLoss'),
    **{('model-zoo', row.name): ('GHMCLoss', 30, 'GHMRLoss') for row in TABLES['model-zoo'].rows},
}
BACKBONES = {
    ('classification', 'ohem'): ('ResNet', 101, None),
    ('test-dev', 'focal'): ('ResNeXt', 101, 8),
    ('test-dev', 'ghm'): ('ResNeXt', 101, 8),
    ('model-zoo', 'r101'): ('ResNet', 101, None),
    ('model-zoo', 'x101-32x4d'): ('ResNeXt', 101, 4),
    ('model-zoo', 'x101-64x4d'): ('ResNeXt', 101, 4),
}


@pytest.mark.parametrize(('table', 'row'), ROWS, ids=lambda each: getattr(each, 'name', each))
def test_row_trains_with_what_it_says(table, row):
    cfg = Config.fromfile(CONFIGS / row.config)
    check_config(cfg, ('train', 'val'))
    init_default_scope('mmdet')
    head = cfg.model.get('bbox_head') or cfg.model.roi_head.bbox_head
    classification, boxes = (MODELS.build(head[name]) for name in ('loss_cls', 'loss_bbox'))
    exact = head.loss_cls.get('density') == 'exact'
    assert exact is ((table, row.name) == ('density', 'exact'))
    is_ghm = type(classification).__name__ == 'GHMCLoss' and not exact
    regions = len(classification.density.edges) - 1 if is_ghm else None
    found = (type(classification).__name__, regions, type(boxes).__name__)
    assert found == LOSSES[table, row.name]
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.depth, backbone.get('base_width')) == BACKBONES.get(
        (table, row.name), ('ResNet', 50, None)
    )
    assert cfg.train_cfg.max_epochs == 12


def test_ohem_is_over_sigmoid_cross_entropy():
    row = TABLES['classification'].rows[1]
    loss = MODELS.build(Config.fromfile(CONFIGS / row.config).model.bbox_head.loss_cls)
    assert loss.use_sigmoid and loss.loss.use_sigmoid


def test_names_can_be_folders_and_are_unique():
    for name, table in TABLES.items():
        names = [row.name for row in table.rows]
        assert len(set(names)) == len(names)
        assert all(set(each) <= set('abcdefghijklmnopqrstuvwxyz0123456789-') for each in names)
        assert name == name.lower()


def test_readme_lists_every_row_with_its_number():
    lines = (CONFIGS / 'paper' / 'README.md').read_text().splitlines()
    listed, table = [], None
    for line in (line for line in lines if line.startswith('| ') and '.py)' in line):
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        table = cells[0].strip('`') or table
        path = cells[2].partition('](')[2].removesuffix(')')
        path = (CONFIGS / 'paper' / path).resolve().relative_to(CONFIGS.resolve()).as_posix()
        listed.append((table, cells[1].strip('`'), path, float(cells[3].split()[0])))
    assert listed == [(name, row.name, row.config, row.published.ap) for name, row in ROWS]
