"""Weights of a checkpoint: all fit, or one line says which do not. Losses' state is no weight."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet.models.losses import GHMC
from mmengine.config import Config
from torch import nn

from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.cli.detector import build_detector, load_weights
from ghm_mmdet.losses import GHMCLoss, GHMRLoss


def detector(loss=None, **more):
    parts = dict(backbone=nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), **more)
    parts['head'] = nn.ModuleDict(dict(conv=nn.Linear(4, 2)))
    if loss is not None:
        parts['head']['loss_cls'] = loss
    return nn.ModuleDict(parts)


def ghm():
    return GHMCLoss(use_sigmoid=True, bins=5, momentum=0.9)


@pytest.fixture
def saved(tmp_path):
    def save(state, **more):
        path = str(tmp_path / 'x.pth')
        torch.save(dict(state_dict=state, **more), path)
        return path

    return save


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize(
    ('trained', 'loaded'),
    [
        (None, None),
        (None, ghm()),
        (ghm(), None),
        (GHMC(bins=5, momentum=0.9), ghm()),
        (ghm(), GHMCLoss(use_sigmoid=True, bins=9, momentum=0.9)),
        (nn.CrossEntropyLoss(torch.ones(2)), GHMRLoss(bins=5, momentum=0.9, mu='median')),
    ],
    ids=['own', 'own-loss checkpoint', 'without GHM', "mmdet's GHM", 'other bins', 'median'],
)
def test_every_weight_is_loaded_whatever_the_losses(prefix, trained, loaded, saved, capsys):
    source, model = detector(copy.deepcopy(trained)), detector(copy.deepcopy(loaded))
    state = {prefix + key: value for key, value in source.state_dict().items()}
    content = load_weights(model, saved(state, meta=dict(epoch=3)), 'c.py')
    assert content['meta']['epoch'] == 3
    for name, value in source.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), value)
    assert capsys.readouterr().err == ''


def lacks(*keys):
    return lambda state: [state.pop(key) for key in keys]


def _has_another_shape(state):
    state['head.conv.weight'] = torch.zeros(7, 4)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict.clear, r'x.pth: 0 of 8 weights fit the model of c.py; backbone.0.weight is missing'),
        (lacks('head.conv.bias'), r'7 of 8 weights fit .*; head.conv.bias is missing; name a'),
        (lacks('backbone.1.running_var'), '7 of 8 weights'),
        (_has_another_shape, r'7 of 8 .*; head.conv.weight is \(7, 4\), not \(2, 4\); name a'),
        (lacks('backbone.1.num_batches_tracked'), None),
    ],
    ids=['none', 'missing', 'buffer', 'shape', 'count of a batch norm'],
)
def test_weights_that_do_not_fit_are_named_in_one_line(change, message, saved):
    state = dict(detector().state_dict())
    change(state)
    if message is None:
        load_weights(detector(ghm()), saved(state), 'c.py')
        return
    with pytest.raises(ConfigError, match=message) as error:
        load_weights(detector(ghm()), saved(state), 'c.py')
    assert '\n' not in str(error.value) and 'loss' not in str(error.value)


def test_further_weights_are_named(saved, capsys):
    state = detector(ghm(), mask=nn.Linear(2, 2)).state_dict()
    load_weights(detector(), saved(state), 'c.py')
    assert 'does not: mask.weight, mask.bias\n' in capsys.readouterr().err


@pytest.mark.parametrize('content', [[1], {'state_dict': None}, {'meta': {}}, {3: 4}])
def test_what_is_no_checkpoint_gets_one_line(content, tmp_path):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ConfigError, match='0 of 8 weights fit'):
        load_weights(detector(), str(tmp_path / 'x.pth'), 'c.py')


def test_an_argument_that_the_model_does_not_take_gets_one_line():
    cfg = Config(dict(model=dict(type='mmdet.RetinaNet', colour='red')))
    with pytest.raises(ConfigError, match=r'^c.py: the model cannot be built: .*colour'):
        build_detector(cfg, 'c.py')
