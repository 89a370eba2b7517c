"""Code that the pages print: it does what they say in an environment that `make setup` makes."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from ghm_mmdet.cli import train as train_tool
from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.cli.config import set_reliable_hooks
from ghm_mmdet.functional import ghm_c
from ghm_mmdet.losses import OHEMLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.balance import build_balance
from ghm_mmdet.method.density import UnitRegionDensity
from ghm_mmdet.ops import backends
from tests.configs_compared import without_scope
from tests.processes import REPOSITORY

SMALL_DATA = REPOSITORY / 'configs' / 'ghm' / 'retinanet_r50_fpn_ghmc-small-data.py'


def snippets(page):
    """The blocks of Python of a page, or of a part of one."""
    return re.findall(r'```python\n(.*?)```', page, re.DOTALL)


def read(page):
    return (REPOSITORY / page).read_text()


def snippet(page, heading, place=0):
    """A block of Python below a heading, by default the first."""
    return snippets(read(page).partition(f'## {heading}\n')[2])[place]


def config_over(base, text, folder):
    """A config that inherits from another, with a snippet put over it."""
    path = folder / 'mine.py'
    path.write_text(f"_base_ = '{base}'\n{text}")
    return Config.fromfile(path)


@pytest.fixture
def stock(tmp_path):
    """MMDetection's own RetinaNet with a snippet put over it."""
    base = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
    return lambda text: config_over(base, text, tmp_path)


def test_small_data_in_a_stock_config_is_the_shipped_config(stock):
    cfg = stock(snippet('docs/settings.md', 'The rule'))
    check_config(cfg, ('train', 'val'))
    shipped = Config.fromfile(SMALL_DATA)
    assert cfg.optim_wrapper.optimizer == shipped.optim_wrapper.optimizer
    assert cfg.model.bbox_head.type == shipped.model.bbox_head.type
    assert cfg.model.bbox_head.loss_bbox == shipped.model.bbox_head.loss_bbox
    printed, loss = (each.model.bbox_head.loss_cls.to_dict() for each in (cfg, shipped))
    density = UnitRegionDensity(30)
    ours, theirs = (build_balance(each.pop('balance'), density) for each in (printed, loss))
    assert ours == theirs
    assert printed == loss


def test_the_published_settings_in_a_stock_config(stock):
    cfg = stock(snippet('docs/settings.md', 'The published settings'))
    check_config(cfg, ('train', 'val'))
    shipped = Config.fromfile(REPOSITORY / 'configs/ghm/retinanet_r50_fpn_ghm-1x_coco.py')
    for key in ('loss_cls', 'loss_bbox'):
        assert {'loss_weight': 1.0, **cfg.model.bbox_head[key]} == shipped.model.bbox_head[key]
    assert cfg.optim_wrapper == shipped.optim_wrapper


def test_the_first_config_of_the_readme_has_the_shipped_recipe(tmp_path):
    (tmp_path / 'mine.py').write_text(snippet('README.md', 'Use it'))
    cfg = Config.fromfile(tmp_path / 'mine.py')
    check_config(cfg, ('train', 'val'))
    shipped = Config.fromfile(SMALL_DATA).model
    assert without_scope(cfg.model.bbox_head.to_dict()) == without_scope(
        dict(shipped.bbox_head.to_dict(), num_classes=6)
    )


def test_scores_that_start_at_one_half(stock):
    cfg = stock(snippet('docs/settings.md', 'The rule', place=1))
    init_default_scope('mmdet')
    head = MODELS.build(cfg.model.bbox_head)
    head.init_weights()
    assert torch.equal(head.retina_cls.bias, torch.zeros_like(head.retina_cls.bias))


@pytest.fixture
def own_data(tmp_path):
    """The config for data of one's own with a snippet put over it."""
    return lambda text: config_over(f'ghm_mmdet::ghm/{SMALL_DATA.name}', text, tmp_path)


def test_class_weights_keep_the_other_settings(own_data):
    cfg = own_data(snippet('docs/settings.md', 'class_weight'))
    check_config(cfg, ('train', 'val'))
    loss = cfg.model.bbox_head.loss_cls
    assert MODELS.build(loss).class_weight.exponent == 0.5
    del loss['class_weight']
    assert loss == Config.fromfile(SMALL_DATA).model.bbox_head.loss_cls


def test_ohem_over_the_config_for_own_data(own_data):
    cfg = own_data(snippet('docs/settings.md', 'OHEM beside it'))
    check_config(cfg, ('train', 'val'))
    init_default_scope('mmdet')
    assert isinstance(MODELS.build(cfg.model.bbox_head).loss_cls, OHEMLoss)


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
    Path('my_data.py').write_text(snippet('docs/own-data.md', '4. The config'))
    shutil.move(coco_folder, 'data/mine')
    for path in Path('data/mine/annotations').iterdir():
        content = json.loads(path.read_text())
        for category, name in zip(content['categories'], names):
            category['name'] = name
        path.write_text(json.dumps(content))
    init_default_scope('mmdet')
    trained_on_coco = Config.fromfile(SMALL_DATA).model
    model = MODELS.build(trained_on_coco)
    name = re.search(r"load_from = '(.*)'", Path('my_data.py').read_text())[1]
    torch.save(dict(state_dict=model.state_dict()), name)

    cfg = train_tool.prepare(train_tool._parser().parse_args(['my_data.py']))
    cfg.log_level = 'ERROR'
    runner = Runner.from_cfg(cfg)
    runner._init_model_weights()
    runner.load_or_resume()
    loaded, name = runner.model.state_dict(), 'backbone.layer4.2.conv3.weight'
    assert torch.equal(loaded[name], model.state_dict()[name])
    assert loaded['bbox_head.retina_cls.weight'].shape[0] == 9 * len(names)


@pytest.fixture
def run_page(tmp_path, monkeypatch):
    """Does with a page's blocks what the page says, and undoes what the process keeps of it.

    A block that begins with the name of a file is written there, a config is returned, and the
    others are run, each by itself.
    """
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(backends, 'MODULES', dict(backends.MODULES))
    monkeypatch.setattr(MODELS, '_module_dict', dict(MODELS.module_dict))

    def run(page):
        blocks = snippets(read(page))
        files = {block.partition('.py\n')[0][2:]: block for block in blocks if block[0] == '#'}
        for name, block in files.items():
            (tmp_path / f'{name}.py').write_text(block)
        configs = [block for block in blocks if block.startswith('_base_')]
        scripts = [block for block in blocks if block not in (*files.values(), *configs)]
        for script in scripts:
            exec(compile(script, page, 'exec'), {})
        return configs

    yield run
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], '__file__', None)):
            del sys.modules[name]
    backends.load.cache_clear()


def test_functions_without_mmdetection():
    variables = {}
    exec(snippet('docs/losses.md', 'Without MMDetection'), variables)
    assert variables['loss'].isfinite() and variables['density'].moving_average.any()
    assert variables['logits'].grad.any() and variables['deltas'].grad.any()


def test_a_loss_of_ones_own(run_page, tmp_path):
    (config,) = run_page('docs/extending-criterion.md')
    path = tmp_path / 'squared.py'
    path.write_text(config)
    cfg = Config.fromfile(path)
    check_config(cfg, ('train', 'val'))
    init_default_scope('mmdet')
    head = MODELS.build({**cfg.model.bbox_head, 'train_cfg': cfg.model.train_cfg})
    assert isinstance(head.loss_cls, GHMLoss)
    torch.manual_seed(0)
    features = [torch.randn(1, 256, size, size) for size in (8, 4, 2, 1, 1)]
    objects = InstanceData(bboxes=torch.tensor([[8.0, 8.0, 40.0, 40.0]]), labels=torch.tensor([3]))
    metas = [dict(img_shape=(64, 64), pad_shape=(64, 64))]
    losses = head.loss_by_feat(*head(features), [objects], metas)
    losses['loss_cls'].backward()
    assert losses['loss_cls'].dim() == 0 and losses['loss_cls'] > 0
    # of all levels together, less the anchors that are ignored
    assert head.loss_cls.statistics.counts.sum() > 40_000
    assert head.retina_cls.weight.grad.any()
    with pytest.raises(ValueError, match=r'^target: 1 labels .* must be in \[0, 80\]'):
        head.loss_cls(torch.zeros(2, 80), torch.tensor([0, 81]))


def test_a_back_end_of_ones_own(run_page):
    assert run_page('docs/extending-backend.md') == []
    own = backends.load('bincount')
    assert own.__name__ == 'bincount_ops'
    called = []
    for name in ('region_sums', 'gradient'):
        original = getattr(own, name)
        setattr(own, name, lambda *a, original=original: called.append(1) or original(*a))
    logits, labels = torch.randn(50, 4, requires_grad=True), torch.arange(50) % 5
    with backends.use_backend('bincount'):
        loss = ghm_c(logits, labels)
    loss.backward()
    assert len(called) == 2
    expected = logits.detach().clone().requires_grad_()
    with backends.use_backend('reference'):
        ghm_c(expected, labels).backward()
    torch.testing.assert_close(logits.grad, expected.grad)


def test_steps_that_are_left_out_in_a_stock_config(stock):
    cfg = stock(snippet('docs/reliability.md', 'NaN and infinity'))
    set_reliable_hooks(cfg)
    assert cfg.default_hooks.harmonized_loss.skip_nonfinite
    inheriting = Config.fromfile(SMALL_DATA)
    inheriting.merge_from_dict({'default_hooks.harmonized_loss.skip_nonfinite': True})
    set_reliable_hooks(inheriting)
    assert inheriting.default_hooks.harmonized_loss.type == 'HarmonizedLossHook'
