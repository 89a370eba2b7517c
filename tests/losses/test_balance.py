"""Weights that are equal in gradient, or tempered, against their definitions in float64."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from sklearn.isotonic import isotonic_regression

from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMCLoss, GHMRLoss
from ghm_mmdet.method.balance import Balance, build_balance
from ghm_mmdet.method.density import UnitRegionDensity
from tests.losses.kinds import KINDS, STATES

ON_EACH_BACK_END = pytest.mark.usefixtures('backend')
"""For the sums that a back end hands over; the weights are made of them by the same code on all."""

BINS = 10
DENSITY = UnitRegionDensity(BINS)
BALANCES = [
    dict(equal=equal, tempering=tempering, outliers=outliers)
    for equal in ('weight', 'gradient')
    for tempering in (0.5, 1.0)
    for outliers in ('damp', 'keep')
]
OF_UNIT_REGIONS = [name for name, state in STATES.items() if state.get('density') != 'exact']
STATES_AND_OUTLIERS = [
    *((name, 'damp') for name in STATES),
    *((name, 'keep') for name in OF_UNIT_REGIONS),
]
PAPER = dict(equal='weight', tempering=1.0, outliers='damp')


def example(anchors=400, classes=4):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(anchors, classes, generator=generator, dtype=torch.float64) * 2 - 2
    labels = torch.randint(0, classes + 1, (anchors,), generator=generator)
    one_hot = F.one_hot(labels, classes + 1)[:, :-1].double()
    return logits, labels, one_hot


@ON_EACH_BACK_END
@pytest.mark.parametrize('balance', [each for each in BALANCES if each != PAPER])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_definition(balance, reduction):
    logits, labels, one_hot = example()
    index = ((logits.sigmoid() - one_hot).abs() * BINS).floor().long()
    counts = torch.bincount(index.flatten(), minlength=BINS).double()
    made_equal = (torch.arange(BINS) + 0.5) / BINS if balance['equal'] == 'gradient' else 1
    inverse = counts * made_equal
    if balance['outliers'] == 'keep':
        fitted = isotonic_regression(inverse.numpy(), increasing=False)
        assert (fitted != inverse.numpy()).any()
        inverse = torch.from_numpy(fitted.copy())
    beta = (1 / inverse ** balance['tempering'])[index]
    if balance['equal'] == 'gradient':
        beta *= 0.5 / (beta * made_equal[index]).mean()
    else:
        beta /= beta.mean()
    weighted = beta * F.binary_cross_entropy_with_logits(logits, one_hot, reduction='none')
    oracle = {'none': weighted, 'mean': weighted.mean(), 'sum': weighted.sum()}[reduction]
    loss = GHMCLoss(use_sigmoid=True, bins=BINS, reduction=reduction, balance=balance)
    torch.testing.assert_close(loss(logits, labels), oracle, rtol=1e-6, atol=0)


@ON_EACH_BACK_END
@pytest.mark.parametrize('state', [{}, *STATES.values()], ids=['no state', *STATES])
@pytest.mark.parametrize('equal', ['weight', 'gradient'])
def test_at_a_tempering_of_zero_nothing_is_balanced(state, equal):
    logits, labels, one_hot = example()
    loss = GHMCLoss(use_sigmoid=True, balance=dict(tempering=0, equal=equal), **state)
    oracle = F.binary_cross_entropy_with_logits(logits, one_hot)
    assert_equal_to_scale(loss, loss(logits, labels), oracle)
    loss = GHMRLoss(mu=0.5, balance=dict(tempering=0, equal=equal), **state)
    oracle = AuthenticSmoothL1Loss(mu=0.5, reduction='mean')(logits, one_hot)
    assert_equal_to_scale(loss, loss(logits, one_hot), oracle)


def assert_equal_to_scale(loss, value, oracle):
    counts = loss.statistics.counts
    scale = 1.0
    if loss.balance.equal == 'gradient':
        scale = 0.5 * counts.sum() / (loss.density.gradient_norm * counts).sum()
    torch.testing.assert_close(value, oracle * scale, rtol=1e-6, atol=0)


@ON_EACH_BACK_END
def test_equal_gradient_is_equal_up_to_the_width_of_a_region():
    logits, labels, one_hot = example()
    logits.requires_grad_()
    GHMCLoss(use_sigmoid=True, bins=BINS, balance='gradient')(logits, labels).backward()
    index = ((logits.sigmoid() - one_hot).abs() * BINS).floor().long()
    total = torch.zeros(BINS, dtype=torch.float64)
    total.index_add_(0, index.flatten(), logits.grad.abs().flatten())
    # g lies within half a region of the centre that stands for it
    slack = 0.5 / (torch.arange(BINS) + 0.5)
    middle = total[-1]
    assert (total <= middle * (1 + slack) / (1 - slack[-1])).all()
    assert (total >= middle * (1 - slack) / (1 + slack[-1])).all()


@pytest.mark.parametrize('tempering', [0.0, 0.5, 0.9])
@pytest.mark.parametrize(('state', 'outliers'), STATES_AND_OUTLIERS)
@pytest.mark.parametrize('kind', KINDS)
def test_the_mean_weight_is_one_whatever_the_state(kind, state, tempering, outliers):
    balance = dict(tempering=tempering, outliers=outliers)
    loss = KINDS[kind].make(**STATES[state], balance=balance)
    for counts, beta in called(loss, kind):
        torch.testing.assert_close((beta * counts).sum() / counts.sum(), torch.tensor(1.0))


@pytest.mark.parametrize('tempering', [0.0, 0.5, 1.0])
@pytest.mark.parametrize(('state', 'outliers'), STATES_AND_OUTLIERS)
@pytest.mark.parametrize('kind', KINDS)
def test_equal_gradient_has_a_total_of_one_half_whatever_the_state(
    kind, state, tempering, outliers
):
    balance = dict(equal='gradient', tempering=tempering, outliers=outliers)
    loss = KINDS[kind].make(**STATES[state], balance=balance)
    for counts, beta in called(loss, kind):
        total = (beta * loss.density.gradient_norm * counts).sum() / counts.sum()
        torch.testing.assert_close(total, torch.tensor(0.5))


@ON_EACH_BACK_END
@pytest.mark.parametrize('balance', BALANCES)
def test_weights_that_all_boxes_share_change_nothing(balance):
    deltas, target = KINDS['boxes'].call(200).prediction, torch.zeros(200, 4)
    values, gradients = [], []
    for weight in (torch.ones(200), torch.full((200,), 0.25)):
        pred = deltas.clone().requires_grad_()
        values.append(GHMRLoss(mu=1.0, momentum=0.5, balance=balance)(pred, target, weight))
        gradients += torch.autograd.grad(values[-1], pred)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


@ON_EACH_BACK_END
@pytest.mark.parametrize('equal', ['weight', 'gradient'])
@pytest.mark.parametrize('state', OF_UNIT_REGIONS)
@pytest.mark.parametrize('kind', KINDS)
def test_kept_outliers_never_weigh_less_than_easier_examples(kind, state, equal):
    balance = dict(preset='small-data', equal=equal)
    loss = KINDS[kind].make(**STATES[state], balance=balance)
    for _, beta in called(loss, kind):
        filled = beta[beta > 0]
        assert (filled[1:] >= filled[:-1] * (1 - 1e-6)).all()


def test_nothing_is_pooled_where_counts_times_g_fall_all_along():
    gradient_norm = (torch.arange(5) + 0.5) / 5
    logits = gradient_norm.logit().repeat_interleave(6 ** torch.arange(4, -1, -1))[:, None]
    background = torch.ones(len(logits), dtype=torch.long)
    balance = dict(equal='gradient', tempering=0.75)
    damped, kept = (
        GHMCLoss(use_sigmoid=True, bins=5, balance=dict(outliers=outliers, **balance))(
            logits, background
        )
        for outliers in ('damp', 'keep')
    )
    torch.testing.assert_close(kept, damped)


def called(loss, kind):
    """Counts and weights of a few calls of different sizes."""
    for seed, size in enumerate((50, 7, 300)):
        call = KINDS[kind].call(size, seed)
        loss(call.prediction, *call.arguments)
        yield loss.statistics.counts, loss.statistics.beta


def test_negatives_and_positives_pull_alike_when_two_regions_are_filled():
    """As at the start of a training: a prior of 0.01, and few positives among many negatives."""
    logits = torch.full((1000, 1), -4.6, requires_grad=True)
    labels = torch.ones(1000, dtype=torch.long)
    labels[:3] = 0
    GHMCLoss(use_sigmoid=True, bins=30, balance='gradient')(logits, labels).backward()
    positive, negative = logits.grad[:3].sum(), logits.grad[3:].sum()
    # g = 0.01 stands at the centre of the first region, 0.0167, and 0.99 at that of the last
    torch.testing.assert_close(negative, torch.tensor(0.25 * 0.6), rtol=0.02, atol=0)
    torch.testing.assert_close(positive, torch.tensor(-0.25), rtol=0.02, atol=0)


@ON_EACH_BACK_END
@pytest.mark.parametrize('outliers', ['damp', 'keep'])
@pytest.mark.parametrize('kind', KINDS)
def test_no_example_at_all(kind, outliers):
    prediction = torch.zeros(0, 4, requires_grad=True)
    arguments = KINDS[kind].call(0).arguments
    balance = dict(equal='gradient', tempering=0.5, outliers=outliers)
    loss = KINDS[kind].make(momentum=0.5, balance=balance)
    loss(prediction, *arguments).backward()
    assert loss.statistics.beta.isfinite().all()


@pytest.mark.parametrize('balance', BALANCES, ids=str)
def test_a_region_that_has_long_been_empty_weighs_nothing(balance):
    """Its decayed average ends in numbers whose inverse is infinite."""
    loss = GHMCLoss(use_sigmoid=True, bins=5, momentum=0.75, density='paper', balance=balance)
    labels = torch.ones(20, dtype=torch.long)
    loss(torch.full((20, 1), 3.0), labels)
    logits = torch.full((20, 1), -3.0, requires_grad=True)
    for _ in range(500):
        value = loss(logits, labels)
        assert value.isfinite()
    value.backward()
    assert logits.grad.isfinite().all()
    assert loss.statistics.beta[-1] == 0


@pytest.mark.parametrize(
    ('balance', 'message'),
    [
        (dict(equal='loss'), "^balance.equal='loss': "),
        (dict(tempering=-0.1), '^balance.tempering=-0.1: '),
        (dict(tempering=1.5), '^balance.tempering=1.5: '),
        (dict(outliers='drop'), "^balance.outliers='drop': "),
        (dict(preset='large-data'), "^balance.preset='large-data': must be one of 'weight', "),
        (dict(temper=0.5), "^balance: argument='temper': must be one of 'preset', 'equal', "),
    ],
    ids=str,
)
@pytest.mark.parametrize('make', [lambda **kw: GHMCLoss(use_sigmoid=True, **kw), GHMRLoss])
def test_bad_arguments_are_refused(make, balance, message):
    with pytest.raises(ValueError, match=message):
        make(balance=balance)


def test_outliers_are_not_kept_by_the_exact_density():
    with pytest.raises(ValueError, match=r"^balance.outliers='keep': must be 'damp' with "):
        GHMRLoss(balance='small-data', density='exact')


def test_a_preset_is_its_parts_and_a_part_changes_it():
    assert build_balance('small-data', DENSITY) == Balance('gradient', 0.75, 'keep')
    assert build_balance(dict(preset='small-data', tempering=0.5), DENSITY) == Balance(
        'gradient', 0.5, 'keep'
    )
    assert build_balance(ConfigDict(equal='gradient'), DENSITY) == build_balance(
        'gradient', DENSITY
    )
    assert build_balance(Balance(tempering=0.5), DENSITY) == Balance(tempering=0.5)
