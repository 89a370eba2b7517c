"""The worst labels of a data set with planted errors are those errors."""

import pytest

from benchmarks.label_errors import CONFIGS, precision, trained_survey
from demo.sample import SampleSettings, make_sample_dataset

NOISE = 0.2


@pytest.mark.long
def test_a_trained_detector_cannot_believe_planted_errors(tmp_path):
    make_sample_dataset(tmp_path / 'data', SampleSettings(label_noise=NOISE))
    config = CONFIGS / 'retinanet_r18_fpn_ce_sample.py'
    found = trained_survey(str(config), tmp_path / 'data', tmp_path / 'run')
    shares = precision(found, tmp_path / 'data')
    *_, all_objects = shares.values()
    assert all_objects == pytest.approx(NOISE, abs=0.03)
    assert shares[50] >= 0.6

    examples = found.records['bbox_head.loss_cls'].by_sign.sum(0)
    assert examples.argmax() == 0 and examples[0] > 0.9 * examples.sum()  # the easy peak
    positives = found.records['bbox_head.loss_cls'].by_sign[1].double()
    assert positives[-1] > 2 * positives[15:25].mean()  # beyond a valley, the outliers
