"""Losses inside of a model that is cast or moved: they compute in float32 all the same."""

import copy

import pytest
import torch

from tests.losses.kinds import KINDS, STATES

COUNT = 2**17  # of examples, more than float16 has numbers for and bfloat16 has digits for
CASES = {
    **{name: ('labels', state) for name, state in STATES.items()},
    'equal gradient': ('labels', dict(bins=7, momentum=0.75, equal='gradient')),
    'median': ('boxes', dict(bins=7, momentum=0.75, mu='median')),
}
CASTS = {
    'half': lambda module: module.half(),
    'bfloat16': lambda module: module.bfloat16(),
    'double': lambda module: module.double(),
    'to, inside of a model': lambda module: torch.nn.Sequential(module).to(torch.bfloat16)[0],
}


def float_dtypes(loss):
    return {buffer.dtype for buffer in loss.buffers() if buffer.is_floating_point()}


def train(loss, kind, dtype):
    """Values and gradients of two calls, and the state afterwards."""
    found = []
    for seed in range(2):
        prediction, arguments = KINDS[kind].call(COUNT // 4, seed)
        prediction = prediction.to(dtype).requires_grad_()
        value = loss(prediction, *arguments)
        value.backward()
        found += value.detach(), prediction.grad
    return found, copy.deepcopy(dict(loss.named_buffers()))


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('cast', CASTS)
@pytest.mark.parametrize('case', CASES)
def test_a_cast_changes_no_number(case, cast, dtype):
    kind, arguments = CASES[case]
    loss = KINDS[kind].make(**arguments)
    train(loss, kind, dtype)  # the casts meet an average that has something to lose
    expected = train(copy.deepcopy(loss), kind, dtype)
    torch.testing.assert_close(train(CASTS[cast](loss), kind, dtype), expected, rtol=0, atol=0)


MOVES = {
    'to': lambda module, device: module.to(device),
    'to, and another dtype': lambda module, device: module.to(device, torch.float16),
    'to_empty': lambda module, device: module.to_empty(device=device),
}


@pytest.mark.parametrize('move', MOVES)
@pytest.mark.parametrize('case', CASES)
def test_buffers_follow_to_another_device(case, move):
    kind, arguments = CASES[case]
    loss = KINDS[kind].make(**arguments)
    MOVES[move](loss, 'meta')
    assert {buffer.device.type for buffer in loss.buffers()} == {'meta'}
    loss.to_empty(device='cpu')
    assert {buffer.device.type for buffer in loss.buffers()} == {'cpu'}
    assert float_dtypes(loss) == {torch.float32}


def test_buffers_can_be_shared():
    loss = KINDS['boxes'].make(bins=7, momentum=0.75, mu='median').share_memory()
    assert all(buffer.is_shared() for buffer in loss.buffers())


def test_buffers_are_float32_whatever_the_default():
    torch.set_default_dtype(torch.float64)
    try:
        loss = KINDS['boxes'].make(bins=7, momentum=0.75, bias_correction=True, mu='median')
    finally:
        torch.set_default_dtype(torch.float32)
    assert float_dtypes(loss) == {torch.float32}
