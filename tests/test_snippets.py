"""Configs that the pages print: they do what they say in an environment that `make setup` makes."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ghm_mmdet.cli import train as train_tool
from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.cli.config import set_reliable_hooks
from tests.configs_compared import without_scope
from tests.processes import REPOSITORY

SMALL_DATA = REPOSITORY / 'configs' / 'ghm' / 'retinanet_r50_fpn_ghmc-small-data.py'


def snippet(page, heading):
    """The first block of Python below a heading."""
    text = (REPOSITORY / page).read_text().partition(f'## {heading}\n')[2]
    return re.search(r'```python\n(.*?)```', text, re.DOTALL)[1]


@pytest.fixture
def stock(tmp_path):
    """MMDetection's own RetinaNet with a snippet put over it."""

    def put(text):
        path = tmp_path / 'mine.py'
        path.write_text(f"_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n{text}")
        return Config.fromfile(path)

    return put


def test_small_data_in_a_stock_config_is_the_shipped_config(stock):
    cfg = stock(snippet('README.md', 'A few hundred images of your own'))
    check_config(cfg, ('train', 'val'))
    shipped = Config.fromfile(SMALL_DATA)
    assert cfg.optim_wrapper.optimizer == shipped.optim_wrapper.optimizer
    for key in ('loss_cls', 'loss_bbox', 'init_cfg', 'type'):
        assert cfg.model.bbox_head[key] == shipped.model.bbox_head[key]


def test_the_published_settings_in_a_stock_config(stock):
    cfg = stock(snippet('README.md', 'Use it in your config'))
    check_config(cfg, ('train', 'val'))
    shipped = Config.fromfile(REPOSITORY / 'configs/ghm/retinanet_r50_fpn_ghm-1x_coco.py')
    for key in ('loss_cls', 'loss_bbox'):
        assert {'loss_weight': 1.0, **cfg.model.bbox_head[key]} == shipped.model.bbox_head[key]
    assert cfg.optim_wrapper == shipped.optim_wrapper


def test_reliable_hooks_are_inherited_or_written_out(stock, tmp_path):
    page = 'docs/reliability.md'
    inheriting = tmp_path / 'inheriting.py'
    inheriting.write_text(snippet(page, 'In a config of your own'))
    written_out = stock(snippet(page, "With MMDetection's own script"))
    inherited = without_scope(Config.fromfile(inheriting).default_hooks.to_dict())
    assert inherited == without_scope(written_out.default_hooks.to_dict())
    before = written_out.to_dict()
    set_reliable_hooks(written_out)
    assert written_out.to_dict() == before


def test_data_of_ones_own_as_printed(coco_folder, tmp_path, monkeypatch):
    (tmp_path / 'home').mkdir()
    monkeypatch.chdir(tmp_path / 'home')
    names = ('first', 'second', 'third')
    Path('my_data.py').write_text(snippet('docs/settings.md', 'On a data set of your own'))
    shutil.move(coco_folder, 'data/mine')
    for path in Path('data/mine/annotations').iterdir():
        content = json.loads(path.read_text())
        for category, name in zip(content['categories'], names, strict=True):
            category['name'] = name
        path.write_text(json.dumps(content))
    init_default_scope('mmdet')
    trained_on_coco = Config.fromfile(SMALL_DATA).model
    model = MODELS.build(trained_on_coco)
    torch.save(dict(state_dict=model.state_dict()), 'retinanet_r50_coco.pth')

    cfg = train_tool.prepare(train_tool._parser().parse_args(['my_data.py']))
    cfg.log_level = 'ERROR'
    runner = Runner.from_cfg(cfg)
    runner._init_model_weights()
    runner.load_or_resume()
    loaded, name = runner.model.state_dict(), 'backbone.layer4.2.conv3.weight'
    assert torch.equal(loaded[name], model.state_dict()[name])
    assert loaded['bbox_head.retina_cls.weight'].shape[0] == 9 * len(names)
