"""Train a linear model on four fixed examples: linear_ranks.py WORK_DIR BATCH_SIZE LAUNCHER.

Run as it is or by torchrun; every rank writes its final weights to WORK_DIR.
"""

import os
import re
import sys
import weakref

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import distributed, nn

from ghm_mmdet.cli.launch import runner, set_launcher

EXAMPLES = torch.tensor([[1.0, 2.0], [-3.0, 1.0], [0.5, -2.0], [4.0, 1.0]])


@MODELS.register_module()
class LinearModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)
        nn.init.constant_(self.linear.weight, 0.5)
        nn.init.constant_(self.linear.bias, 0.0)

    def forward(self, inputs, mode='loss'):
        return {'loss': (self.linear(torch.stack(inputs)) - 1).square().mean()}


def main(work_dir: str, batch_size: str, launcher: str) -> None:
    cfg = Config(
        dict(
            model=dict(type='LinearModel'),
            default_scope='mmdet',
            work_dir=work_dir,
            train_dataloader=dict(
                batch_size=int(batch_size),
                dataset=[{'inputs': example} for example in EXAMPLES],
                sampler=dict(type='DefaultSampler', shuffle=False),
                collate_fn=dict(type='pseudo_collate'),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=5),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
            env_cfg=dict(dist_cfg=dict(backend='nccl')),
            log_level='ERROR',
        )
    )
    set_launcher(cfg, launcher, local_rank=0)
    with runner(cfg) as trainer:
        trainer.train()
        wrapper = weakref.ref(trainer.model)
        weights = {
            re.sub('^module[.]', '', name): value
            for name, value in trainer.model.state_dict().items()
        }
        torch.save(weights, f'{work_dir}/rank{os.environ.get("RANK", 0)}.pt')
    if launcher != 'none':
        # What still serves the process group when Python exits aborts the process now and then.
        assert not distributed.is_initialized()
        assert wrapper() is None


if __name__ == '__main__':
    main(*sys.argv[1:])
