"""GHM-R says so where nearly every example is an outlier, at a log interval of a run and once."""

import pytest
import torch

from ghm_mmdet.losses import GHMRLoss
from ghm_mmdet.losses.monitors import outliers

INTERVAL = outliers.OutlierWatch.INTERVAL


@pytest.fixture
def warnings(monkeypatch):
    """The warnings so far."""
    found = []
    monkeypatch.setattr(outliers, 'print_log', lambda text, *_: found.append(text))
    return found


@pytest.fixture
def calls(monkeypatch):
    """Calls a loss on 100 boxes with errors of this size, in the given iterations of a run."""

    def run(loss, error, iterations):
        generator = torch.Generator().manual_seed(0)
        for iteration in iterations:
            monkeypatch.setattr(outliers, 'training_iteration', lambda i=iteration: i)
            boxes = torch.rand(100, 4, generator=generator) * error
            loss(boxes.requires_grad_(), torch.zeros(100, 4))

    return run


@pytest.mark.parametrize('arguments', [dict(bins=10), dict(bins=25), dict(density='exact')])
def test_boxes_in_pixels_are_told_once(arguments, warnings, calls):
    loss = GHMRLoss(mu=0.02, **arguments)
    calls(loss, 100.0, range(3 * INTERVAL))
    assert len(warnings) == 1 and '\n' not in warnings[0]
    assert 'mu=0.02' in warnings[0] and 'decoded boxes' in warnings[0]


@pytest.mark.parametrize(
    ('error', 'iterations'),
    [
        pytest.param(0.1, range(2 * INTERVAL), id='encoded deltas'),
        pytest.param(100.0, range(INTERVAL), id='start of training'),
        pytest.param(100.0, range(INTERVAL + 1, 2 * INTERVAL), id='between two intervals'),
        pytest.param(100.0, [None] * 3, id='outside of a run'),
    ],
)
def test_others_are_not(error, iterations, warnings, calls):
    calls(GHMRLoss(mu=0.02), error, iterations)
    assert not warnings


@pytest.mark.parametrize('bins', [1, 2, 7, 9])
def test_wide_regions_do_not_tell_outliers(bins, warnings, calls):
    calls(GHMRLoss(mu=0.02, bins=bins), 100.0, range(2 * INTERVAL))
    assert not warnings


def test_few_boxes_are_no_evidence(warnings, monkeypatch):
    monkeypatch.setattr(outliers, 'training_iteration', lambda: INTERVAL)
    loss = GHMRLoss(mu=0.02)
    for _ in range(3):
        loss(torch.full((5, 4), 100.0, requires_grad=True), torch.zeros(5, 4))
    assert not warnings


def test_between_intervals_nothing_is_read(monkeypatch):
    """Which on a device would wait for it."""
    monkeypatch.setattr(outliers, 'training_iteration', lambda: INTERVAL + 1)
    watch = outliers.OutlierWatch()
    watch(torch.zeros(10, dtype=torch.int64, device='meta'), mu=0.02)
