"""Each detector's losses on images with and without objects, and what they do to the state."""

from __future__ import annotations

import pytest
import torch

from ghm_mmdet.heads.whole_pyramid import WholePyramidDensity
from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.losses.partial_loss import PartialLoss

SOME = [[8.0, 12.0, 60.0, 70.0], [50.0, 40.0, 120.0, 124.0], [70.0, 6.0, 96.0, 30.0]]
OTHERS = [[20.0, 20.0, 84.0, 90.0]]
IMAGES = {'objects': (SOME, OTHERS), 'one image empty': (SOME, []), 'all images empty': ([], [])}


def harmonized(model):
    """Name and module of each GHM loss."""
    losses = [item for item in model.named_modules() if isinstance(item[1], GHMLoss)]
    assert losses, 'the config has no loss of this package'
    return losses


def total_loss(model, images, samples):
    total, logs = model.parse_losses(model.loss(images, samples))
    assert all(torch.isfinite(torch.as_tensor(value)) for value in logs.values()), logs
    return total


class Watch:
    """What one GHM loss was called with, and how often it was and should have been updated."""

    def __init__(self, loss, at_once):
        self.predictions, self.reduced = [], 0
        self.at_once = at_once
        self.average = loss.density.moving_average
        self.version = self.average._version
        loss.register_forward_pre_hook(self.before, with_kwargs=True)
        loss.register_forward_hook(self.after, with_kwargs=True)

    def before(self, loss, args, kwargs):
        self.state = [buffer.clone() for buffer in loss.density.state]
        prediction = args[0] if args else kwargs['pred']
        if prediction.requires_grad and prediction.numel():
            prediction.retain_grad()
            self.predictions.append(prediction)

    def after(self, loss, args, kwargs, output):
        scoring = kwargs.get('reduction_override') == 'none'
        assert isinstance(output, PartialLoss) == (self.at_once and not scoring)
        self.reduced += not scoring
        if scoring:
            assert all(map(torch.equal, self.state, loss.density.state))

    @property
    def updates(self):
        return self.average._version - self.version

    @property
    def expected_updates(self):
        return min(self.reduced, 1) if self.at_once else self.reduced


def watch(model):
    whole = [
        id(loss)
        for head in model.modules()
        if isinstance(head, WholePyramidDensity)
        for loss in head.children()
    ]
    return {name: Watch(loss, id(loss) in whole) for name, loss in harmonized(model)}


@pytest.mark.parametrize('boxes', IMAGES.values(), ids=IMAGES.keys())
def test_finite_losses_train_the_classification_and_update_the_state_once(detector, batch, boxes):
    watches = watch(detector)
    total_loss(detector, *batch(*boxes)).backward()
    gradients = [p.grad for p in detector.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    for name, seen in watches.items():
        assert seen.updates == seen.expected_updates, name
    moved = [
        any(x.grad is not None and x.grad.any() for x in watches[name].predictions)
        for name, loss in harmonized(detector)
        if isinstance(loss, GHMCLoss) and watches[name].predictions
    ]
    assert all(moved)
    if boxes[0]:
        assert moved or not any(isinstance(loss, GHMCLoss) for _, loss in harmonized(detector))


def test_looking_at_losses_changes_no_state(detector, batch):
    total_loss(detector, *batch(SOME, OTHERS))
    before = [buffer.clone() for _, loss in harmonized(detector) for buffer in loss.density.state]
    with torch.no_grad():
        total_loss(detector, *batch(SOME, []))
    after = [buffer for _, loss in harmonized(detector) for buffer in loss.density.state]
    assert all(map(torch.equal, before, after))
