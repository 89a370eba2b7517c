"""Reformulated gradients against the gradients that the losses themselves have."""

from functools import partial

import numpy as np
import pytest
import torch
from mmdet.models.losses import SmoothL1Loss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch.nn.functional import binary_cross_entropy_with_logits

from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMCLoss, GHMRLoss
from gradient_report.curves import (
    SMOOTH_L1_BETA,
    classification_curves,
    contribution_shares,
    region_centres,
    regression_curves,
)

COUNTS = np.array([900, 300, 0, 40, 7, 0, 3, 1, 20, 60])
BINS = 5
MU = 0.05  # so that the box errors lie on both sides of smooth L1's beta


def cross_entropy(logits, target):
    return binary_cross_entropy_with_logits(logits, target, reduction='sum')


def focal(logits, target):
    return py_sigmoid_focal_loss(logits, target, gamma=2.0, alpha=0.5, reduction='sum')


def ghm_c(logits, target, **settings):
    return GHMCLoss(use_sigmoid=True, bins=BINS, reduction='sum', **settings)(logits, target)


CLASSIFICATION = {
    'cross entropy': cross_entropy,
    'focal loss': focal,
    'GHM-C': ghm_c,
    'GHM-C, small-data': partial(ghm_c, balance='small-data'),
}
REGRESSION = {
    'smooth L1': SmoothL1Loss(beta=SMOOTH_L1_BETA, reduction='sum'),
    'authentic smooth L1': AuthenticSmoothL1Loss(mu=MU, reduction='sum'),
    'GHM-R': GHMRLoss(mu=MU, bins=BINS, reduction='sum'),
}


def norms_at_centres(counts):
    return torch.from_numpy(np.repeat(region_centres(len(counts)), counts)).unsqueeze(1)


def gradient_norms(loss, prediction, target):
    """Magnitude of each example's gradient, as autograd has it."""
    prediction = prediction.clone().requires_grad_()
    loss(prediction, target).backward()
    return prediction.grad.abs()


def mean_by_region(values, norms, bins, total):
    """Means of the values after these are scaled to a total; NaN in empty regions."""
    region = (norms * bins).long().clamp(max=bins - 1).flatten().numpy()
    sums = np.bincount(region, values.flatten().numpy(), bins)
    with np.errstate(invalid='ignore'):
        return sums * (total / sums.sum()) / np.bincount(region, minlength=bins)


@pytest.mark.parametrize('positive', [False, True])
@pytest.mark.parametrize('name', CLASSIFICATION)
def test_classification_curves_are_the_losses_gradients(name, positive):
    norms = norms_at_centres(COUNTS)
    logits = (1 - norms if positive else norms).logit()
    gradients = gradient_norms(
        CLASSIFICATION[name], logits, torch.full_like(logits, float(positive))
    )
    expected = mean_by_region(gradients, norms, len(COUNTS), norms.sum().item())
    curves = classification_curves(COUNTS, BINS)
    assert curves.keys() == CLASSIFICATION.keys()
    np.testing.assert_allclose(curves[name][COUNTS > 0], expected[COUNTS > 0], rtol=1e-5)


@pytest.mark.parametrize('sign', [-1, 1])
@pytest.mark.parametrize('name', REGRESSION)
def test_regression_curves_are_the_losses_gradients(name, sign):
    norms = norms_at_centres(COUNTS)
    difference = sign * MU * norms / (1 - norms**2).sqrt()
    gradients = gradient_norms(REGRESSION[name], difference, torch.zeros_like(difference))
    expected = mean_by_region(gradients, norms, len(COUNTS), norms.sum().item())
    curves = regression_curves(COUNTS, MU, BINS)
    assert curves.keys() == REGRESSION.keys()
    np.testing.assert_allclose(curves[name][COUNTS > 0], expected[COUNTS > 0], rtol=1e-5)


@pytest.mark.parametrize('num_fine', [120, 100])
def test_ghm_c_curve_of_drawn_examples_within_the_resolution_of_the_regions(num_fine):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200_000, 1, generator=generator, dtype=torch.float64) * 2 - 1
    target = (torch.rand(logits.shape, generator=generator) < 0.1).double()
    norms = (logits.sigmoid() - target).abs()
    loss = GHMCLoss(use_sigmoid=True, bins=30, reduction='sum')
    gradients = gradient_norms(loss, logits, target)
    counts = torch.histc(norms, num_fine, 0, 1).numpy()
    expected = mean_by_region(gradients, norms, num_fine, norms.sum().item())
    curve = classification_curves(counts, 30)['GHM-C']
    # half a region beside its centre, and the noise of the counts where regions lie across
    off_centre = 1 / (2 * np.arange(num_fine) + 1)
    assert (np.abs(curve / expected - 1) < off_centre + 0.05).all()


@pytest.mark.parametrize(('num_fine', 'bins'), [(30, 30), (100, 30), (50, 7), (7, 10)])
def test_a_uniform_distribution_is_harmonized_already(num_fine, bins):
    counts = np.full(num_fine, 13)
    identity = region_centres(num_fine)
    curves = {
        **classification_curves(counts, bins),
        **regression_curves(counts, bins=bins),
    }
    for name in ('cross entropy', 'GHM-C', 'authentic smooth L1', 'GHM-R'):
        np.testing.assert_allclose(curves[name], identity, rtol=1e-6)


def test_an_empty_region_stays_empty_where_edges_are_no_binary_fractions():
    filled = np.arange(90) // 3 % 2 == 0
    curve = classification_curves(np.where(filled, 5, 0), 30)['GHM-C']
    np.testing.assert_array_equal(curve > 0, filled)


def test_ghm_c_share_of_filled_regions_is_a_ramp():
    counts = np.random.default_rng(0).integers(1, 10**6, 30)
    share = contribution_shares(counts, classification_curves(counts, 30))['GHM-C']
    np.testing.assert_allclose(share, (2 * np.arange(1, 31) - 1) / 30**2, rtol=1e-6)
    assert f'{share[-1]:.1%}' == '6.6%'
    assert f'{share[20:].sum():.0%}' == '56%'


def test_shares_are_of_the_total():
    counts = np.random.default_rng(0).integers(0, 100, 60)
    curves = {**classification_curves(counts), **regression_curves(counts)}
    for name, share in contribution_shares(counts, curves).items():
        np.testing.assert_allclose(share, counts * curves[name] / (counts * curves[name]).sum())


@pytest.mark.parametrize(
    ('curves', 'counts', 'arguments', 'message'),
    [
        (classification_curves, [0, 0], {}, 'not all 0'),
        (classification_curves, [], {}, 'not all 0'),
        (classification_curves, [[1, 2]], {}, 'one row'),
        (regression_curves, [2, -1], {}, 'none below 0'),
        (regression_curves, [1, np.nan], {}, 'none below 0'),
        (classification_curves, [1], {'bins': 0}, 'bins=0: must be an integer'),
        (regression_curves, [1], {'mu': 0}, 'mu=0: must be a number in'),
    ],
)
def test_errors_name_the_argument(curves, counts, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        curves(np.array(counts), **arguments)
    assert '\n' not in str(caught.value)
