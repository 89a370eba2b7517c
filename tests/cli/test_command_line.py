"""Command lines: their flags, and the one line that an error in the input ends with."""

import argparse
import os

import pytest
import torch

from ghm_mmdet.cli import check_config
from ghm_mmdet.cli import test as test_tool
from ghm_mmdet.cli import train as train_tool
from ghm_mmdet.cli.command_line import add_config, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.cli.launch import set_launcher
from ghm_mmdet.datasets.findings import DataError

NO_WEIGHTS = 'load_from none.pth: no such checkpoint file; download it, .* load_from=None trains'


@pytest.mark.parametrize('error', [ConfigError('bins=0:\n must'), DataError('a'), OSError('b')])
def test_errors_of_the_input_are_one_line_unless_debugged(error):
    with pytest.raises(SystemExit) as end, one_line_errors(debug=False):
        raise error
    assert end.value.code.startswith('error: ')
    assert '\n' not in end.value.code
    with pytest.raises(type(error)), one_line_errors(debug=True):
        raise error


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), one_line_errors(debug=False):
        raise ZeroDivisionError


def test_cfg_options_are_typed_and_gathered():
    parser = argparse.ArgumentParser()
    add_config(parser)
    line = ['a.py', '--cfg-options', 'a.b=1', 'c=(2,3)', '--cfg-options', 'd=None', 'e=[x,0.5]']
    options = parser.parse_args(line).cfg_options
    assert options == {'a.b': 1, 'c': (2, 3), 'd': None, 'e': ['x', 0.5]}


@pytest.mark.parametrize('option', ['bins', 'scale=(1,2'])
def test_malformed_cfg_options_are_a_usage_error(option, capsys):
    parser = argparse.ArgumentParser()
    add_config(parser)
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['a.py', '--cfg-options', option])
    assert 'must be KEY=VALUE' in capsys.readouterr().err


@pytest.fixture
def prepare(small_config, tmp_path, monkeypatch):
    """Prepare one of the tools' runs with these arguments."""
    monkeypatch.chdir(tmp_path)
    # Set by the tools where it is missing; undone with the rest.
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(tool, *arguments):
        return tool.prepare(tool._parser().parse_args([str(small_config), *map(str, arguments)]))

    return run


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'model.pth'
    torch.save({'state_dict': {}}, path)
    return path


def test_train_flags_reach_the_config(prepare, checkpoint):
    cfg = prepare(
        train_tool, '--work-dir', 'out', '--auto-scale-lr', '--resume', checkpoint, '--local_rank=0'
    )
    assert (cfg.work_dir, cfg.resume, cfg.load_from) == ('out', True, str(checkpoint))
    assert cfg.auto_scale_lr.enable
    assert cfg.launcher == 'none'
    assert prepare(train_tool, '--resume').load_from is None


@pytest.mark.parametrize('resumed', [False, True])
def test_frozen_random_layers_are_warned_of_unless_resumed(
    prepare, checkpoint, monkeypatch, resumed
):
    warnings = []
    monkeypatch.setattr(check_config, 'print_log', lambda text, *_: warnings.append(text))
    resume = ['--resume', checkpoint] if resumed else []
    prepare(train_tool, *resume, '--cfg-options', 'model.backbone.frozen_stages=1')
    assert any('model.backbone: frozen_stages=1' in text for text in warnings) is not resumed


def test_test_flags_reach_the_config(prepare, checkpoint):
    cfg = prepare(test_tool, checkpoint, '--show-dir', 'pictures', '--out', 'new.pkl')
    hook = cfg.default_hooks.visualization
    assert (hook.draw, hook.test_out_dir) == (True, 'pictures')
    assert (cfg.load_from, cfg.resume) == (str(checkpoint), False)


def test_nothing_is_written_before_the_run(prepare, tmp_path, checkpoint):
    before = sorted(tmp_path.rglob('*'))
    prepare(train_tool)
    prepare(test_tool, checkpoint, '--out', 'new.pkl')
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        (train_tool, ['--resume', 'none.pth'], '--resume none.pth: no such checkpoint'),
        (train_tool, ['--cfg-options', 'load_from=none.pth'], NO_WEIGHTS),
        (train_tool, ['--launcher', 'pytorch'], 'variable RANK is not set; start with torchrun'),
        (train_tool, ['--launcher', 'slurm'], 'SLURM_PROCID is not set; start with srun'),
        (test_tool, ['none.pth'], 'checkpoint none.pth: no such checkpoint file'),
        (test_tool, ['small.py'], 'checkpoint small.py: no checkpoint, or cut off'),
        (test_tool, ['model.pth', '--out', 'result.json'], 'must end in .pkl'),
        (test_tool, ['model.pth', '--out', 'mine.pkl'], '--out mine.pkl: exists already'),
        (test_tool, ['model.pth', '--show-dir', '{folder}/data/images'], 'data/images: not empty'),
        (
            test_tool,
            ['model.pth', '--show-dir', 'x', '--cfg-options', 'default_hooks.visualization=None'],
            '--show-dir: the config has no default_hooks.visualization',
        ),
    ],
)
def test_arguments_that_cannot_be_run(
    prepare, tmp_path, checkpoint, monkeypatch, tool, arguments, message
):
    monkeypatch.delenv('RANK', raising=False)
    (tmp_path / 'mine.pkl').write_text('precious')
    with pytest.raises(ConfigError, match=message):
        prepare(tool, *(argument.format(folder=tmp_path) for argument in arguments))
    assert (tmp_path / 'mine.pkl').read_text() == 'precious'


def test_mpi_ranks_get_their_own_device(prepare, monkeypatch):
    cfg = prepare(train_tool)
    monkeypatch.delenv('LOCAL_RANK')
    for name, value in (('LOCAL_RANK', '3'), ('SIZE', '4')):
        monkeypatch.setenv(f'OMPI_COMM_WORLD_{name}', value)
    monkeypatch.setenv('MASTER_ADDR', 'localhost')
    set_launcher(cfg, 'mpi', local_rank=0)
    assert os.environ['LOCAL_RANK'] == '3'


@pytest.mark.parametrize(
    ('launcher', 'variables'),
    [
        ('pytorch', dict(LOCAL_RANK='1', RANK='1', WORLD_SIZE='2')),
        ('slurm', dict(SLURM_LOCALID='1', SLURM_PROCID='1', SLURM_NTASKS='2')),
    ],
)
def test_the_data_is_read_by_one_rank_of_a_machine(
    prepare, coco_folder, monkeypatch, launcher, variables
):
    (coco_folder / 'images' / '3.png').unlink()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ('MASTER_ADDR', 'MASTER_PORT', 'SLURM_NODELIST'):
        monkeypatch.setenv(name, '1')
    assert prepare(train_tool, '--launcher', launcher)
    for name in ('LOCAL_RANK', 'SLURM_LOCALID'):
        monkeypatch.setenv(name, '0')
    with pytest.raises(DataError, match='images are missing'):
        prepare(train_tool, '--launcher', launcher)
