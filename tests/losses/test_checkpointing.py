"""Activation checkpointing: around the backbone it changes nothing, around the loss never twice."""

import copy

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from tests.back_ends import NEEDS_TORCH_2_8
from tests.losses.kinds import KINDS, STATES, WIDTH

REENTRANT = pytest.mark.parametrize('reentrant', [True, False])
ITERATIONS = 3


def whole_pyramid(loss, prediction, arguments):
    """As a head that merges the sums of two levels."""
    with loss.split_levels():
        levels = [loss(part, *arguments) for part in (prediction, prediction / 2)]
    return loss.merge(levels)


def single_call(loss, prediction, arguments):
    return loss(prediction, *arguments)


CALLS = pytest.mark.parametrize('call', [single_call, whole_pyramid])


class Detector:
    """A linear backbone under a loss, of which a part is checkpointed."""

    def __init__(self, kind, call, compiled=False, **arguments):
        torch.manual_seed(0)
        self.backbone = torch.nn.Linear(WIDTH, WIDTH)
        self.loss = KINDS[kind].make(**arguments)
        self.kind, self.call = kind, call
        self.called = torch.compile(self.loss, backend='eager') if compiled else self.loss

    def iterate(self, checkpointed, reentrant=None):
        """Value of the loss, gradient and moving average of each iteration."""
        for iteration in range(ITERATIONS):
            features, arguments = KINDS[self.kind].call(60, seed=iteration)

            def backbone(features):
                return self.backbone(features)

            def everything(features, arguments=arguments):
                return self.call(self.called, self.backbone(features), arguments)

            features.requires_grad_()  # what a reentrant checkpoint needs to see
            self.backbone.zero_grad()
            if checkpointed == 'backbone':
                prediction = checkpoint(backbone, features, use_reentrant=reentrant)
                value = self.call(self.called, prediction, arguments)
            elif checkpointed == 'everything':
                value = checkpoint(everything, features, use_reentrant=reentrant)
            else:
                value = everything(features)
            value.backward()
            gradients = [parameter.grad for parameter in self.backbone.parameters()]
            yield copy.deepcopy((value.detach(), gradients, self.loss.state_dict()))


@REENTRANT
@CALLS
@pytest.mark.parametrize('kind', KINDS)
def test_a_checkpointed_backbone_changes_nothing(kind, call, reentrant):
    arguments = STATES['bias correction']
    plain = Detector(kind, call, **arguments).iterate('nothing')
    found = Detector(kind, call, **arguments).iterate('backbone', reentrant)
    torch.testing.assert_close([*found], [*plain], rtol=0, atol=0)


@pytest.mark.parametrize(
    ('reentrant', 'arguments'), [(True, {}), (False, {}), (True, STATES['bias correction'])]
)
@CALLS
def test_a_checkpointed_loss_is_the_same_where_it_updates_at_most_once(call, reentrant, arguments):
    plain = Detector('labels', call, **arguments).iterate('nothing')
    found = Detector('labels', call, **arguments).iterate('everything', reentrant)
    torch.testing.assert_close([*found], [*plain], rtol=0, atol=0)


@pytest.mark.usefixtures('fresh_compiler')
@pytest.mark.parametrize('compiled', [False, pytest.param(True, marks=NEEDS_TORCH_2_8)])
@pytest.mark.parametrize('state', STATES)
@CALLS
def test_a_checkpointed_loss_refuses_to_update_twice(call, state, compiled):
    plain = Detector('labels', call, **STATES[state])
    next(plain.iterate('nothing'))
    detector = Detector('labels', call, compiled, **STATES[state])
    with pytest.raises(RuntimeError, match='compute the loss outside') as error:
        next(detector.iterate('everything', reentrant=False))
    assert '\n' not in str(error.value)
    torch.testing.assert_close(detector.loss.state_dict(), plain.loss.state_dict())
