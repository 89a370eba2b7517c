"""The class-weighted focal loss, against its parts by MMDetection's class."""

import pytest
import torch
from mmdet.models.losses import FocalLoss

from studies.class_weighted_focal import ClassWeightedFocalLoss

WEIGHTS = [0.5, 2.0, 3.0]


@pytest.mark.parametrize('weighted', [False, True])
def test_positives_count_their_class_weight_and_negatives_one(weighted):
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(200, 3), torch.randint(0, 4, (200,))
    weight = (torch.rand(200) > 0.3).float() if weighted else None
    loss = ClassWeightedFocalLoss(WEIGHTS, gamma=1.0)(logits, labels, weight, avg_factor=50.0)
    elements = FocalLoss(gamma=1.0)(logits, labels, weight, reduction_override='none')
    at_label = torch.arange(3) == labels.unsqueeze(1)
    expected = elements[~at_label].sum() + sum(
        factor * elements[:, label][labels == label].sum() for label, factor in enumerate(WEIGHTS)
    )
    torch.testing.assert_close(loss, expected / 50)


def test_equal_weights_are_the_focal_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 3), torch.randint(0, 4, (50,))
    loss = ClassWeightedFocalLoss([1.0] * 3)(logits, labels, avg_factor=7)
    assert loss == FocalLoss()(logits, labels, avg_factor=7)
