"""Where a loss computes, and the training run around it."""

import pytest
import torch
from mmengine.logging import MessageHub

from ghm_mmdet.ops import backends
from tests.back_ends import ON_CPU

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')


@pytest.fixture(params=[*ON_CPU, pytest.param(None, id='cuda', marks=NO_CUDA)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A device, with a back end forced on the CPU."""
    if request.param is None:
        return 'cuda'
    monkeypatch.setattr(backends, '_forced', request.param)
    return 'cpu'


@pytest.fixture
def fresh_compiler():
    """Nothing compiled by other tests counts towards torch.compile's limits."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def training_run():
    """A message hub as mmengine leaves it at an iteration of a training run."""

    def at(iteration):
        hub = MessageHub.get_current_instance()
        hub.update_info('loop_stage', 'train')
        hub.update_info('iter', iteration)

    yield at
    MessageHub.get_current_instance().pop_info('loop_stage', None)
