"""The loss as one compiled operator, against the reference's sums, weights and gradient."""

from __future__ import annotations

import pytest
import torch

from ghm_mmdet.method.balance import PRESETS, Balance
from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.density import ExactDensity, UnitRegionDensity, region_edges
from ghm_mmdet.ops import Examples, Reduction, backends, harmonized_loss
from tests.back_ends import NEEDS_COMPILED

pytestmark = NEEDS_COMPILED

SIZES = (40, 0, 9, 300)
FACTORS = (1.0, 2.0, torch.tensor(0.5), 3.0)
BALANCES = [
    *PRESETS.values(),
    Balance('weight', 0.5, 'keep'),
    Balance('gradient', 0.0),
]


def levels(seed, criterion):
    generator = torch.Generator().manual_seed(seed)
    for size, factor in zip(SIZES, FACTORS):
        prediction = torch.randn(size, 4, generator=generator) * 2 - 1
        weight = (torch.rand(size, 1, generator=generator) < 0.9).float() * 1.5
        if isinstance(criterion, SigmoidCrossEntropy):
            target = LabelTarget(torch.randint(0, 5, (size,), generator=generator))
        else:
            target = DenseTarget(torch.randn(size, 4, generator=generator))
        yield Examples(prediction.requires_grad_(), target, weight, factor)


def computed(name, batch, criterion, density, balance, reduction, updates=True):
    result = harmonized_loss(
        criterion, batch, density, balance, reduction, updates, backends.load(name)
    )
    result.loss.backward()
    gradients = [level.prediction.grad for level in batch]
    state = [buffer.clone() for buffer in density.state]
    return [*result, *gradients, *state]


@pytest.mark.parametrize('criterion', [SigmoidCrossEntropy(), AuthenticSmoothL1(0.3)])
@pytest.mark.parametrize('form', ['mmdet', 'paper'])
@pytest.mark.parametrize(('momentum', 'corrected'), [(0, False), (0.75, False), (0.75, True)])
@pytest.mark.parametrize('balance', BALANCES)
@pytest.mark.parametrize('mean', [True, False])
def test_two_iterations(criterion, form, momentum, corrected, balance, mean):
    reduction = Reduction(mean=mean, by_weight=criterion.probabilities, loss_weight=0.7)
    results = {}
    for name in ('reference', 'cpp'):
        density = UnitRegionDensity(12, form, momentum, corrected)
        # in the second iteration fewer regions have an example
        results[name] = [
            computed(name, batch, criterion, density, balance, reduction)
            for batch in (list(levels(0, criterion)), list(levels(1, criterion))[:1])
        ]
    for expected, found in zip(*results.values()):
        for theirs, mine in zip(expected, found):
            torch.testing.assert_close(mine, theirs, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('what', ['not finite', 'label', 'evaluation'])
def test_the_average_stays(what):
    density = UnitRegionDensity(12, momentum=0.5)
    batch = list(levels(0, SigmoidCrossEntropy()))
    with torch.no_grad():
        if what == 'not finite':
            batch[2].prediction[batch[2].weight[:, 0] > 0] = float('nan')
        if what == 'label':
            batch[2].target.labels[:] = 7
    reduction = Reduction(True, False, 1.0)
    trains = what != 'evaluation'
    backend = backends.load('cpp')
    result = harmonized_loss(
        SigmoidCrossEntropy(), batch, density, Balance(), reduction, trains, backend
    )
    assert not density.moving_average.any()
    assert (result.nonfinite > 0).tolist() == [False, False, what == 'not finite', False]
    valid = int((batch[2].weight > 0).sum())
    assert result.bad_targets == (valid if what == 'label' else 0)
    assert result.loss.isnan() == (what == 'not finite')


def test_what_the_operator_cannot_compute_is_left_to_the_pieces():
    batch, reduction = list(levels(0, SigmoidCrossEntropy())), Reduction(True, False, 1.0)
    exact = ExactDensity(0.1)
    backend = backends.load('cpp')
    arguments = SigmoidCrossEntropy(), batch, exact, Balance(), reduction, True
    assert backend.harmonized_loss(*arguments) is None
    assert harmonized_loss(*arguments, backend).loss.isfinite()


def test_the_polynomials_are_within_their_bound():
    """One region of scale 1, so that the gradient is the sigmoid and the loss the softplus."""
    x = torch.cat([torch.linspace(-86, 86, 20_001), torch.linspace(-1, 1, 20_001)]).unsqueeze(1)
    negatives = Examples(x, DenseTarget(torch.zeros_like(x)))
    module, edges = backends.load('cpp'), region_edges(1)
    gradient = module.gradient(SigmoidCrossEntropy(), negatives, edges, torch.ones(1))
    torch.testing.assert_close(gradient.double(), x.double().sigmoid(), rtol=3e-7, atol=0)
    for part in x[::500]:
        examples = Examples(part.unsqueeze(0), DenseTarget(torch.zeros(1, 1)))
        loss = module.region_sums(SigmoidCrossEntropy(), examples, edges).losses
        expected = torch.nn.functional.softplus(part.double(), threshold=1000)
        torch.testing.assert_close(loss.double(), expected, rtol=3e-7, atol=0)
