"""What a recorder counts in real heads, against what the harmonized losses count themselves."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from ghm_mmdet.method.density import UnitRegionDensity
from gradient_report.recorder import LossRecorder
from tests.detectors.test_losses import OTHERS, SOME, harmonized

REGIONS = 20


@pytest.fixture
def counted(detector, monkeypatch):
    """Counts that the losses' own region sums see, filled while the detector computes its loss."""
    sums = Counter()
    for name, loss in harmonized(detector):
        loss.density = UnitRegionDensity(REGIONS)

        def average(counts, name=name, average=loss.density.average):
            sums[name] = sums[name] + counts
            return average(counts)

        monkeypatch.setattr(loss.density, 'average', average)
    return sums


def test_every_example_of_a_harmonized_loss_is_counted_in_its_region(
    detector, counted, batch, case
):
    with LossRecorder(detector, REGIONS) as recorder:
        recorder.start_iteration()
        detector.loss(*batch(SOME, OTHERS))
    records = recorder.records()
    assert any(counts.sum() for counts in counted.values())
    for name, counts in counted.items():
        if case.detector == 'paa':
            # it also asks its losses for single values, to tell its positives
            assert (records[name].by_region <= counts).all()
        elif counts.sum():
            torch.testing.assert_close(records[name].by_region, counts)


def test_a_closed_recorder_sees_nothing(detector, batch):
    with LossRecorder(detector, REGIONS) as recorder:
        pass
    detector.loss(*batch(SOME, OTHERS))
    assert recorder.records() == {}
