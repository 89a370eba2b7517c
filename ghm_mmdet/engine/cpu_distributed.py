"""Distributed training on ranks that have no GPU, for laptops and tests.

MMEngine sets the rank's CUDA device when it starts the process group, and gives
DistributedDataParallel that device. Neither exists here; everything else of its engine works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config


@contextmanager
def cpu_ranks(cfg: Config) -> Iterator[None]:
    """Let a runner that is built and run inside start its ranks on CPUs, connected by gloo.

    Args:
        cfg: The runner's config, changed in place.
    """
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    # Without a wrapper in the config, these are MMEngine's arguments but for the device.
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **cfg.get('model_wrapper_cfg', {}),
        'device_ids': None,
    }
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = set_device
