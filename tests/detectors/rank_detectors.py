"""Detectors with sync=True where one rank has no object: rank_detectors.py FOLDER, by torchrun.

Every rank writes, for each case, the moving averages that it has after some steps and how many
examples their last calls have counted.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import utils
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ghm_mmdet.losses.ghm_loss import GHMLoss
from tests.detectors.cases import REPOSITORY, Case
from tests.detectors.conftest import SIZE, sample

STEPS = 2
CASES = {
    'configs/detectors/yolox_s_ghmc-8xb8-300e_coco.py': dict(
        bbox_head=dict(loss_obj=dict(sync=True))
    ),
    'configs/detectors/faster-rcnn_r50_fpn_ghmr-1x_coco.py': dict(
        rpn_head=dict(
            loss_cls=dict(
                _delete_=True, type='GHMCLoss', use_sigmoid=True, momentum=0.5, sync=True
            ),
            loss_bbox=dict(_delete_=True, type='GHMRLoss', momentum=0.5, sync=True),
        )
    ),
    'configs/ghm/retinanet_r50_fpn_ghm-pyramid-1x_coco.py': dict(
        bbox_head=dict(loss_cls=dict(sync=True), loss_bbox=dict(sync=True))
    ),
}
"""A config, and where its losses are that every rank calls."""


def trained(name: str, rank: int) -> dict[str, torch.Tensor]:
    """Moving averages by the loss's name, and the counts of its last call."""
    torch.manual_seed(0)
    case = Case(REPOSITORY / name)
    cfg = case.config()
    cfg.merge_from_dict(dict(model=CASES[name]))
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    wrapped = DistributedDataParallel(model, find_unused_parameters=True, broadcast_buffers=False)
    boxes = [[8.0, 8.0, 72.0, 64.0], [40.0, 30.0, 100.0, 120.0]] if rank == 0 else []
    images = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(rank))
    for _ in range(STEPS):
        total, _ = model.parse_losses(wrapped(images, [sample(boxes)], mode='loss'))
        total.backward()
    synced = {
        key: module
        for key, module in model.named_modules()
        if isinstance(module, GHMLoss) and module.sync
    }
    return {
        key: torch.stack([loss.density.moving_average, loss.statistics.counts.float()])
        for key, loss in synced.items()
    }


def main(folder: str) -> None:
    distributed.init_process_group('gloo')
    init_default_scope('mmdet')
    utils.load = lru_cache(maxsize=None)(
        utils.load
    )  # the metafiles that MMEngine reads anew for each config
    MessageHub.get_current_instance().update_info('epoch', 0)
    rank = distributed.get_rank()
    torch.save([trained(name, rank) for name in CASES], Path(folder) / f'rank{rank}.pt')
    distributed.destroy_process_group()


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    main(sys.argv[1])
