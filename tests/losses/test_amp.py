"""Mixed precision: autocast, GradScaler, and what both ask of the backward pass."""

import copy

import pytest
import torch

from tests.back_ends import NEEDS_TORCH_2_8
from tests.losses.kinds import KINDS, WIDTH

pytestmark = pytest.mark.parametrize('kind', KINDS)
FLOAT16 = pytest.param(torch.float16, marks=NEEDS_TORCH_2_8)
HALF = pytest.mark.parametrize('dtype', [FLOAT16, torch.bfloat16])
SCALE = 2.0**12


def gradient(loss, prediction, arguments, factor=1.0):
    prediction = prediction.detach().requires_grad_()
    (loss(prediction, *arguments) * factor).backward()
    return prediction.grad


@HALF
def test_under_autocast_the_loss_is_that_of_its_input_in_float32(kind, dtype, device):
    features, arguments = KINDS[kind].call(150, device=device)
    layer = torch.nn.Linear(WIDTH, WIDTH, device=device)
    loss = KINDS[kind].make(momentum=0.75, bias_correction=True).to(device)
    oracle = copy.deepcopy(loss)
    for _ in range(2):
        with torch.autocast(device, dtype=dtype):
            prediction = layer(features)
            prediction.retain_grad()
            value = loss(prediction, *arguments)
        value.backward()
        single = prediction.detach().float().requires_grad_()
        expected = oracle(single, *arguments)
        expected.backward()
        assert prediction.dtype == prediction.grad.dtype == dtype
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(prediction.grad, single.grad.to(dtype))
        torch.testing.assert_close(loss.state_dict(), oracle.state_dict())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_a_scaled_loss_has_exactly_the_scaled_gradient(kind, dtype, device):
    prediction, arguments = KINDS[kind].call(150, device=device)
    prediction = prediction.to(dtype)
    loss = KINDS[kind].make().to(device)
    plain, scaled = (gradient(loss, prediction, arguments, factor) for factor in (1.0, SCALE))
    assert plain.any()
    # below 2^-14 the unscaled float16 is the one that is rounded, to multiples of 2^-24
    atol = 2**-25 if dtype == torch.float16 else 0
    torch.testing.assert_close(scaled.double() / SCALE, plain.double(), rtol=0, atol=atol)


@NEEDS_TORCH_2_8
@pytest.mark.parametrize('bad', [float('inf'), float('nan')])
def test_grad_scaler_skips_a_step_on_logits_that_are_not_finite(kind, bad, device):
    features, arguments = KINDS[kind].call(150, device=device)
    arguments = tuple(arguments[:1])  # no weight that could ignore the bad one
    poisoned = features.clone()
    poisoned[7] = bad
    layer = torch.nn.Linear(WIDTH, WIDTH, device=device)
    loss = KINDS[kind].make(momentum=0.75).to(device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler(device, init_scale=SCALE)

    def step(batch):
        before = copy.deepcopy([layer.state_dict(), loss.state_dict()])
        optimizer.zero_grad()
        with torch.autocast(device, dtype=torch.float16):
            value = loss(layer(batch), *arguments)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        after = [layer.state_dict(), loss.state_dict()]
        return [
            all(torch.equal(old[name], new[name]) for name in old)
            for old, new in zip(before, after)
        ]

    assert step(features) == [False, False]
    assert step(poisoned) == [True, True]
    assert scaler.get_scale() == SCALE / 2
    assert step(features) == [False, False]


def test_a_retained_graph_gives_the_gradient_again(kind, device):
    prediction, arguments = KINDS[kind].call(150, device=device)
    prediction.requires_grad_()
    value = KINDS[kind].make(momentum=0.75).to(device)(prediction, *arguments)
    value.backward(retain_graph=True)
    once = prediction.grad.clone()
    value.backward(retain_graph=True)
    torch.testing.assert_close(prediction.grad, 2 * once, rtol=0, atol=0)
    (again,) = torch.autograd.grad(value, prediction)
    torch.testing.assert_close(again, once, rtol=0, atol=0)
