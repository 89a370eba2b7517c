"""What the head scales its levels' losses with, and what becomes of it; the head's class."""

import pickle
from copy import deepcopy

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

import ghm_mmdet  # noqa: F401
from ghm_mmdet.heads import WholePyramidHead
from ghm_mmdet.heads.whole_pyramid import WholePyramidDensity
from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.losses.partial_loss import PartialLoss

CLASSES = 3


@MODELS.register_module()
class ScalingHead(nn.Module):
    """Scales each level's loss, as DDOD and TOOD do after the loss has returned."""

    def __init__(self, factors):
        super().__init__()
        self.factors = factors
        self.loss_cls = GHMCLoss(use_sigmoid=True, bins=10, momentum=0.5)

    def loss_by_feat(self, logits, labels):
        losses = map(self.loss_cls, logits, labels)
        scaled = [factor * loss / 1 for factor, loss in zip(self.factors, losses)]
        return dict(loss_cls=scaled)


@pytest.fixture
def levels():
    generator = torch.Generator().manual_seed(0)
    sizes = (40, 10)
    logits = [torch.randn(n, CLASSES, generator=generator).requires_grad_() for n in sizes]
    labels = [torch.randint(0, CLASSES + 1, (n,), generator=generator) for n in sizes]
    return logits, labels


def beta_times_loss(logits, labels):
    """Each level's sum of harmonized losses by one density, over the number of all examples."""
    loss = GHMCLoss(use_sigmoid=True, bins=10, momentum=0.5)
    elements = loss(torch.cat(logits), torch.cat(labels), reduction_override='none')
    return [part.sum() / elements.numel() for part in elements.split([len(x) for x in logits])]


@pytest.mark.parametrize('factors', [(1.0, 1.0), (0.25, 0.25), (2.0, 0.5)])
@pytest.mark.parametrize('ignore', [False, True])
def test_each_level_counts_with_its_factor_unless_ignored(levels, factors, ignore):
    head = WholePyramidHead('ScalingHead', ignore_avg_factor=ignore, factors=factors)
    shares = beta_times_loss(*levels)
    weights = (1.0, 1.0) if ignore else factors
    expected = sum(weight * share for weight, share in zip(weights, shares))
    loss = head.loss_by_feat(*levels)['loss_cls']
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, levels[0]), torch.autograd.grad(expected, levels[0])
    )


@pytest.mark.parametrize('override', ['mean', 'sum'])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_the_levels_have_the_reduction_of_their_calls(levels, reduction, override):
    logits, labels = levels
    loss = GHMCLoss(use_sigmoid=True, bins=10, reduction=reduction)
    with loss.split_levels():
        shares = [loss(*each, reduction_override=override) for each in zip(*levels)]
    expected = loss(torch.cat(logits), torch.cat(labels), reduction_override=override)
    torch.testing.assert_close(loss.merge(shares), expected)


@pytest.mark.parametrize('of_all', [False, True])
def test_a_factor_that_is_learned_is_refused(levels, of_all):
    factor = torch.tensor(0.5, requires_grad=True)
    head = WholePyramidHead('ScalingHead', factors=(factor, factor if of_all else 1.0))
    with pytest.raises(ValueError, match='factor of a level: has a gradient, must be a constant'):
        head.loss_by_feat(*levels)


@pytest.mark.parametrize(
    'misuse',
    [
        lambda loss: loss + torch.ones(()),
        lambda loss: torch.ones(()) + loss,
        lambda loss: loss - 1.0,
        lambda loss: sum([loss, loss]),
        lambda loss: loss.mean(),
        lambda loss: loss.detach(),
    ],
)
def test_a_head_can_only_scale_the_loss_of_a_level(levels, misuse):
    logits, labels = levels
    loss = GHMCLoss(use_sigmoid=True)
    with loss.split_levels(), pytest.raises(
        (TypeError, AttributeError), match='multiply or divide'
    ):
        misuse(loss(logits[0], labels[0]))


class HeadOfParts(ScalingHead):
    """Its loss is a part of a part, and its levels are in a tuple."""

    def __init__(self):
        super().__init__((1.0, 1.0))
        self.parts = nn.ModuleDict(dict(loss=self.loss_cls))
        del self.loss_cls

    def loss_by_feat(self, logits, labels):
        return dict(loss_cls=tuple(map(self.parts['loss'], logits, labels)))


def test_the_loss_may_be_anywhere_in_the_head(levels):
    loss = WholePyramidHead(HeadOfParts).loss_by_feat(*levels)['loss_cls']
    torch.testing.assert_close(loss, sum(beta_times_loss(*levels)))


def test_losses_of_their_own_for_each_level_stay_apart(levels):
    class LossPerLevel(ScalingHead):
        def __init__(self):
            super().__init__((1.0, 1.0))
            settings = dict(use_sigmoid=True, bins=10)
            self.losses = nn.ModuleList([GHMCLoss(**settings), GHMCLoss(**settings, loss_weight=2)])

        def loss_by_feat(self, logits, labels):
            calls = zip(self.losses, logits, labels)
            return dict(loss_cls=[loss(*level) for loss, *level in calls])

    loss = WholePyramidHead(LossPerLevel).loss_by_feat(*levels)['loss_cls']
    torch.testing.assert_close(loss, sum(LossPerLevel().loss_by_feat(*levels)['loss_cls']))


def test_a_split_within_a_split_ends_alone(levels):
    loss, (logits, labels) = GHMCLoss(use_sigmoid=True), levels
    with loss.split_levels():
        with loss.split_levels():
            loss(logits[0], labels[0])
        assert isinstance(loss(logits[0], labels[0]), PartialLoss)
    assert isinstance(loss(logits[0], labels[0]), torch.Tensor)


def test_a_mixin_behind_the_head_is_refused():
    class Before(WholePyramidDensity, ScalingHead):
        pass

    class Derived(Before):
        pass

    assert issubclass(Derived, WholePyramidDensity)
    with pytest.raises(TypeError, match='Behind: its base ScalingHead must stand after'):
        type('Behind', (ScalingHead, WholePyramidDensity), {})


def test_bad_labels_of_all_levels_are_counted_together(levels):
    head = WholePyramidHead('ScalingHead', factors=(1.0, 1.0))
    logits, labels = levels
    labels[0][:2], labels[1][3] = CLASSES + 1, -1
    with pytest.raises(ValueError, match='target: 3 labels outside the range'):
        head.loss_by_feat(logits, labels)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('NoSuchHead', 'must be a registered dense head'),
        ('ResNet', 'must be a registered dense head'),
        ('GHMRetinaHead', 'has one density by itself, must be another head'),
    ],
)
def test_other_types_are_refused(name, message):
    with pytest.raises(ValueError, match=f"^head='{name}': {message}$"):
        WholePyramidHead(name)


def pickled(head):
    return pickle.loads(pickle.dumps(head))


@pytest.mark.parametrize('copied', [deepcopy, pickled])
def test_a_copy_goes_on_as_the_head_does(levels, copied):
    head = WholePyramidHead('ScalingHead', ignore_avg_factor=True, factors=(2.0, 0.5))
    head.loss_by_feat(*levels)
    copy = copied(head)
    assert type(copy) is type(head) and isinstance(copy, ScalingHead)
    ours, theirs = (each.loss_by_feat(*levels)['loss_cls'] for each in (copy, head))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(copy.state_dict(), head.state_dict(), rtol=0, atol=0)


def test_the_class_says_what_it_is():
    made = type(WholePyramidHead('ScalingHead', factors=(1.0, 1.0)))
    assert made.__module__ == 'ghm_mmdet.heads.whole_pyramid'
    assert made.__qualname__ == 'WholePyramidScalingHead'
    assert made.__doc__ == '``ScalingHead`` with one density over all levels.'
