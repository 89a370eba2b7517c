"""EQLv2 of a one-stage head, against its definition in float64."""

import torch

from studies.anchor_eqlv2 import AnchorEQLV2Loss

CLASSES, GAMMA, MU, ALPHA = 3, 12.0, 0.8, 4.0


def test_three_steps_are_those_of_the_definition():
    torch.manual_seed(0)
    loss = AnchorEQLV2Loss(num_classes=CLASSES)
    of_positives, of_negatives = torch.zeros(2, CLASSES).double()
    ratio = torch.full((CLASSES,), 100.0).double()
    for _ in range(3):
        logits, labels = 2 * torch.randn(60, CLASSES), torch.randint(0, CLASSES + 1, (60,))
        weight = (torch.rand(60) > 0.2).float()
        logits.requires_grad_()
        found = loss(logits, labels, weight, avg_factor=7.0)

        kept = weight > 0
        target = (labels[kept, None] == torch.arange(CLASSES)).double()
        p = logits[kept].double().sigmoid()
        negative = 1 / (1 + torch.exp(-GAMMA * (ratio - MU)))
        factors = target * (1 + ALPHA * (1 - negative)) + (1 - target) * negative
        entropy = -(target * p.log() + (1 - target) * (1 - p).log())
        torch.testing.assert_close(found.double(), (factors * entropy).sum() / 7)

        norm = (p - target).abs().detach() * factors
        of_positives += (norm * target).sum(0)
        of_negatives += (norm * (1 - target)).sum(0)
        ratio = of_positives / of_negatives
        (gradient,) = torch.autograd.grad(found, logits)
        torch.testing.assert_close(gradient[kept].double().abs(), norm / 7)
        assert not gradient[~kept].any()
