"""The check that stands between a miscompiled kernel and a training run."""

from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from ghm_mmdet.ops import function, reference, self_check, torch_ops
from ghm_mmdet.ops.from_sums import loss_from_sums

CPU = torch.device('cpu')


def altered(**functions):
    """A back end that is the reference but for some functions."""
    return SimpleNamespace(
        **{
            'region_sums': reference.region_sums,
            'gradient': reference.gradient,
            'loss_from_sums': loss_from_sums,
            **functions,
        }
    )


def altered_sums(name, change):
    def region_sums(*arguments):
        sums = reference.region_sums(*arguments)
        return sums._replace(**{name: change(getattr(sums, name))})

    return altered(region_sums=region_sums)


def altered_gradient(change):
    return altered(gradient=lambda *arguments: change(reference.gradient(*arguments)))


def change_one(values):
    values = values.clone()
    values[len(values) // 2] += 1
    return values


def failing(*arguments):
    raise RuntimeError('no kernel image\nis available')


BROKEN = {
    'counts': altered_sums('counts', change_one),
    'losses': altered_sums('losses', lambda losses: losses * 1.001),
    'weight_sum': altered_sums('weight_sum', torch.zeros_like),
    'nonfinite': altered_sums('nonfinite', torch.ones_like),
    'bad_targets': altered_sums('bad_targets', torch.zeros_like),
    'gradient': altered_gradient(change_one),
}


@pytest.fixture
def load(monkeypatch):
    """Stands in for a CUDA device and the import of its back end, and tells how often it was."""
    imports, mode = [], ['error']
    monkeypatch.setattr(self_check, '_obstacles', {})
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: False)
    monkeypatch.setattr(torch.cuda, 'get_sync_debug_mode', lambda: mode[-1])
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', mode.append)

    def returns(backend):
        def import_module(name):
            imports.append(name)
            assert mode[-1] == 'default'
            if isinstance(backend, Exception):
                raise backend
            return backend

        monkeypatch.setattr(self_check, 'import_module', import_module)
        return imports

    yield returns
    assert mode[-1] == 'error'


@pytest.mark.parametrize('backend', [reference, torch_ops])
def test_sound_back_ends_pass(backend):
    assert self_check.disagreement(backend, CPU) is None


def test_a_users_random_state_and_default_device_play_no_part():
    state = torch.get_rng_state()
    with torch.device('meta'):
        assert self_check.disagreement(reference, CPU) is None
    assert torch.equal(torch.get_rng_state(), state)


def test_the_kernels_pass():
    pytest.importorskip('triton', reason='needs the triton package')
    triton_ops = pytest.importorskip('ghm_mmdet.ops.triton_ops')
    if torch.cuda.is_available():
        assert self_check.triton_obstacle(torch.device('cuda', 0)) is None
    elif triton_ops.INTERPRETED:
        assert self_check.disagreement(triton_ops, CPU) is None
        fused = import_module('ghm_mmdet.ops.triton_from_sums').loss_from_sums
        assert self_check.loss_disagreement(fused, CPU) is None
        assert self_check.harmonized_disagreement(triton_ops, CPU) is None
    else:
        pytest.skip('triton was imported before TRITON_INTERPRET=1 was set')


@pytest.mark.parametrize('name', BROKEN)
def test_wrong_results_are_named(name, load):
    load(BROKEN[name])
    obstacle = self_check.triton_obstacle(CPU)
    assert obstacle.startswith(f'its {name} of ')


def test_a_loss_of_the_sums_that_is_wrong_is_named(load):
    def doubled(*arguments):
        result = loss_from_sums(*arguments)
        return result._replace(loss=2 * result.loss)

    load(altered(loss_from_sums=doubled))
    assert self_check.triton_obstacle(CPU) == 'its loss of the sums in 30 regions is wrong'


@pytest.mark.parametrize('result', ['loss', 'beta', 'counts', 'losses', 'nonfinite'])
def test_a_loss_in_one_piece_that_is_wrong_is_named(result, load):
    def harmonized_loss(*arguments):
        correct = function.harmonized_loss(*arguments, backend=reference)
        return correct._replace(**{result: getattr(correct, result) + 1})

    load(altered(harmonized_loss=harmonized_loss))
    assert self_check.triton_obstacle(CPU) == 'its loss of examples in 30 regions is wrong'


def test_gradients_of_all_levels_that_are_wrong_are_named(load):
    def level_gradients(criterion, levels, edges, scale, above):
        return [reference.gradient(criterion, each, edges, scale) for each in levels]

    load(altered(level_gradients=level_gradients))
    assert self_check.triton_obstacle(CPU) == 'its loss of examples in 30 regions is wrong'


def test_gradients_that_are_not_numbers_are_wrong():
    nan = altered_gradient(lambda values: values.where(values != 0, float('nan')))
    assert 'gradient' in self_check.disagreement(nan, CPU)


@pytest.mark.parametrize(
    ('backend', 'reason'),
    [
        (ModuleNotFoundError("No module named 'triton'"), "No module named 'triton'"),
        (altered(region_sums=failing), 'RuntimeError: no kernel image is available'),
        (altered(gradient=failing), 'RuntimeError: no kernel image is available'),
    ],
    ids=['missing', 'forward', 'backward'],
)
def test_whatever_is_raised_is_the_reason_in_one_line(backend, reason, load):
    load(backend)
    obstacle = self_check.triton_obstacle(CPU)
    assert reason in obstacle
    assert '\n' not in obstacle


def test_each_device_is_checked_once_and_never_during_capture(load, monkeypatch):
    imports = load(altered())
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    assert 'CUDA graph' in self_check.triton_obstacle(CPU)
    assert imports == []
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: False)
    assert self_check.triton_obstacle(CPU) is None
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    assert self_check.triton_obstacle(CPU) is None
    assert imports == ['ghm_mmdet.ops.triton_ops', 'ghm_mmdet.ops.triton_from_sums']
