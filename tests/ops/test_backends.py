"""Which back end is chosen, and why."""

import pytest
import torch

from ghm_mmdet.method.criteria import DenseTarget, SigmoidCrossEntropy
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import Examples, backends, region_sums, self_check, use_backend
from tests.back_ends import ON_CPU

CPU, CUDA, XPU = map(torch.device, ('cpu', 'cuda:1', 'xpu:0'))


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.setattr(backends, '_forced', None)


@pytest.fixture
def triton(monkeypatch):
    """Says what the self-check finds on a CUDA device, where there need be none."""

    def finds(obstacle):
        monkeypatch.setattr(self_check, 'triton_obstacle', lambda device: obstacle)

    return finds


@pytest.mark.parametrize(
    ('device', 'name'), [(CPU, 'cpp'), (CUDA, 'triton'), (XPU, 'float32')], ids=str
)
def test_the_device_decides(device, name, triton, monkeypatch):
    triton(None)
    monkeypatch.setattr(backends, '_cpp_obstacle', lambda: None)
    assert backends.choose(device, None).name == name
    assert not backends.choose(device, None).is_fallback


def test_without_a_compiled_one_the_cpu_has_the_chunked_and_the_reason(monkeypatch):
    monkeypatch.setattr(backends, '_cpp_obstacle', lambda: 'it does not load')
    choice = backends.choose(CPU, None)
    assert choice.name == 'torch'
    assert 'it does not load' in choice.reason


def test_without_a_compiled_one_forcing_it_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(backends, '_cpp_obstacle', lambda: 'it does not load')
    backends.load.cache_clear()
    with pytest.raises(ValueError, match=r"^back end 'cpp': it does not load; must be [^\n]*$"):
        backends.module_for(CPU, 'cpp')


def test_without_triton_a_cuda_device_has_the_reference_and_the_reason(triton):
    triton('its counts are wrong')
    choice = backends.choose(CUDA, None)
    assert choice.name == 'reference'
    assert choice.is_fallback
    assert 'its counts are wrong' in choice.reason


@pytest.mark.parametrize('device', [CPU, CUDA, XPU], ids=str)
def test_the_one_that_is_forced_is_not_checked(device, monkeypatch):
    monkeypatch.setattr(self_check, 'triton_obstacle', pytest.fail)
    choice = backends.choose(device, 'triton')
    assert choice.name == 'triton'
    assert backends.VARIABLE in choice.reason
    assert not choice.is_fallback


def test_a_fallback_is_told_once(triton):
    backends._warn.cache_clear()
    triton('no compiler')
    with pytest.warns(UserWarning) as told:
        for _ in range(3):
            assert backends.module_for(CUDA, None).__name__ == 'ghm_mmdet.ops.reference'
            backends.module_for(CUDA, 'reference')
    (line,) = (str(each.message) for each in told)
    assert 'cuda:1' in line
    assert 'no compiler' in line
    backends._warn.cache_clear()


@pytest.mark.parametrize('name', ON_CPU)
def test_forward_and_backward_of_the_operators_are_of_the_same(name, monkeypatch):
    load, loaded = backends.load, []
    monkeypatch.setattr(backends, 'load', lambda name: loaded.append(name) or load(name))
    logits = torch.zeros(4, 3, requires_grad=True)
    target = DenseTarget(torch.ones(4, 3))
    with use_backend(name):
        sums = region_sums(SigmoidCrossEntropy(), Examples(logits, target), region_edges(5))
    sums.losses.sum().backward()
    assert loaded == [name] * 2
