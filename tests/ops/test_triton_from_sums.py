"""The loss from region sums inside of kernels, against the whole-tensor operations."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.density import ExactDensity, UnitRegionDensity
from ghm_mmdet.ops import Reduction, RegionSums, from_sums, use_backend
from tests.losses.kinds import KINDS

pytest.importorskip('triton', reason='needs the triton package')
triton_ops = pytest.importorskip('ghm_mmdet.ops.triton_ops')
triton_from_sums = pytest.importorskip('ghm_mmdet.ops.triton_from_sums')

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
pytestmark = pytest.mark.skipif(
    DEVICE == 'cpu' and not triton_ops.INTERPRETED,
    reason='triton was imported before TRITON_INTERPRET=1 was set, and there is no CUDA device',
)
STATES = [
    dict(momentum=momentum, bias_correction=corrected, density=density)
    for momentum, corrected, density in [
        (0, False, 'mmdet'),
        *product((0.75,), (False, True), ('mmdet', 'paper')),
    ]
]
BALANCES = [
    dict(equal=equal, tempering=tempering, outliers=outliers)
    for equal, tempering, outliers in product(
        ('weight', 'gradient'), (0.0, 0.75, 1.0), ('damp', 'keep')
    )
]
CASES = [
    *((state, {}) for state in STATES),
    *((STATES[1], balance) for balance in BALANCES),
    (STATES[0], BALANCES[-1]),
    (STATES[4], BALANCES[3]),
]


@pytest.fixture(autouse=True)
def unfused(monkeypatch):
    """Calls of the whole-tensor operations: by them alone the comparison would say nothing."""
    calls, compute = [], from_sums.loss_from_sums

    def counted(*arguments):
        calls.append(arguments)
        return compute(*arguments)

    monkeypatch.setattr(from_sums, 'loss_from_sums', counted)
    return calls


@pytest.fixture
def on_triton():
    with use_backend('triton'):
        yield


def run(backend, kind, calls, poison=(), accumulate=1, **arguments):
    """Losses, gradients, weights and moving averages of some calls in training."""
    loss = KINDS[kind].make(**arguments).to(DEVICE)
    result = []
    for number in range(calls):
        prediction, rest = KINDS[kind].call(60, seed=number, device=DEVICE)
        prediction = prediction * (number + 1)
        if number in poison:
            prediction[3, 1] = torch.inf
        prediction.requires_grad_()
        if accumulate > 1:
            loss.step.begin_iteration(is_last=number % accumulate == accumulate - 1)
        with use_backend(backend):
            value = loss(prediction, *rest)
        (3 * value).backward()
        result += [value.detach(), prediction.grad, loss.statistics.beta]
        result += [buffer.clone() for buffer in loss.state]
    return result


def assert_same(unfused, kind, calls=3, **arguments):
    ours = run('triton', kind, calls, **arguments)
    assert not unfused
    oracle = run('reference', kind, calls, **arguments)
    assert len(unfused) == calls
    for mine, theirs in zip(ours, oracle):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize(('state', 'balance'), CASES)
def test_states_and_balances(unfused, state, balance):
    assert_same(unfused, 'labels and weight', bins=10, loss_weight=0.25, **state, balance=balance)


def test_arguments_that_are_integers(unfused):
    balance = dict(equal='gradient', tempering=1)
    assert_same(unfused, 'labels', bins=10, loss_weight=2, momentum=0, balance=balance)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_kinds_of_calls(unfused, kind, reduction):
    balance = dict(outliers='keep')
    assert_same(unfused, kind, bins=10, momentum=0.75, reduction=reduction, balance=balance)


@pytest.mark.parametrize('bins', [1, 2, 33, 128])
def test_numbers_of_regions(unfused, bins):
    assert_same(unfused, 'labels and weight', bins=bins, momentum=0.75, balance='small-data')


@pytest.mark.parametrize('accumulate', [1, 2])
@pytest.mark.parametrize('kind', ['labels and weight', 'boxes and weight'])
def test_input_that_is_not_finite_and_accumulated_gradients(unfused, accumulate, kind):
    arguments = dict(bins=10, momentum=0.75, bias_correction=True)
    assert_same(unfused, kind, calls=6, poison=(2,), accumulate=accumulate, **arguments)


@pytest.mark.parametrize('equal', ['weight', 'gradient'])
def test_weights_of_boxes_that_are_fractions(equal):
    values = []
    for backend in ('triton', 'reference'):
        random = torch.Generator().manual_seed(0)
        pred = torch.randn(60, 4, generator=random).to(DEVICE)
        weight = torch.rand(60, generator=random).to(DEVICE)
        loss = GHMRLoss(mu=1.0, balance=dict(equal=equal, tempering=0.75)).to(DEVICE)
        with use_backend(backend):
            values.append(loss(pred, torch.zeros_like(pred), weight))
    torch.testing.assert_close(*values)


def test_median_mu(unfused):
    balance = dict(outliers='keep')
    assert_same(unfused, 'boxes and weight', bins=10, momentum=0.75, mu='median', balance=balance)


@pytest.mark.parametrize('make', [lambda **kw: GHMCLoss(use_sigmoid=True, **kw), GHMRLoss])
@pytest.mark.usefixtures('on_triton')
def test_levels_make_the_loss_of_all_their_examples(make):
    target = torch.rand(40, 4, device=DEVICE)
    at_once = torch.randn(40, 4, device=DEVICE, requires_grad=True)
    by_level = at_once.detach().clone().requires_grad_()
    whole = make(bins=10, momentum=0.75).to(DEVICE)
    loss = copy.deepcopy(whole)
    for _ in range(2):
        with loss.split_levels():
            levels = zip(by_level.split(13), target.split(13))
            parts = [loss(*level) for level in levels]
        ours, oracle = loss.merge(parts), whole(at_once, target)
        ours.backward()
        oracle.backward()
        torch.testing.assert_close(ours, oracle, rtol=1e-5, atol=0)
    torch.testing.assert_close(by_level.grad, at_once.grad)
    torch.testing.assert_close(loss.state_dict(), whole.state_dict())


def test_eval_mode_leaves_the_moving_average_alone():
    call = torch.randn(40, 4, device=DEVICE), torch.rand(40, 4, device=DEVICE)
    loss = GHMCLoss(use_sigmoid=True, momentum=0.75).to(DEVICE)
    with use_backend('triton'):
        loss(*call)
        before = copy.deepcopy(loss.state_dict())
        oracle = copy.deepcopy(loss.eval())
        found = loss(*call)
    with use_backend('reference'):
        torch.testing.assert_close(found, oracle(*call))
    torch.testing.assert_close(loss.statistics.beta, oracle.statistics.beta)
    assert torch.equal(loss.density.moving_average, before['density.moving_average'])


@pytest.mark.parametrize(
    ('density', 'dtype', 'takes'),
    [
        (UnitRegionDensity(128), torch.float32, True),
        (UnitRegionDensity(129), torch.float32, False),
        (UnitRegionDensity(30), torch.float64, False),
        (ExactDensity(1.0), torch.float32, False),
    ],
)
def test_what_the_kernel_takes(unfused, density, dtype, takes):
    regions = density.bins
    counts, zero = torch.ones(regions, dtype=torch.int64), torch.zeros((), dtype=torch.int64)
    made_up = RegionSums(counts, torch.ones(regions, dtype=dtype), counts.sum(), zero, zero)
    sums = RegionSums(*(each.to(DEVICE) for each in made_up))
    how = Reduction(mean=True, by_weight=False, loss_weight=1.0)
    density = density.to(DEVICE)
    triton_from_sums.loss_from_sums(density, Balance(), how, sums, sums, None)
    assert bool(unfused) != takes


@pytest.mark.usefixtures('on_triton')
def test_a_retained_graph_and_no_graph():
    logits = torch.randn(40, 4, device=DEVICE, requires_grad=True)
    labels = torch.arange(40, device=DEVICE) % 5
    loss = GHMCLoss(use_sigmoid=True).to(DEVICE)
    value = loss(logits, labels)
    value.backward(retain_graph=True)
    once = logits.grad.clone()
    value.backward()
    torch.testing.assert_close(logits.grad, 2 * once)
    with torch.no_grad():
        assert torch.equal(loss(logits, labels), value)


@pytest.mark.usefixtures('on_triton')
def test_statistics_may_be_changed_in_place_before_the_backward_pass():
    logits = torch.randn(40, 4, device=DEVICE, requires_grad=True)
    loss = GHMCLoss(use_sigmoid=True).to(DEVICE)
    value = loss(logits, torch.arange(40, device=DEVICE) % 5)
    expected = torch.autograd.grad(value, logits, retain_graph=True)
    for statistic in loss.statistics:
        statistic.mul_(2)
    torch.testing.assert_close(torch.autograd.grad(value, logits), expected)
