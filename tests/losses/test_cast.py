"""Losses inside of a model that is cast or moved: they compute in float32 all the same."""

import copy

import pytest
import torch

from ghm_mmdet.losses import ghm_loss
from tests.losses.kinds import KINDS, STATES

COUNT = 2**17  # of examples, more than float16 has numbers for and bfloat16 has digits for
CASES = {
    **{name: ('labels', state) for name, state in STATES.items()},
    'equal gradient': ('labels', dict(bins=7, momentum=0.75, balance='gradient')),
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


def cast_by_data(loss):
    """As FSDP does in its first forward pass, with a ``buffer_dtype``."""
    for buffer in loss.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.to(torch.float16)


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('case', CASES)
def test_a_cast_by_data_before_training_changes_no_number(case):
    kind, arguments = CASES[case]
    plain, cast = (KINDS[kind].make(**arguments) for _ in range(2))
    cast_by_data(cast)
    found, expected = (train(loss, kind, torch.float32) for loss in (cast, plain))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize('case', CASES)
def test_a_cast_by_data_in_training_is_undone_and_said(case, monkeypatch):
    """What overflows starts afresh; the other regions are rounded."""
    lines = []
    monkeypatch.setattr(ghm_loss, 'print_log', lambda line, *_: lines.append(line))
    kind, arguments = CASES[case]
    plain = KINDS[kind].make(**arguments)
    train(plain, kind, torch.float32)
    for buffer in plain.density.state:
        buffer[0] = 1e5 if buffer is plain.density.moving_average else 0
    cast = copy.deepcopy(plain)
    plain.density.moving_average[0] = 0
    for _ in range(2):
        cast_by_data(cast)
        call = KINDS[kind].call(3)
        with torch.no_grad():  # which leaves the averages alone
            cast(call.prediction, *call.arguments)
    assert float_dtypes(cast) == {torch.float32}
    assert torch.equal(cast.density.edges, plain.density.edges)
    for ours, theirs in zip(cast.state, plain.state):
        torch.testing.assert_close(ours, theirs, rtol=2**-10, atol=1e-4)
    assert len(lines) == 1
    assert 'torch.float16' in lines[0] and 'leave buffer_dtype out' in lines[0]


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
