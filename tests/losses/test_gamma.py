"""The factor by which GHM-C falls as the positives are learned, by its definition in float64."""

import copy

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss
from tests.back_ends import NEEDS_TORCH_2_8
from tests.losses.forms import CLASSES, FORMS, batch

MOMENTUM = 0.75


def make(form='labels', **arguments):
    arguments = dict(bins=10, momentum=MOMENTUM, **arguments)
    return GHMCLoss(use_sigmoid=not form.startswith('softmax'), **arguments)


def norms_of_positives(prediction, full, weight, softmax=False):
    """g of every positive that is valid, float64."""
    prediction, full = prediction.detach().double(), full.double()
    if softmax:
        norms = (prediction.softmax(1) - full).abs().sum(1, keepdim=True) / 2
        positive = (full[:, :CLASSES] > 0).any(1, keepdim=True)
    else:
        norms, positive = (prediction.sigmoid() - full).abs(), full > 0
    return norms[positive & (weight > 0)[:, None]]


def mean_by_age(norms):
    """The mean over the positives of all calls, each of which counts by its age."""
    ages = [MOMENTUM**age for age in reversed(range(len(norms)))]
    total = sum(age * each.sum() for age, each in zip(ages, norms))
    return total / sum(age * len(each) for age, each in zip(ages, norms))


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('form', FORMS)
def test_the_loss_is_multiplied_by_a_power_of_the_mean_gradient_norm_of_the_positives(form, gamma):
    loss, plain = make(form, gamma=gamma), make(form)
    norms = []
    for seed in range(3):
        prediction, target, full, weight = batch(form, seed=seed)
        prediction.requires_grad_()
        norms.append(norms_of_positives(prediction, full, weight, form.startswith('softmax')))
        factor = float(mean_by_age(norms)) ** gamma
        values = [each(prediction, target, weight) for each in (loss, plain)]
        actual, without = (torch.autograd.grad(each, prediction)[0] for each in values)
        torch.testing.assert_close(values[0], factor * values[1], rtol=1e-5, atol=0)
        torch.testing.assert_close(actual, factor * without, rtol=1e-5, atol=0)
    # these use the mean, and leave it as it is
    before = copy.deepcopy(loss.state_dict())
    values = [each(prediction, target, weight, reduction_override='none') for each in (loss, plain)]
    torch.testing.assert_close(values[0], factor * values[1], rtol=1e-5, atol=0)
    values = [each.eval()(prediction, target, weight) for each in (loss, plain)]
    torch.testing.assert_close(values[0], factor * values[1], rtol=1e-5, atol=0)
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)


def test_probabilities_have_the_gradient_norm_of_their_logits():
    prediction, target, _, weight = batch('labels')
    losses = make(gamma=1.0), make(gamma=1.0, activated=True)
    for loss, values in zip(losses, (prediction, prediction.sigmoid())):
        loss(values, target, weight)
    first, second = (loss.positive_gradient.mean() for loss in losses)
    torch.testing.assert_close(first, second)


def test_levels_that_are_merged_have_one_mean():
    prediction, target, full, weight = batch('labels')
    loss = make(gamma=1.0)
    with loss.split_levels():
        parts = [loss(prediction[k::3], target[k::3], weight[k::3]) for k in range(3)]
    loss.merge(parts)
    expected = norms_of_positives(prediction, full, weight).mean().float()
    torch.testing.assert_close(loss.positive_gradient.mean(), expected)


def test_a_call_without_a_valid_positive_leaves_the_mean_as_it_is():
    prediction, target, _, weight = batch('labels')
    background = torch.full_like(target, CLASSES)
    loss, plain = make(gamma=2.0), make()
    assert loss(prediction, background, weight) == plain(prediction, background, weight)
    loss(prediction, target, weight)
    before = loss.positive_gradient.sums.clone()
    assert loss.positive_gradient.mean() < 1
    loss(prediction, background, weight)
    loss(prediction, target, torch.zeros_like(weight))
    loss(prediction[:0], target[:0], weight[:0])
    assert torch.equal(loss.positive_gradient.sums, before)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_input_that_is_not_finite_does_not_reach_the_mean(bad):
    prediction, target, _, weight = batch('labels')
    weight[0] = 1
    prediction[0] = bad
    loss = make(gamma=1.0)
    assert loss(prediction, target, weight).isnan()
    assert torch.equal(loss.positive_gradient.sums, torch.zeros(2))


def test_an_ignored_label_and_a_score_of_0_are_no_positives():
    prediction, labels, _, weight = batch('labels')
    ignored, score = labels.clone(), torch.linspace(0, 1, len(labels))
    ignored[:20:2], weight[:20:2], score[::3] = -1, 0, 0
    values = torch.nn.functional.one_hot(ignored.where(ignored >= 0, CLASSES), CLASSES + 1)
    values = values[:, :CLASSES] * score[:, None]
    losses = make(gamma=1.0), make(gamma=1.0)
    for loss, target in zip(losses, ((ignored, score), values)):
        loss(prediction, target, weight)
    torch.testing.assert_close(*(loss.positive_gradient.sums for loss in losses))


def test_a_head_without_classes_has_no_positives():
    assert make(gamma=1.0)(torch.randn(6, 0), torch.zeros(6).long()) == 0


def test_it_is_saved_and_a_new_training_starts_afresh():
    prediction, target, _, weight = batch('labels')
    first, second = make(gamma=1.0), make(gamma=1.0)
    first(prediction, target, weight)
    second.load_state_dict(first.state_dict(), strict=True)
    calls = [each(prediction * 2, target, weight) for each in (first, second)]
    assert torch.equal(*calls)
    second.reset()
    assert second.positive_gradient.mean() == 1


def test_a_cast_of_the_model_does_not_cast_the_mean():
    loss = make(gamma=1.0).half()
    assert loss.positive_gradient.sums.dtype == torch.float32


def test_zero_keeps_no_mean():
    prediction, target, _, weight = batch('labels')
    loss = make(gamma=0)
    loss(prediction, target, weight)
    assert set(loss.state_dict()) == {'density.moving_average'}


@NEEDS_TORCH_2_8
def test_a_compiled_call_is_the_same():
    losses = make(gamma=1.0), make(gamma=1.0)
    compiled = torch.compile(losses[1], fullgraph=True)
    for seed in range(2):
        prediction, target, _, weight = batch('labels', seed=seed)
        values = [each(prediction, target, weight) for each in (losses[0], compiled)]
        torch.testing.assert_close(*values)


@pytest.mark.parametrize('gamma', [-1, float('nan'), 'auto', None])
def test_an_argument_out_of_range(gamma):
    with pytest.raises(ValueError, match=r'gamma=.*must be'):
        make(gamma=gamma)


def test_a_loss_that_never_reduces_is_refused():
    with pytest.raises(ValueError, match=r"gamma=1: must be 0 where reduction='none'"):
        make(gamma=1, reduction='none')
