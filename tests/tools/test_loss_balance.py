"""Gradient norms of losses at the features, against gradients by hand."""

import pytest
import torch
from torch import nn

from ghm_mmdet.losses import GHMCLoss
from tools.loss_balance import loss_gradient_norms


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.loss_cls = GHMCLoss(use_sigmoid=True, bins=5, momentum=0.9)

    def loss(self, features, labels):
        return dict(
            loss_cls=self.loss_cls(torch.cat(features), labels),
            loss_bbox=[3 * feature.sum() for feature in features],
            loss_off=torch.zeros((), requires_grad=True),
            accuracy=torch.ones(()),
        )


class Detector(nn.Module):
    """The smallest thing with a one-stage detector's parts."""

    def __init__(self):
        super().__init__()
        self.bbox_head = Head()

    @staticmethod
    def data_preprocessor(batch, training):
        assert training
        return batch

    @staticmethod
    def extract_feat(inputs):
        return inputs.split([20, 10])


def test_norms_are_means_over_batches_and_the_state_does_not_count():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (30,), generator=generator)
    inputs = [torch.randn(30, 2, generator=generator) for _ in range(2)]
    model = Detector()
    norms = loss_gradient_norms(model, [dict(inputs=x, data_samples=labels) for x in inputs])
    assert not model.bbox_head.loss_cls.density.moving_average.any()
    assert norms.keys() == {'loss_cls', 'loss_bbox', 'loss_off'}
    assert norms['loss_off'] == 0
    assert norms['loss_bbox'] == pytest.approx(3 * 60**0.5)
    stateless = GHMCLoss(use_sigmoid=True, bins=5)
    expected = []
    for x in inputs:
        x = x.clone().requires_grad_()
        expected.append(torch.autograd.grad(stateless(x, labels), x)[0].norm().item())
    assert norms['loss_cls'] == pytest.approx(sum(expected) / 2)
