"""Examples of a head's call of a loss, against counts taken one by one."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.losses import (
    CrossEntropyLoss,
    FocalLoss,
    GIoULoss,
    L1Loss,
    QualityFocalLoss,
    SmoothL1Loss,
)

from ghm_mmdet.diagnosis import loss_reader
from ghm_mmdet.diagnosis.loss_reader import LossReader, loss_readers, mu_of
from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.method.density import region_edges

ROWS, CLASSES, REGIONS = 40, 3, 8
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(ROWS, CLASSES, generator=GENERATOR)
LABELS = torch.randint(0, CLASSES + 1, (ROWS,), generator=GENERATOR)
SCORE = torch.rand(ROWS, generator=GENERATOR)
WEIGHT = (torch.rand(ROWS, generator=GENERATOR) > 0.3).float()
SOFT = torch.rand(ROWS, CLASSES, generator=GENERATOR) * (LABELS[:, None] == torch.arange(CLASSES))


def one_by_one(norms, positives, groups, weights, num_groups):
    """Counts of examples, one after another."""
    counts = torch.zeros(2, num_groups, REGIONS, dtype=torch.int64)
    for norm, positive, group, weight in zip(norms, positives, groups, weights):
        if weight > 0:
            region = min(int(float(norm) * REGIONS), REGIONS - 1)
            counts[int(positive), int(group), region] += 1
    return counts


def pairs(target, positive, probability=None, weight=None):
    """Expected counts of (anchor, class) pairs."""
    probability = LOGITS.sigmoid() if probability is None else probability
    norms = (probability - target).abs()
    weights = torch.ones(ROWS) if weight is None else weight
    weights = weights[:, None].expand(ROWS, CLASSES)
    groups = torch.arange(CLASSES).expand(ROWS, CLASSES)
    columns = (norms, positive, groups, weights)
    return one_by_one(*(each.flatten() for each in columns), CLASSES)


ONE_HOT = (LABELS[:, None] == torch.arange(CLASSES)).float()
CALLS = {
    'labels': (
        FocalLoss(use_sigmoid=True),
        (LOGITS, LABELS, None),
        pairs(ONE_HOT, ONE_HOT > 0),
    ),
    'labels and weights': (
        CrossEntropyLoss(use_sigmoid=True),
        (LOGITS, LABELS, WEIGHT),
        pairs(ONE_HOT, ONE_HOT > 0, weight=WEIGHT),
    ),
    'a row with a weight for each pair': (
        FocalLoss(use_sigmoid=True),
        (LOGITS, LABELS, WEIGHT.repeat_interleave(CLASSES)),
        pairs(ONE_HOT, ONE_HOT > 0, weight=WEIGHT),
    ),
    'quality scores': (
        QualityFocalLoss(),
        (LOGITS, (LABELS, SCORE), WEIGHT),
        pairs(ONE_HOT * SCORE[:, None], ONE_HOT > 0, weight=WEIGHT),
    ),
    'soft targets': (
        GHMCLoss(use_sigmoid=True),
        (LOGITS, SOFT, None),
        pairs(SOFT, SOFT > 0),
    ),
    'probabilities': (
        GHMCLoss(use_sigmoid=True, activated=True),
        (LOGITS.sigmoid(), LABELS, WEIGHT[:, None].expand(ROWS, CLASSES)),
        pairs(ONE_HOT, ONE_HOT > 0, weight=WEIGHT),
    ),
}


@pytest.mark.parametrize('chunk', [7, 2**22], ids=['in chunks', 'whole'])
@pytest.mark.parametrize('name', CALLS)
def test_pairs_of_anchor_and_class(name, chunk, monkeypatch):
    monkeypatch.setattr(loss_reader, 'CHUNK', chunk)
    loss, call, expected = CALLS[name]
    seen = LossReader(loss, region_edges(REGIONS), mu=None).read(call, {})
    torch.testing.assert_close(seen.counts, expected)


class ActivatedSoftmax(CrossEntropyLoss):
    """A loss of a user's own that says so; without sigmoid it has no meaning."""

    activated = True


@pytest.mark.parametrize('kind', [CrossEntropyLoss, ActivatedSoftmax])
def test_anchors_under_softmax(kind):
    logits = 2 * torch.randn(ROWS, CLASSES + 1, generator=torch.Generator().manual_seed(1))
    norms = 1 - logits.softmax(1)[torch.arange(ROWS), LABELS]
    expected = one_by_one(norms, LABELS < CLASSES, LABELS, WEIGHT, CLASSES + 1)
    reader = LossReader(kind(), region_edges(REGIONS), mu=None)
    torch.testing.assert_close(reader.read((logits, LABELS, WEIGHT), {}).counts, expected)


@pytest.mark.parametrize(
    ('loss', 'mu'), [(SmoothL1Loss(), 0.1), (GHMRLoss(mu=0.3), 0.3)], ids=['given mu', 'own mu']
)
def test_box_deltas(loss, mu):
    # of its own, so that no other test changes the numbers
    generator = torch.Generator().manual_seed(2)
    deltas, target = torch.randn(2, ROWS, 4, generator=generator) * 0.2
    weight = WEIGHT[:, None].expand(ROWS, 4)
    norms = ((deltas - target) ** 2 / ((deltas - target) ** 2 + mu**2)).sqrt()
    groups = torch.arange(4).expand(ROWS, 4)
    ones = torch.ones(ROWS, 4)
    expected = one_by_one(*(each.flatten() for each in (norms, ones, groups, weight)), 4)
    reader = LossReader(loss, region_edges(REGIONS), mu_of(loss, 0.1))
    seen = reader.read((deltas, target, weight), {})
    torch.testing.assert_close(seen.counts, expected)
    totals = (norms.double() * weight).sum(0)
    torch.testing.assert_close(seen.gradients.sum((0, 2)), totals)


def test_examples_that_are_not_finite_are_left_out():
    logits = LOGITS.clone()
    logits[0] = float('nan')
    reader = LossReader(FocalLoss(use_sigmoid=True), region_edges(REGIONS), mu=None)
    seen = reader.read((logits, LABELS, None), {})
    assert seen.counts.sum() == (ROWS - 1) * CLASSES
    assert seen.gradients.isfinite().all()


def test_a_call_without_examples_counts_none():
    reader = LossReader(FocalLoss(use_sigmoid=True), region_edges(REGIONS), mu=None)
    seen = reader.read((LOGITS[:0], LABELS[:0], None), {})
    assert seen.counts.shape == (2, CLASSES, REGIONS) and not seen.counts.any()


def test_a_call_that_only_scores_is_none():
    reader = LossReader(FocalLoss(use_sigmoid=True), region_edges(REGIONS), mu=None)
    assert reader.read((LOGITS, LABELS), dict(reduction_override='none')) is None


@pytest.mark.parametrize('names', [('target', 'weight'), ('label', 'label_weight')])
def test_target_and_weight_may_be_named(names):
    reader = LossReader(FocalLoss(use_sigmoid=True), region_edges(REGIONS), mu=None)
    named = dict(zip(names, (LABELS, WEIGHT)), avg_factor=3.0)
    _, _, expected = CALLS['labels and weights']
    torch.testing.assert_close(reader.read((LOGITS,), named).counts, expected)


@pytest.mark.parametrize(
    ('loss', 'decoded', 'encoded'),
    [(L1Loss(), False, True), (L1Loss(), True, False), (GIoULoss(), False, False)],
)
def test_only_encoded_deltas_have_a_gradient_norm(loss, decoded, encoded):
    head = torch.nn.Module()
    head.loss_bbox, head.reg_decoded_bbox = loss, decoded
    detector = torch.nn.ModuleDict(dict(bbox_head=head))
    assert list(loss_readers(detector, REGIONS)) == ['bbox_head.loss_bbox'] * encoded
