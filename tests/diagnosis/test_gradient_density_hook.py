"""The hook in a real, small training: what it writes, when, and that it changes nothing."""

from __future__ import annotations

import json

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ghm_mmdet.diagnosis.gradient_density_hook import GradientDensityHook
from ghm_mmdet.losses.ghm_loss import GHMLoss

LOSSES = {'bbox_head.loss_cls': 30, 'bbox_head.loss_bbox': 10}


class Watch(Hook):
    """Notes whether anything watches the losses while the model runs, and every loss."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.watched, self.losses = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        modules = [each for each in runner.model.modules() if isinstance(each, GHMLoss)]
        self.watched.append(any(each._forward_hooks for each in modules))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(float(outputs['loss']))


@pytest.fixture
def train(small_config, tmp_path):
    def run(name, hooks):
        cfg = Config.fromfile(small_config)
        cfg.work_dir = str(tmp_path / name)
        cfg.train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=10)
        cfg.custom_hooks = hooks
        cfg.default_hooks.logger.interval = 1
        cfg.log_level = 'ERROR'
        # otherwise MMEngine goes on with the one of an earlier run
        cfg.visualizer.name = cfg.work_dir
        cfg.default_scope = 'mmdet'
        cfg.randomness = dict(seed=0)
        runner = Runner.from_cfg(cfg)
        watch = Watch()
        runner.register_hook(watch)
        runner.train()
        (data,) = (tmp_path / name).glob('*/vis_data')
        lines = [json.loads(line) for line in (data / 'scalars.json').read_text().splitlines()]
        seen = [each for each in lines if any(key.startswith('gradient_density') for key in each)]
        return runner, watch, seen, sorted(data.glob('vis_image/*.png'))

    return run


def test_logs_every_so_often_and_changes_nothing(train):
    plain_runner, plain, _, _ = train('plain', [])
    hook = dict(type='GradientDensityHook', interval=2, figure_interval=2)
    runner, watch, seen, pictures = train('watched', [hook])

    assert watch.watched == [False, True] * 3
    assert watch.losses == plain.losses
    torch.testing.assert_close(
        dict(runner.model.state_dict()), dict(plain_runner.model.state_dict()), rtol=0, atol=0
    )
    assert [each['step'] for each in seen] == [2, 2, 4, 4, 6, 6]
    assert [path.name for path in pictures] == [
        f'gradient_density_{name}_{step}.png' for name in sorted(LOSSES) for step in (2, 6)
    ]
    assert all(cv2.imread(str(path)).std() > 0 for path in pictures)


def test_what_is_logged_belongs_together(train):
    runner, _, seen, _ = train('watched', [dict(type='GradientDensityHook', interval=6)])
    assert len(seen) == len(LOSSES)
    for each, (name, bins) in zip(seen, LOSSES.items()):
        tag = f'gradient_density/{name}'

        def values(what, tag=tag, line=each):
            return torch.tensor([v for k, v in line.items() if k.startswith(f'{tag}/{what}/')])

        loss = runner.model.get_submodule(name)
        counts = values('counts')
        assert len(counts) == bins
        assert (values('positives') <= counts).all()
        for share in ('share_before', 'share_after'):
            assert values(share).sum() == pytest.approx(1, rel=1e-4)
        torch.testing.assert_close(values('moving_average'), loss.density.moving_average)
        assert each[f'{tag}/outliers'] == pytest.approx(float(counts[-1] / counts.sum()))
        assert 1 <= each[f'{tag}/effective_regions'] <= bins
        assert 0 <= each[f'{tag}/positive_share_after'] <= 1 + 1e-9  # a sum of rounded shares


@pytest.mark.parametrize('argument', [{'interval': 0}, {'interval': 2.5}, {'figure_interval': -1}])
def test_bad_interval_is_refused_in_one_line(argument):
    ((name, value),) = argument.items()
    with pytest.raises(ValueError, match=rf'{name}={value!r}: must be an integer'):
        GradientDensityHook(**argument)
