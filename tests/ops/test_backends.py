"""Which back end is chosen, and why."""

import mmengine.logging
import pytest
import torch

from ghm_mmdet.method.criteria import DenseTarget, SigmoidCrossEntropy
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import backends, region_sums, self_check
from tests.back_ends import ON_CPU

CPU, CUDA, XPU = map(torch.device, ('cpu', 'cuda:1', 'xpu:0'))


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(backends.VARIABLE, raising=False)


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
    assert backends.choose(device).name == name
    assert not backends.choose(device).is_fallback


def test_without_a_compiled_one_the_cpu_has_the_chunked_and_the_reason(monkeypatch):
    monkeypatch.setattr(backends, '_cpp_obstacle', lambda: 'it does not load')
    choice = backends.choose(CPU)
    assert choice.name == 'torch'
    assert 'it does not load' in choice.reason


@pytest.mark.parametrize('by_variable', [False, True])
def test_without_a_compiled_one_asking_for_it_is_refused_in_one_line(by_variable, monkeypatch):
    monkeypatch.setattr(backends, '_cpp_obstacle', lambda: 'it does not load')
    backends.load.cache_clear()
    if by_variable:
        monkeypatch.setenv(backends.VARIABLE, 'cpp')
    with pytest.raises(ValueError, match=r"^backend='cpp': it does not load; must be [^\n]*$"):
        backends.module_for(CPU, None if by_variable else 'cpp')


def test_without_triton_a_cuda_device_has_the_reference_and_the_reason(triton):
    triton('its counts are wrong')
    choice = backends.choose(CUDA)
    assert choice.name == 'reference'
    assert choice.is_fallback
    assert 'its counts are wrong' in choice.reason


@pytest.mark.parametrize('device', [CPU, CUDA, XPU], ids=str)
def test_the_argument_wins_over_the_variable_and_both_are_not_checked(device, monkeypatch):
    monkeypatch.setattr(self_check, 'triton_obstacle', pytest.fail)
    monkeypatch.setenv(backends.VARIABLE, 'triton')
    by_variable, by_argument = backends.choose(device), backends.choose(device, 'torch')
    assert by_variable.name == 'triton'
    assert backends.VARIABLE in by_variable.reason
    assert by_argument.name == 'torch'
    assert not by_variable.is_fallback
    assert not by_argument.is_fallback


def test_a_fallback_is_logged_once(monkeypatch, triton):
    lines = []
    monkeypatch.setattr(mmengine.logging, 'print_log', lambda line, **_: lines.append(line))
    backends._warn.cache_clear()
    triton('no compiler')
    for _ in range(3):
        assert backends.module_for(CUDA, None).__name__ == 'ghm_mmdet.ops.reference'
        backends.module_for(CUDA, 'reference')
    assert len(lines) == 1
    assert 'cuda:1' in lines[0]
    assert 'no compiler' in lines[0]
    backends._warn.cache_clear()


@pytest.mark.parametrize('name', ON_CPU)
def test_forward_and_backward_are_of_the_same(name, monkeypatch):
    load, loaded = backends.load, []
    monkeypatch.setattr(backends, 'load', lambda name: loaded.append(name) or load(name))
    logits = torch.zeros(4, 3, requires_grad=True)
    target = DenseTarget(torch.ones(4, 3))
    sums = region_sums(SigmoidCrossEntropy(), logits, target, None, region_edges(5), name)
    sums.losses.sum().backward()
    assert loaded == [name] * 2
