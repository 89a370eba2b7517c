"""Pure Python configs: the tools do with classes what they do with names."""

import json

import pytest
import torch
from mmengine.config import Config

from tests.pure_config import write_pure

EPOCHS = ['--cfg-options', 'train_cfg.max_epochs=2']


@pytest.fixture
def configs(small_config):
    """The same training, its types as names and as classes."""
    small_config.write_text(f'{small_config.read_text()}\nrandomness = dict(seed=3)\n')
    pure = write_pure(Config.fromfile(small_config), small_config.parent)
    return {'names': small_config, 'classes': pure}


@pytest.mark.long
def test_train_resume_test_and_report(configs, run_tool, tmp_path):
    weights = {}
    for kind, path in configs.items():
        for more in ([], ['--resume', *EPOCHS]):
            done = run_tool('train.py', path, '--work-dir', kind, *more)
            assert done.returncode == 0, done.stderr[-3000:]
        weights[kind] = torch.load(tmp_path / kind / 'epoch_2.pth', weights_only=False)
    first, second = (each['state_dict'] for each in weights.values())
    assert all(torch.equal(first[name], second[name]) for name in first)
    # the hooks that make a training reliable are there
    assert 'exact_resume_seeds' in weights['classes']['message_hub']['runtime_info']

    checkpoint = tmp_path / 'classes' / 'epoch_2.pth'
    reports = []
    for kind, path in configs.items():
        done = run_tool('test.py', path, checkpoint, '--work-dir', f'test_{kind}')
        assert done.returncode == 0, done.stderr[-3000:]
        done = run_tool('analyze_gradients.py', path, checkpoint, '--out', f'report_{kind}')
        assert done.returncode == 0, done.stderr[-3000:]
        reports.append(json.loads((tmp_path / f'report_{kind}' / 'worst_labels.json').read_text()))
    assert reports[0] == reports[1]
