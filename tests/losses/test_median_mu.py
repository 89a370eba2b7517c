"""GHM-R whose mu follows the median error: the median itself, and the same mu as a number."""

import copy

import pytest
import torch
from mmdet.registry import MODELS

from ghm_mmdet.diagnosis.loss_reader import mu_of
from ghm_mmdet.heads.whole_pyramid import _merge_levels
from ghm_mmdet.losses import GHMRLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.median_error import MedianError
from tests.back_ends import NEEDS_TORCH_2_8

BINS = 10
ERRORS = {
    'normal': lambda n, random: torch.randn(n, generator=random),
    'exponential': lambda n, random: torch.empty(n).exponential_(generator=random),
    'uniform': lambda n, random: torch.rand(n, generator=random),
    'half of them huge': lambda n, random: torch.cat(
        [torch.rand(n // 2 + 1, generator=random), 1e3 + torch.rand(n // 2, generator=random)]
    ),
}


def boxes(size, scale=1.0, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    pred = scale * torch.randn(size, 4, generator=random, dtype=torch.float64)
    return pred.to(dtype).requires_grad_(), torch.zeros(size, 4, dtype=dtype)


def settled(scale=1.0, **arguments):
    loss = GHMRLoss(mu='median', bins=BINS, momentum=0.7, **arguments)
    for seed in range(30):
        loss(*boxes(400, scale, seed))
    return loss


@pytest.mark.parametrize('momentum', [0, 0.7])
@pytest.mark.parametrize('scale', [1e-3, 0.05, 1.0, 1e3])
@pytest.mark.parametrize('errors', ERRORS)
def test_it_becomes_the_median_whatever_the_scale(errors, scale, momentum):
    random = torch.Generator().manual_seed(0)
    difference = scale * ERRORS[errors](2001, random)[torch.randperm(2001, generator=random)]
    loss = GHMRLoss(mu='median', bins=100, momentum=momentum)
    for _ in range(60):
        loss(difference.unsqueeze(1), torch.zeros(2001, 1))
    # the region of the median is 0.01 wide, where d|d| / d gr = mu / (1 - gr^2)^1.5 = 2.9 mu
    assert loss.mu == pytest.approx(float(difference.abs().median()), rel=0.03)


@pytest.mark.parametrize('equal', ['weight', 'gradient'])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_it_is_the_loss_of_that_mu(reduction, equal):
    loss = settled(balance=equal, reduction=reduction)
    oracle = GHMRLoss(mu=loss.mu, bins=BINS, momentum=0.7, balance=equal, reduction=reduction)
    oracle.density.load_state_dict(loss.density.state_dict())
    values, gradients = [], []
    for each in (loss, oracle):
        pred, target = boxes(300, seed=99)
        values.append(each(pred, target))
        values[-1].sum().backward()
        gradients.append(pred.grad)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


def test_its_gradients_do_not_depend_on_the_unit_of_the_deltas():
    loss, other = settled(), settled()
    other.median_error.average *= 64
    for seed in range(5):
        gradients = []
        for each, scale in ((loss, 1), (other, 64)):
            pred, target = boxes(300, scale, seed)
            each(pred, target).backward()
            gradients.append(pred.grad)
        # a power of two changes no rounding
        assert torch.equal(*gradients)
    assert other.mu == 64 * loss.mu


CALLS_THAT_DO_NOT_TRAIN = {
    'in eval mode': lambda loss: loss.eval()(*boxes(50)),
    'under no_grad': lambda loss: torch.no_grad()(loss)(*boxes(50)),
    'element by element': lambda loss: loss(*boxes(50), reduction_override='none'),
    'without an example': lambda loss: loss(*boxes(0)),
    'all ignored': lambda loss: loss(*boxes(50), torch.zeros(50)),
    'with one NaN': lambda loss: loss(with_nan(boxes(50)[0]), boxes(50)[1]),
}


def with_nan(pred):
    return pred.index_fill(0, torch.tensor([7]), torch.nan)


@pytest.mark.parametrize('call', CALLS_THAT_DO_NOT_TRAIN)
@pytest.mark.parametrize('scale', [0, 0.3])
def test_it_stays_where_a_call_trains_on_nothing(call, scale):
    loss = settled(scale) if scale else GHMRLoss(mu='median', momentum=0.7)
    before = loss.mu
    CALLS_THAT_DO_NOT_TRAIN[call](loss)
    assert loss.mu == before


def test_it_is_saved_and_restored():
    loss, other = settled(0.3), GHMRLoss(mu='median', bins=BINS, momentum=0.7)
    assert other.mu == pytest.approx(MedianError.START)
    other.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert other.mu == loss.mu == mu_of(loss, 0.02)
    torch.testing.assert_close(other.state, loss.state)


@pytest.mark.parametrize(('ignored', 'divisor'), [(True, 1), (False, 7)])
def test_one_mu_for_all_levels_of_a_pyramid(ignored, divisor):
    together, apart = settled(0.05), settled(0.05)
    pred, target = boxes(300, seed=99)
    whole = together(pred, target)
    with apart.split_levels(ignore_factors=ignored):
        parts = [apart(pred[part], target[part]) for part in (slice(0, 200), slice(200, 300))]
    levels = [part / 7 for part in parts]
    torch.testing.assert_close(_merge_levels(levels) * divisor, whole)
    assert apart.mu == pytest.approx(together.mu)
    # one tensor: a back end may then see the levels at once
    assert len({id(part.examples.factor) for part in parts}) == 1


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_lose_nothing_against_the_same_mu_as_a_number(dtype):
    loss = settled(0.003)
    oracle = GHMRLoss(mu=loss.mu, bins=BINS, momentum=0.7)
    oracle.density.load_state_dict(loss.density.state_dict())
    gradients = []
    for each in (loss, oracle):
        pred, target = boxes(300, seed=99, dtype=dtype)
        (each(pred, target) * 2**10).backward()
        gradients.append(pred.grad)
    assert gradients[0].dtype == dtype
    torch.testing.assert_close(*gradients, rtol=2 * torch.finfo(dtype).eps + 1e-5, atol=0)


@pytest.mark.parametrize('share', [0.6, 1.0])
def test_a_median_of_zero_ends_nothing(share):
    loss = GHMRLoss(mu='median', bins=BINS, momentum=0.7)
    exact = int(400 * share)
    for seed in range(400):
        pred, target = boxes(400, 0.1, seed)
        value = loss(torch.cat([target[:exact], pred[exact:]]), target)
    assert loss.mu == pytest.approx(MedianError.MINIMUM, rel=1e-3)
    assert value.isfinite()
    for seed in range(60):
        loss(*boxes(400, 0.1, seed))
    assert loss.mu == pytest.approx(0.0674, rel=0.1)


@NEEDS_TORCH_2_8
def test_compiled_as_a_whole():
    loss, compiled = settled(), settled()
    function = torch.compile(compiled, fullgraph=True, backend='aot_eager')
    for seed in (1, 2):
        torch.testing.assert_close(function(*boxes(300, seed=seed)), loss(*boxes(300, seed=seed)))
    assert compiled.mu == pytest.approx(loss.mu)


def test_it_is_built_from_a_config():
    config = dict(type='GHMRLoss', mu='median', bins=BINS, momentum=0.7, loss_weight=10.0)
    assert isinstance(MODELS.build(config), GHMLoss)


@pytest.mark.parametrize('bins', [1, 4])
def test_too_few_regions_are_refused(bins):
    with pytest.raises(ValueError, match=f"^bins={bins}: must be 5 or more with mu='median'$"):
        GHMRLoss(mu='median', bins=bins)


@pytest.mark.parametrize('mu', ['mean', '', 0, -1.0, True, None])
def test_another_mu_is_refused(mu):
    with pytest.raises(
        ValueError, match=f"^mu={mu!r}: must be a number in .1e-18, 1e18. or 'median'$"
    ):
        GHMRLoss(mu=mu)


def test_resuming_goes_on_with_the_average(training_run):
    loss, other = settled(), GHMRLoss(mu='median', bins=BINS, momentum=0.7)
    training_run(7)
    other.load_state_dict(loss.state_dict())
    before = other.mu
    pred, target = boxes(400, 0.5, seed=99)
    other(pred, target)
    median = float(pred.abs().median())
    assert other.mu == pytest.approx(0.7 * before + 0.3 * median, rel=0.05)


def test_fine_tuning_begins_as_a_fresh_loss_does(training_run):
    loaded, fresh = (GHMRLoss(mu='median', bins=BINS, momentum=0.7) for _ in range(2))
    loaded.load_state_dict(settled(scale=1e-3).state_dict())
    training_run(0)
    for seed in range(3):
        values = [each(*boxes(400, 1.0, seed)) for each in (loaded, fresh)]
        assert torch.equal(*values) and loaded.mu == fresh.mu


def test_it_moves_once_for_an_optimizer_step():
    together, apart = settled(), settled()
    pred, target = boxes(400, 0.1, seed=99)
    together(pred, target)
    before = apart.mu
    accumulate(apart, pred, target)
    assert apart.mu == together.mu != before


def accumulate(loss, pred, target):
    before = loss.mu
    for is_last, part in ((False, slice(0, 150)), (True, slice(150, 400))):
        assert loss.mu == before or loss.mu == pytest.approx(MedianError.START)
        loss.step.begin_iteration(is_last)
        loss(pred[part], target[part])


def test_fine_tuning_with_accumulated_gradients(training_run):
    loaded, fresh = (GHMRLoss(mu='median', bins=BINS, momentum=0.7) for _ in range(2))
    training_run(0)
    loaded.load_state_dict(settled().state_dict())
    for loss in (loaded, fresh):
        accumulate(loss, *boxes(400, 0.5, seed=99))
    assert loaded.mu == fresh.mu


def test_levels_of_a_head_that_calls_for_each_share_the_mu_of_their_step():
    loss = settled(0.05)
    loss.step.begin_iteration(is_last=True)
    used = []
    for seed in range(3):
        loss(*boxes(100, 1.0, seed))
        used.append(float(loss.mu_of_call))
    assert used[0] == used[1] == used[2] != loss.mu


def test_input_that_is_not_finite_changes_nothing():
    loss = settled()
    before = loss.mu
    pred, target = boxes(50)
    assert loss(with_nan(pred), target).isnan()
    assert loss.mu == before
