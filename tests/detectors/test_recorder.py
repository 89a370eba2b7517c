"""What a recorder counts in real heads, against what the harmonized losses count themselves."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from ghm_mmdet.diagnosis.loss_reader import loss_readers
from ghm_mmdet.diagnosis.recorder import LossRecorder
from ghm_mmdet.method.density import UnitRegionDensity
from ghm_mmdet.ops import use_backend
from tests.detectors.test_losses import OTHERS, SOME, harmonized

REGIONS = 20


@pytest.fixture
def counted(detector, monkeypatch):
    """Counts that the losses' own region sums see, filled while the detector computes its loss.

    The chunked back end asks the density for its average; the compiled one does not.
    """
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
    with LossRecorder(loss_readers(detector, REGIONS)) as recorder:
        recorder.start_iteration()
        with use_backend('torch'):
            detector.loss(*batch(SOME, OTHERS))
    records = recorder.records()
    assert any(counts.sum() for counts in counted.values())
    for name, counts in counted.items():
        if case.detector == 'paa':
            # it also asks its losses for single values, to tell its positives
            assert (records[name].by_sign.sum(0) <= counts).all()
        elif counts.sum():
            torch.testing.assert_close(records[name].by_sign.sum(0), counts)


def test_a_closed_recorder_sees_nothing(detector, batch):
    with LossRecorder(loss_readers(detector, REGIONS)) as recorder:
        pass
    detector.loss(*batch(SOME, OTHERS))
    assert recorder.records() == {}
