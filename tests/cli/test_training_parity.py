"""All along a real training, our losses have the values of MMDetection's own classes.

Two trainings side by side would not do: rounding moves single examples to the next region, and what
that changes grows from step to step, as it does for any loss.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'bccd'
ITERATIONS = 50
TOLERANCE = 1e-4
LEVELS = 5


def training(name: str, data: Path, work_dir: Path) -> Runner:
    cfg = Config.fromfile(CONFIGS / f'retinanet_r18_fpn_{name}-6e_bccd.py')
    cfg.train_dataloader.dataset.data_root = f'{data}/'
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=ITERATIONS)
    cfg.param_scheduler = cfg.param_scheduler[:1]
    for part in ('val', 'test'):
        for key in (f'{part}_cfg', f'{part}_dataloader', f'{part}_evaluator'):
            cfg[key] = None
    cfg.work_dir, cfg.log_level = str(work_dir), 'WARNING'
    return Runner.from_cfg(cfg)


def shadow(theirs: nn.Module, ours: nn.Module) -> list[tuple[float, float]]:
    """Have a loss called with whatever another one is called with; the values of both."""
    values = []

    def call(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        values.append((ours(*args, **kwargs).item(), output.item()))

    theirs.register_forward_hook(call, with_kwargs=True)
    return values


@pytest.mark.long
def test_published_settings_are_mmdets_own_classes_all_along(data_folder, tmp_path):
    runner = training('mmdet-ghm', data_folder('bccd'), tmp_path)
    ours = Config.fromfile(CONFIGS / 'retinanet_r18_fpn_ghm-6e_bccd.py').model.bbox_head
    values = {
        name: shadow(getattr(runner.model.bbox_head, name), MODELS.build(ours[name]))
        for name in ('loss_cls', 'loss_bbox')
    }
    runner.train()
    for name, pairs in values.items():
        assert len(pairs) == ITERATIONS * LEVELS, name
        assert pairs == [(pytest.approx(value, abs=TOLERANCE), value) for _, value in pairs], name
