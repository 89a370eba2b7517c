"""Ranks without a GPU: data parallel training is what one process does on the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import distributed

from ghm_mmdet.mm_patches import cpu_ranks
from tests.cli import linear_ranks
from tests.processes import ON_A_FREE_PORT

SCRIPT = linear_ranks.__file__
REPOSITORY = Path(__file__).resolve().parents[2]


def train_on_ranks(work_dir, *arguments, ranks):
    """Final weights of every rank."""
    torchrun = ['-m', 'torch.distributed.run', *ON_A_FREE_PORT, f'--nproc-per-node={ranks}']
    command = [sys.executable, *torchrun, SCRIPT, work_dir, *arguments]
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'}
    environment['CUDA_VISIBLE_DEVICES'] = ''
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(work_dir / f'rank{rank}.pt', weights_only=True) for rank in range(ranks)]


def test_two_ranks_train_as_one_process_on_the_whole_batch(tmp_path, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '0')  # undone after the run, which may set it
    linear_ranks.main(str(tmp_path / 'one'), '4', 'none')
    whole = torch.load(tmp_path / 'one' / 'rank0.pt', weights_only=True)
    halves = train_on_ranks(tmp_path / 'two', '2', 'pytorch', ranks=2)
    for weights in halves:
        torch.testing.assert_close(weights, whole, rtol=1e-6, atol=1e-7)


@pytest.mark.skipif(torch.cuda.is_available(), reason='looks at torch without CUDA')
def test_torch_is_left_as_it_was():
    set_device = torch.cuda.set_device
    with pytest.raises(KeyError), cpu_ranks(Config()):
        assert torch.cuda.set_device is not set_device
        raise KeyError
    assert torch.cuda.set_device is set_device
    assert not distributed.is_initialized()


def test_wrapper_of_the_config_is_kept():
    cfg = Config(dict(model_wrapper_cfg=dict(type='Mine', find_unused_parameters=True)))
    with cpu_ranks(cfg):
        wrapper = dict(cfg.model_wrapper_cfg)
    assert wrapper == dict(
        type='Mine', find_unused_parameters=True, broadcast_buffers=False, device_ids=None
    )
