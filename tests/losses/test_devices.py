"""What some devices cannot do, emulated: no float64 on Apple's MPS, no prefix sum on CUDA."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMCLoss, GHMRLoss, OHEMLoss
from ghm_mmdet.ops import backends, use_backend

CROSS_ENTROPY = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
OPTIONS = {
    'momentum': dict(momentum=0.75, bias_correction=True, density='paper'),
    'exact': dict(density='exact', momentum=0.5),
    'equal gradient': dict(balance=dict(equal='gradient', tempering=0.75), momentum=0.5),
    'outliers': dict(balance=dict(outliers='keep'), bins=30),
    'paper': dict(density='paper'),
    'none': dict(reduction='none'),
}
KINDS = {
    'sigmoid': lambda **options: GHMCLoss(use_sigmoid=True, **options),
    'probabilities': lambda **options: GHMCLoss(use_sigmoid=True, activated=True, **options),
    'softmax': lambda **options: GHMCLoss(use_sigmoid=False, **options),
    'boxes': GHMRLoss,
    'boxes, median': lambda **options: GHMRLoss(mu='median', **options),
}
OTHERS = {
    'ASL1': AuthenticSmoothL1Loss,
    'OHEM': lambda: OHEMLoss(CROSS_ENTROPY, negatives_per_positive=3),
}


class NoFloat64(TorchDispatchMode):
    """Raises where a tensor of float64 comes into being."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            raise TypeError(f'{func}: the device has no float64')
        return result


class Deterministic(TorchDispatchMode):
    """Raises as CUDA does under ``torch.use_deterministic_algorithms(True)``."""

    REFUSED = ('cumsum', 'cumprod', 'logcumsumexp', 'histc', 'kthvalue', 'put_', 'nll_loss')

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        floating = args and isinstance(args[0], torch.Tensor) and args[0].is_floating_point()
        if (name in self.REFUSED and floating) or (name == 'bincount' and len(args) > 1):
            raise RuntimeError(f'{func}: no deterministic algorithm')
        return func(*args, **(kwargs or {}))


def train(loss, target):
    prediction = torch.full((40, 4), 0.3).requires_grad_()
    for _ in range(2):
        loss(prediction, target, torch.ones(40)).sum().backward()
    return prediction.grad


def targets(name):
    labels = torch.arange(40) % 4
    if 'OHEM' in name or name == 'softmax':
        return [labels]
    values = torch.linspace(0, 1, 160).view(40, 4)
    return [values] if 'boxes' in name or name == 'ASL1' else [labels, values]


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize('kind', KINDS)
def test_no_float64(kind, options):
    backend = backends.choose(torch.device('mps'), None).name
    for target in targets(kind):
        with NoFloat64(), use_backend(backend):
            found = train(KINDS[kind](**options), target)
        with use_backend('reference'):
            expected = train(KINDS[kind](**options), target)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize('backend', ['reference', 'torch', 'float32'])
@pytest.mark.parametrize('kind', KINDS)
def test_deterministic_algorithms(kind, backend, options):
    for target in targets(kind):
        with Deterministic(), use_backend(backend):
            train(KINDS[kind](**options), target)


@pytest.mark.parametrize('mode', [NoFloat64, Deterministic])
@pytest.mark.parametrize('name', OTHERS)
def test_losses_without_a_density(name, mode):
    for target in targets(name):
        with mode():
            assert train(OTHERS[name](), target).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize('backend', ['triton', 'reference', 'torch', 'float32'])
@pytest.mark.parametrize('kind', KINDS)
def test_deterministic_algorithms_on_a_device(kind, backend, options, monkeypatch):
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.use_deterministic_algorithms(True)
    try:
        with torch.device('cuda'), use_backend(backend):
            for target in targets(kind):
                runs = [train(KINDS[kind](**options), target) for _ in range(2)]
                torch.testing.assert_close(*runs, rtol=0, atol=0)
    finally:
        torch.use_deterministic_algorithms(False)
