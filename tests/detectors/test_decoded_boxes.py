"""What each head hands to its box loss is what the check of a config takes it to be."""

from __future__ import annotations

import torch

from ghm_mmdet.cli.check_head import regresses_decoded_boxes
from tests.detectors.test_losses import OTHERS, SOME

GHM_R = dict(loss_bbox=dict(type='GHMRLoss'))


def watch_targets(head, found):
    """Collect the targets of the positives."""

    def before(loss, args, kwargs):
        values = dict(zip(('pred', 'target', 'weight'), args), **kwargs)
        target, weight = values['target'], values.get('weight')
        if weight is not None:
            target = target[(weight.reshape(len(target), -1) > 0).any(1)]
        found.append(target)

    head.loss_bbox.register_forward_pre_hook(before, with_kwargs=True)


def are_boxes(targets):
    """Corners in order, in pixels or strides; of encoded deltas some are not in order."""
    ordered = (targets[:, 2:] > targets[:, :2]).all()
    return bool(ordered and targets.max() > 2)


def test_heads_said_to_regress_decoded_boxes_are_those_that_do(detector, batch):
    heads = [module for module in detector.modules() if hasattr(module, 'loss_bbox')]
    found = [[] for _ in heads]
    for head, targets in zip(heads, found):
        watch_targets(head, targets)
    detector.loss(*batch(SOME, OTHERS))
    for head, targets in zip(heads, found):
        config = dict(GHM_R, reg_decoded_bbox=getattr(head, 'reg_decoded_bbox', False))
        assert regresses_decoded_boxes(type(head), config) == are_boxes(torch.cat(targets))
