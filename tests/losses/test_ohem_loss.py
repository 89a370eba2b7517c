"""OHEM against the definition in plain Python loops, over mmdet's cross entropy."""

import math

import pytest
import torch
from mmdet.models.losses import CrossEntropyLoss

from ghm_mmdet.losses import OHEMLoss

ANCHORS, CLASSES = 37, 4
RULES = [
    {'negatives_per_positive': 0.5},
    {'negatives_per_positive': 3},
    {'negatives_per_positive': 1000},
]


@pytest.fixture(params=[True, False], ids=['sigmoid', 'softmax'])
def use_sigmoid(request):
    return request.param


def batch(use_sigmoid, objects=6):
    generator = torch.Generator().manual_seed(objects)
    logits = torch.randn(ANCHORS, CLASSES + (not use_sigmoid), generator=generator)
    labels = torch.full((ANCHORS,), CLASSES)
    labels[:objects] = torch.randint(0, CLASSES, (objects,), generator=generator)
    weight = (torch.rand(ANCHORS, generator=generator) > 0.2).float()
    return logits.double().requires_grad_(), labels, weight.double()


def element_losses(use_sigmoid, *arguments):
    return CrossEntropyLoss(use_sigmoid=use_sigmoid)(*arguments, reduction_override='none')


def ohem(use_sigmoid, **rule):
    return OHEMLoss(dict(type='mmdet.CrossEntropyLoss', use_sigmoid=use_sigmoid), **rule)


def kept_by_hand(rule, hardness, labels, weight):
    valid = [i for i in range(ANCHORS) if weight[i] > 0]
    objects = [i for i in valid if labels[i] < CLASSES]
    hardest = sorted(valid, key=lambda i: -hardness[i])
    count = math.ceil(rule['negatives_per_positive'] * max(1, len(objects)))
    return {*objects, *[i for i in hardest if i not in objects][:count]}


@pytest.mark.parametrize('rule', RULES, ids=str)
@pytest.mark.parametrize('objects', [0, 6])
def test_the_hardest_anchors_count(use_sigmoid, rule, objects):
    logits, labels, weight = batch(use_sigmoid, objects)
    losses = element_losses(use_sigmoid, logits, labels, weight)
    hardness = losses.detach().reshape(ANCHORS, -1).sum(1).tolist()
    kept = sorted(kept_by_hand(rule, hardness, labels.tolist(), weight.tolist()))
    loss = ohem(use_sigmoid, **rule)
    total = loss(logits, labels, weight, reduction_override='sum')
    torch.testing.assert_close(total, losses[kept].sum())
    torch.testing.assert_close(loss(logits, labels, weight), losses[kept].sum() / len(kept))
    torch.testing.assert_close(loss(logits, labels, weight, avg_factor=7.0), total / 7)
    elements = loss(logits, labels, weight, reduction_override='none')
    assert elements.shape == losses.shape
    assert set(elements.reshape(ANCHORS, -1).sum(1).nonzero().flatten().tolist()) == set(kept)


@pytest.mark.parametrize(
    ('ratio', 'count', 'kept'), [(0.28, 25, 7), (0.55, 100, 55), (0.551, 100, 56), (0.001, 25, 1)]
)
def test_a_ratio_keeps_the_whole_number_meant_or_the_next(ratio, count, kept):
    labels = torch.cat([torch.full((count,), CLASSES), torch.zeros(count, dtype=torch.int64)])
    logits = torch.zeros(len(labels), CLASSES)
    loss = ohem(True, negatives_per_positive=ratio)
    losses = loss(logits, labels, reduction_override='none')
    assert losses[:count].any(1).sum() == kept


@pytest.mark.parametrize('rule', RULES, ids=str)
def test_weights_in_a_row_are_those_of_the_elements(rule):
    logits, labels, weight = batch(use_sigmoid=True)
    weight = weight[:, None] * (torch.arange(CLASSES) % 2)
    weight[3:5] = 0
    loss = OHEMLoss(dict(type='mmdet.FocalLoss', use_sigmoid=True), **rule)
    found, expected = (
        loss(logits, labels, each, reduction_override='none') for each in (weight.flatten(), weight)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert (expected.sum(1) > 0).sum() <= (weight > 0).any(1).sum()


def test_what_is_not_kept_gets_no_gradient(use_sigmoid):
    logits, labels, weight = batch(use_sigmoid)
    loss = ohem(use_sigmoid, negatives_per_positive=1)
    elements = loss(logits, labels, weight, reduction_override='none')
    kept = elements.detach().reshape(ANCHORS, -1).sum(1) > 0
    elements.sum().backward()
    assert torch.equal(logits.grad.abs().sum(1) > 0, kept)


def test_keeping_all_is_the_wrapped_loss(use_sigmoid):
    logits, labels, weight = batch(use_sigmoid)
    expected = CrossEntropyLoss(use_sigmoid=use_sigmoid)(logits, labels, weight, avg_factor=9.0)
    loss = ohem(use_sigmoid, negatives_per_positive=1000)
    torch.testing.assert_close(loss(logits, labels, weight, avg_factor=9.0), expected)


def test_no_anchor_at_all(use_sigmoid):
    logits, labels, weight = (values[:0] for values in batch(use_sigmoid))
    assert ohem(use_sigmoid, negatives_per_positive=3)(logits, labels, weight) == 0


@pytest.mark.parametrize(
    ('rule', 'message'),
    [
        ({'negatives_per_positive': -1}, r'negatives_per_positive=-1: must be a number in'),
        ({'negatives_per_positive': 3, 'reduction': 'max'}, "reduction='max': must be one of"),
    ],
)
def test_bad_arguments_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        ohem(True, **rule)


def test_use_sigmoid_is_that_of_the_wrapped_loss(use_sigmoid):
    wrapped = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=use_sigmoid)
    assert OHEMLoss(wrapped, 3, use_sigmoid=use_sigmoid).use_sigmoid is use_sigmoid
    with pytest.raises(ValueError, match=f'^use_sigmoid={not use_sigmoid}: '):
        OHEMLoss(wrapped, 3, use_sigmoid=not use_sigmoid)
