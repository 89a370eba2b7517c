"""Under MMDetection's own names: its configs as they stand, its numbers, its checkpoints."""

import importlib
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.models.losses import GHMC, GHMR
from mmdet.registry import MODELS
from mmengine.config import Config

from ghm_mmdet.losses.ghm_loss import GHMLoss

ORIGINAL = {'GHMC': GHMC, 'GHMR': GHMR}
CONFIGS = sorted(Path(mmdet.__file__).parent.glob('.mim/configs/ghm/*.py'))


@pytest.fixture(autouse=True)
def drop_in():
    """The module as a config imports it, until the end of the test."""
    yield importlib.reload(importlib.import_module('ghm_mmdet.drop_in'))
    for name, kind in ORIGINAL.items():
        MODELS.register_module(name=name, module=kind, force=True)


def calls(name):
    generator = torch.Generator().manual_seed(0)
    for size in (40, 7, 300):
        prediction = torch.randn(size, 4, generator=generator)
        target = torch.randn(size, 4, generator=generator) / 10
        if name == 'GHMC':
            target = torch.randint(0, 5, (size,), generator=generator)
        valid = (torch.rand(size, 1, generator=generator) > 0.3).float().expand(-1, 4)
        yield prediction, target, valid[:, 0] if name == 'GHMC' else valid


def trained(loss, name):
    """Values and gradients of a few calls."""
    results = []
    for prediction, target, weight in calls(name):
        prediction.requires_grad_()
        value = loss(prediction / 10 if name == 'GHMR' else prediction, target, weight)
        value.backward()
        results.append((value.detach(), prediction.grad))
    return results


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_of_mmdet_has_these_losses_and_its_numbers(path):
    head = Config.fromfile(path).model.bbox_head
    for config in (head.loss_cls, head.loss_bbox):
        loss = MODELS.build(config)
        assert isinstance(loss, GHMLoss)
        arguments = {key: value for key, value in config.items() if key != 'type'}
        oracle = ORIGINAL[config.type](**arguments)
        found, expected = (trained(each, config.type) for each in (loss, oracle))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(loss.density.moving_average, oracle.acc_sum)


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [('GHMC', (30, 0.75, True, 2.0, 'mean')), ('GHMR', (0.02, 10, 0.7, 10.0, 'mean'))],
)
def test_arguments_by_position_and_checkpoints_are_those_of_mmdet(name, arguments, drop_in):
    oracle = ORIGINAL[name](*arguments)
    trained(oracle, name)
    loss = getattr(drop_in, name)(*arguments)
    loss.load_state_dict(oracle.state_dict())
    torch.testing.assert_close(trained(loss, name), trained(oracle, name), rtol=1e-4, atol=1e-6)
    defaults = getattr(drop_in, name)(), ORIGINAL[name]()
    torch.testing.assert_close(*(trained(each, name) for each in defaults), rtol=1e-4, atol=1e-6)
