"""A config with what the command line says about it."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ghm_mmdet.cli.config import (
    RELIABLE_HOOKS,
    ConfigError,
    load_config,
    set_amp,
    set_auto_scale_lr,
    set_reliable_hooks,
    set_work_dir,
)


@pytest.fixture
def cfg(small_config):
    return load_config(str(small_config))


def test_options_override_the_file(small_config):
    cfg = load_config(
        str(small_config),
        {'model.bbox_head.loss_cls.bins': 7, 'train_dataloader.dataset.pipeline.2.scale': (8, 6)},
    )
    assert cfg.model.bbox_head.loss_cls.bins == 7
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (8, 6)
    assert cfg.model.bbox_head.loss_cls.momentum == 0.75


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(', 'SyntaxError'),
        ("_base_ = './none.py'", 'FileNotFoundError: .*none.py'),
        ("_base_ = 'mmdet::none/none.py'", 'none/none.py'),
        ("custom_imports = dict(imports=['no_such_package'])", "No module named 'no_such_package'"),
        ('value = 1 / 0', 'ZeroDivisionError: division by zero'),
    ],
)
def test_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load_config(str(path))
    assert str(error.value).startswith(f'config {path}: ')


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r'none.py: no such file'):
        load_config(str(tmp_path / 'none.py'))


@pytest.mark.parametrize(
    'options', [{'train_dataloader.dataset.pipeline.99.scale': 1}, {'data_root.inner': 1}]
)
def test_options_that_do_not_fit(small_config, options):
    with pytest.raises(ConfigError, match=f'--cfg-options does not fit {small_config}'):
        load_config(str(small_config), options)


def test_work_dir_is_the_argument_the_config_or_the_name(cfg, tmp_path):
    set_work_dir(cfg, None)
    assert Path(cfg.work_dir) == Path('work_dirs/small')
    set_work_dir(cfg, str(tmp_path / 'given'))
    set_work_dir(cfg, None)
    assert cfg.work_dir == str(tmp_path / 'given')
    assert not (tmp_path / 'given').exists()


def test_work_dir_must_not_be_the_folder_of_the_config(cfg, tmp_path):
    with pytest.raises(ConfigError, match='would be overwritten'):
        set_work_dir(cfg, f'{tmp_path}/.')


def test_work_dir_must_not_be_or_lie_in_a_file(cfg, small_config):
    for path in (small_config, small_config / 'run'):
        with pytest.raises(ConfigError, match='is no folder that can be written'):
            set_work_dir(cfg, str(path))


def test_amp(cfg):
    set_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    cfg.optim_wrapper.type = 'DeepSpeedOptimWrapper'
    with pytest.raises(ConfigError, match=r"--amp: optim_wrapper.type='DeepSpeedOptimWrapper'"):
        set_amp(cfg)


def test_auto_scale_lr(cfg):
    set_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable is True
    cfg.auto_scale_lr = dict(enable=False)
    with pytest.raises(ConfigError, match=r'no auto_scale_lr.base_batch_size'):
        set_auto_scale_lr(cfg)


@pytest.mark.parametrize(
    ('before', 'after'),
    [('CheckpointHook', 'AtomicCheckpointHook'), ('MyCheckpointHook', 'MyCheckpointHook')],
)
def test_checkpoints_are_written_whole_unless_the_config_has_a_hook_of_its_own(before, after):
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(type=before, interval=3))))
    set_reliable_hooks(cfg)
    assert cfg.default_hooks.checkpoint == dict(type=after, interval=3)
    nothing = Config(dict(default_hooks=dict(checkpoint=None)))
    set_reliable_hooks(nothing)
    assert nothing.default_hooks.checkpoint is None


def test_hooks_that_the_config_has_already_are_not_added(cfg):
    before = cfg.to_dict()
    set_reliable_hooks(cfg)
    assert cfg.to_dict() == before


def test_a_second_hook_is_refused(cfg):
    cfg.custom_hooks = [dict(type='EMAHook'), dict(type='HarmonizedLossHook', patience=4)]
    with pytest.raises(ConfigError, match=r'custom_hooks.1: a second HarmonizedLossHook.*into '):
        set_reliable_hooks(cfg)


@pytest.mark.parametrize('own', [None, [], ['EMAHook'], ['HarmonizedLossHook', 'EMAHook']])
def test_hooks_are_added_once_behind_those_of_the_config(own):
    cfg = Config(dict(custom_hooks=own and [dict(type=kind, mark=1) for kind in own]))
    set_reliable_hooks(cfg)
    set_reliable_hooks(cfg)
    kinds = [hook['type'] for hook in cfg.custom_hooks]
    assert kinds[: len(own or [])] == (own or [])
    assert sorted(kinds) == sorted({*(own or []), *(kind.__name__ for kind in RELIABLE_HOOKS)})
    assert [hook.get('mark') for hook in cfg.custom_hooks] == [1] * len(own or []) + [None] * (
        len(kinds) - len(own or [])
    )


@pytest.mark.parametrize('name', ['epoch_24.pth', 'model.pt'])
def test_a_checkpoint_in_place_of_the_config_is_told(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b'PK')
    with pytest.raises(ConfigError, match=f'{name}: is a checkpoint; name the config first'):
        load_config(str(path))


@pytest.mark.parametrize(
    ('line', 'scope'), [('', 'mmdet'), ("default_scope = 'mmengine'", 'mmengine')]
)
def test_the_default_scope_is_the_configs_or_mmdets(tmp_path, line, scope):
    path = tmp_path / 'config.py'
    path.write_text(line)
    load_config(str(path))
    assert DefaultScope.get_current_instance().scope_name == scope
