"""The configs of this repository: the same on any machine, and models are built of them."""

import re
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS, init_default_scope

from ghm_mmdet.cli import check_config as checks
from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.cli.config import load_config, set_reliable_hooks

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
FILES = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.rglob('*.py')
    if not {'_base_', 'mmrotate'} & set(path.parts)  # tests/detectors/test_mmrotate.py
)
RELIABLE = dict(
    broken_picture='BrokenPictureHook',
    exact_resume='ExactResumeHook',
    harmonized_loss='HarmonizedLossHook',
)
PUBLISHED = ('r50', 'r101', 'x101-32x4d', 'x101-64x4d')

# The part of a file's name that says what it changes -> head, classification loss, box loss.
LOSSES = {
    'ghm': ('RetinaHead', 'GHMCLoss', 'GHMRLoss'),
    'ghm-pyramid': ('GHMRetinaHead', 'GHMCLoss', 'GHMRLoss'),
    'focal-small-data': ('RetinaHead', 'FocalLoss', 'L1Loss'),
    'ghmc-small-data': ('GHMRetinaHead', 'GHMCLoss', 'L1Loss'),
    'ghmc': ('RetinaHead', 'GHMCLoss', 'SmoothL1Loss'),
    'ghmc-asl1': ('RetinaHead', 'GHMCLoss', 'AuthenticSmoothL1Loss'),
    'ghmr': ('RetinaHead', 'FocalLoss', 'GHMRLoss'),
    'focal-smooth-l1': ('RetinaHead', 'FocalLoss', 'SmoothL1Loss'),
    'ce-smooth-l1': ('RetinaHead', 'CrossEntropyLoss', 'SmoothL1Loss'),
    'ohem-smooth-l1': ('RetinaHead', 'OHEMLoss', 'SmoothL1Loss'),
    'smooth-l1': ('Shared2FCBBoxHead', 'CrossEntropyLoss', 'SmoothL1Loss'),
}


@pytest.fixture(scope='module')
def elsewhere(tmp_path_factory):
    """A folder with a copy of the configs."""
    folder = tmp_path_factory.mktemp('elsewhere')
    shutil.copytree(CONFIGS, folder / 'configs')
    return folder


@pytest.mark.parametrize('name', FILES)
def test_is_the_same_anywhere_and_so_is_its_print(name, elsewhere, monkeypatch):
    here = Config.fromfile(CONFIGS / name, import_custom_modules=False)
    monkeypatch.chdir(elsewhere.parent)
    copy = Path(elsewhere.name, 'configs', name)
    printed = Config.fromfile(copy, import_custom_modules=False).pretty_text
    assert Config.fromstring(printed, '.py').to_dict() == here.to_dict()
    assert str(CONFIGS.parent) not in printed and str(elsewhere) not in printed


@pytest.mark.parametrize('name', FILES)
def test_passes_the_checks(name):
    check_config(Config.fromfile(CONFIGS / name), ('train', 'val', 'test'))


@pytest.mark.parametrize('name', FILES)
def test_freezes_no_random_layers(name, monkeypatch):
    monkeypatch.setattr(checks, 'print_log', lambda text, *_: pytest.fail(text))
    checks.warn_of_random_layers(Config.fromfile(CONFIGS / name, import_custom_modules=False))


@pytest.mark.parametrize('name', FILES)
def test_has_the_reliable_hooks_itself_and_those_of_its_base(name):
    cfg = Config.fromfile(CONFIGS / name)
    before = cfg.to_dict()
    set_reliable_hooks(cfg)
    assert cfg.to_dict() == before
    assert {'timer', 'logger', 'param_scheduler', 'visualization'} <= before['default_hooks'].keys()


# one whose base has custom_hooks of its own
@pytest.mark.parametrize('base', ['atss/atss_r50_fpn_1x_coco', 'yolox/yolox_s_8xb8-300e_coco'])
def test_a_config_elsewhere_inherits_the_reliable_hooks(base, tmp_path):
    (tmp_path / 'stock.py').write_text(f"_base_ = 'mmdet::{base}.py'")
    (tmp_path / 'mine.py').write_text(
        f"_base_ = ['mmdet::{base}.py', 'ghm_mmdet::_base_/reliable_runtime.py']\n"
        'default_hooks = dict(_base_.reliable_hooks)'
    )
    stock, mine = (load_config(str(tmp_path / f'{name}.py')) for name in ('stock', 'mine'))
    assert mine.get('custom_hooks') == stock.get('custom_hooks')
    atomic = dict(stock.default_hooks.checkpoint, type='AtomicCheckpointHook')
    assert mine.default_hooks.pop('checkpoint') == {**atomic, '_scope_': 'ghm_mmdet'}
    assert mine.default_hooks == {
        **{name: hook for name, hook in stock.default_hooks.items() if name != 'checkpoint'},
        **{name: dict(type=kind, _scope_='ghm_mmdet') for name, kind in RELIABLE.items()},
    }
    assert all(HOOKS.build(mine.default_hooks[name]) for name in RELIABLE)


# Those of detectors/ are built, small, in tests/detectors; in Faster R-CNN the head is elsewhere.
ONE_STAGE = [name for name in FILES if not name.startswith(('detectors/', 'paper/faster-rcnn'))]


@pytest.mark.parametrize('name', ONE_STAGE)
def test_builds_with_the_losses_that_it_names(name):
    from mmdet.registry import MODELS

    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    # The deep backbones are the same class as the others, with more of the same blocks.
    cfg.model.backbone.depth = min(cfg.model.backbone.depth, 50)
    head = MODELS.build(cfg.model).bbox_head
    assert head.cls_out_channels == cfg.model.bbox_head.num_classes
    built = tuple(type(part).__name__ for part in (head, head.loss_cls, head.loss_bbox))
    head_type, *losses = (cfg.model.bbox_head[key] for key in ('type', 'loss_cls', 'loss_bbox'))
    assert built == (head_type, *(loss.type for loss in losses))


@pytest.mark.parametrize('name', [name for name in FILES if name.startswith(('ghm/', 'paper/'))])
def test_name_tells_the_backbone_the_losses_and_the_density(name):
    model = Config.fromfile(CONFIGS / name, import_custom_modules=False).model
    _, backbone, _, change, *_ = Path(name).stem.split('_')
    depth, _, width = backbone[1:].partition('-32x' if '-32x' in backbone else '-64x')
    assert model.backbone.type == {'r': 'ResNet', 'x': 'ResNeXt'}[backbone[0]]
    assert model.backbone.depth == int(depth)
    assert model.backbone.get('base_width') == (int(width[:-1]) if width else None)
    change, density = re.fullmatch(r'(.+?)(?:-(m\d+|exact))?', re.sub('-1x$', '', change)).groups()
    head = model.get('bbox_head') or model.roi_head.bbox_head
    assert LOSSES[change] == (head.type, head.loss_cls.type, head.loss_bbox.type)
    assert (head.loss_cls.get('density') == 'exact') is (density == 'exact')
    if head.loss_cls.type == 'GHMCLoss' and density != 'exact':
        assert head.loss_cls.bins == int((density or 'm30')[1:])


@pytest.mark.parametrize('backbone', PUBLISHED)
def test_published_settings_are_those_of_mmdet(backbone, tmp_path):
    name = f'ghm/retinanet_{backbone}_fpn_ghm-1x_coco.py'
    published = tmp_path / 'published.py'
    published.write_text(f"_base_ = 'mmdet::{name}'")
    expected = Config.fromfile(published).to_dict()
    head = expected['model']['bbox_head']
    head['loss_cls']['type'], head['loss_bbox']['type'] = 'GHMCLoss', 'GHMRLoss'
    ours = Config.fromfile(CONFIGS / name).to_dict()
    # what these configs add by configs/_base_/reliable_runtime.py
    expected['custom_imports'] = dict(imports=['ghm_mmdet'], allow_failed_imports=False)
    hooks = expected['default_hooks']
    hooks['checkpoint']['type'] = 'AtomicCheckpointHook'
    hooks.update({name: dict(type=kind) for name, kind in RELIABLE.items()})
    expected['reliable_hooks'] = ours['reliable_hooks']
    assert ours == expected


def test_whole_pyramid_variant_changes_the_head_alone():
    published, whole = (
        Config.fromfile(CONFIGS / f'ghm/retinanet_r50_fpn_{change}-1x_coco.py').to_dict()
        for change in ('ghm', 'ghm-pyramid')
    )
    assert whole['model']['bbox_head'].pop('type') == 'GHMRetinaHead'
    published['model']['bbox_head'].pop('type')
    assert whole == published


def test_a_few_hundred_images_are_logged_each_epoch_and_do_not_fill_the_disk():
    for loss in ('focal', 'ghmc'):
        cfg = Config.fromfile(CONFIGS / f'ghm/retinanet_r50_fpn_{loss}-small-data.py')
        hooks, batch = cfg.default_hooks, cfg.train_dataloader.batch_size
        assert 320 // batch // hooks.logger.interval >= 3
        assert HOOKS.build(hooks.checkpoint).max_keep_ckpts < cfg.train_cfg.max_epochs / 10
