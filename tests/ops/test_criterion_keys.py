"""An operator finds the criterion that it was called with by its key."""

import pickle
import subprocess
import sys

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.method.criteria import AuthenticSmoothL1, DenseTarget, SigmoidCrossEntropy
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import Examples, example_losses
from tests.processes import environment

UNPICKLE = """
import pickle, sys, torch
for loss in pickle.load(open(sys.argv[1], 'rb')):
    print(loss(torch.ones(6, 4), torch.zeros(6, 4), reduction_override='none').sum().item())
"""


class DoubledCrossEntropy(SigmoidCrossEntropy):
    def evaluate(self, prediction, target):
        evaluation = super().evaluate(prediction, target)
        return evaluation._replace(loss=2 * evaluation.loss)


class DoubledSmoothL1(AuthenticSmoothL1):
    def evaluate(self, prediction, target):
        evaluation = super().evaluate(prediction, target)
        return evaluation._replace(loss=2 * evaluation.loss)


@pytest.mark.parametrize(
    ('parent', 'child'),
    [(SigmoidCrossEntropy, DoubledCrossEntropy), (AuthenticSmoothL1, DoubledSmoothL1)],
)
def test_a_subclass_leaves_its_parent_alone(parent, child):
    arguments = (0.02,) if parent is AuthenticSmoothL1 else ()
    examples = Examples(torch.rand(5, 3), DenseTarget(torch.zeros(5, 3)))
    call = examples, region_edges(4), torch.ones(4)
    plain = parent(*arguments)
    doubled = child(*arguments)
    expected = plain.evaluate(*examples[:2]).loss
    torch.testing.assert_close(example_losses(plain, *call), expected)
    torch.testing.assert_close(example_losses(doubled, *call), 2 * expected)


def test_a_new_process_finds_those_of_unpickled_losses(tmp_path):
    losses = GHMCLoss(use_sigmoid=True), GHMRLoss(mu=0.3)
    path = tmp_path / 'loss.pkl'
    path.write_bytes(pickle.dumps(losses))
    done = subprocess.run(
        [sys.executable, '-c', UNPICKLE, path], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    call = torch.ones(6, 4), torch.zeros(6, 4)
    expected = [loss(*call, reduction_override='none').sum().item() for loss in losses]
    assert [float(line) for line in done.stdout.split()] == pytest.approx(expected)
