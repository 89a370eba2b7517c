"""The paper's form of the losses, and the exact density, against their definitions in float64."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.exact_density import exact_gradient_density
from ghm_mmdet.losses import GHMCLoss, GHMRLoss

pytestmark = pytest.mark.usefixtures('backend')


def example(anchors=300, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(anchors, classes, generator=generator, dtype=torch.float64) * 3 - 1
    labels = torch.randint(0, classes + 1, (anchors,), generator=generator)
    one_hot = F.one_hot(labels, classes + 1)[:, :-1].double()
    entropy = F.binary_cross_entropy_with_logits(logits, one_hot, reduction='none')
    return logits, labels, (logits.sigmoid() - one_hot).abs(), entropy


@pytest.mark.parametrize('bins', [1, 10, 30])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_unit_regions(bins, reduction):
    logits, labels, norm, entropy = example()
    index = (norm * bins).floor().clamp(max=bins - 1).long()
    counts = torch.bincount(index.flatten(), minlength=bins)
    weighted = entropy * norm.numel() / (counts[index] * bins)  # beta_i = N / (R_ind M)
    oracle = {'none': weighted, 'mean': weighted.mean(), 'sum': weighted.sum()}[reduction]
    loss = GHMCLoss(use_sigmoid=True, bins=bins, density='paper', reduction=reduction)
    torch.testing.assert_close(loss(logits, labels), oracle, rtol=1e-6, atol=0)


def test_exact_density_is_its_definition_up_to_the_histogram():
    logits, labels, norm, entropy = example(anchors=2000)
    density = exact_gradient_density(norm.flatten(), 0.1).reshape(norm.shape)
    loss = GHMCLoss(use_sigmoid=True, bins=10, density='exact')
    torch.testing.assert_close(loss(logits, labels), (entropy / density).sum(), rtol=0.01, atol=0)


def test_exact_and_unit_region_agree_where_g_is_uniform():
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(250_000, 4, generator=generator).logit()
    background = torch.full((len(logits),), 4)
    unit = GHMCLoss(use_sigmoid=True, bins=30)
    exact = GHMCLoss(use_sigmoid=True, bins=30, density='exact')
    ratio = exact(logits, background) / unit(logits, background)
    assert abs(ratio.item() - 1) < 0.02


@pytest.mark.parametrize('make', [lambda **kw: GHMCLoss(use_sigmoid=True, **kw), GHMRLoss])
@pytest.mark.parametrize('density', ['mmdet', 'paper', 'exact'])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_gradcheck_with_constant_weights(make, density, reduction):
    generator = torch.Generator().manual_seed(3)
    prediction = torch.randn(12, 4, generator=generator, dtype=torch.float64) * 0.05
    target = torch.rand(12, 4, generator=generator).round().double()
    loss = make(density=density, reduction=reduction)
    # no example is so near an edge that gradcheck's step of 1e-6 would move it to another region
    assert torch.autograd.gradcheck(lambda x: loss(x, target), prediction.requires_grad_())


def test_bias_correction_frees_the_first_call_of_the_zero_start():
    logits, labels, _, _ = example()
    smoothed = GHMCLoss(use_sigmoid=True, bins=10, momentum=0.75, bias_correction=True)
    plain = GHMCLoss(use_sigmoid=True, bins=10)
    torch.testing.assert_close(smoothed(logits, labels), plain(logits, labels))
    uncorrected = GHMCLoss(use_sigmoid=True, bins=10, momentum=0.75)
    torch.testing.assert_close(uncorrected(logits, labels), plain(logits, labels) / (1 - 0.75))
