"""The targets from made-up rows: met, missed, not measured."""

from __future__ import annotations

import pytest

from benchmarks.ghmc_loss import TARGET_EXAMPLES
from benchmarks.table import write_csv
from benchmarks.targets import main, targets
from tests.benchmarks.rows import row


def verdicts(rows, device_type='cuda'):
    return {target.text: (target.measured, target.verdict) for target in targets(rows, device_type)}


@pytest.mark.parametrize(('theirs', 'verdict'), [(99.9, 'missed'), (100.0, 'met'), (250.0, 'met')])
def test_a_limit_from_below(theirs, verdict):
    rows = [row('GHM-C', 1.0), row('mmdet GHMC', theirs)]
    assert verdicts(rows)['mmdet GHMC / GHM-C, float32'] == (theirs, verdict)


@pytest.mark.parametrize(('ours', 'verdict'), [(0.5, 'met'), (0.51, 'missed')])
def test_a_limit_from_above(ours, verdict):
    rows = [row('GHM-C', ours), row('mmdet FocalLoss', 1.0, bins=None)]
    assert verdicts(rows)['GHM-C / mmdet FocalLoss, float32'] == (ours, verdict)


def test_every_size_has_its_targets():
    rows = [
        row('GHM-C', 1.0, examples=10**8),
        row('mmdet FocalLoss', 4.0, bins=None, examples=10**8),
        row('floor at 3,000 GB/s', 0.5, bins=None, examples=10**8),
    ]
    found = verdicts(rows)
    assert found['GHM-C / mmdet FocalLoss, float32, 100,000,000'] == (0.25, 'met')
    assert found['GHM-C / floor, float32, 100,000,000'] == (2.0, 'missed')
    assert found['GHM-C / mmdet FocalLoss, float32, 100,000'] == (None, 'not measured')


def test_the_floor_is_found_whatever_the_bandwidth():
    rows = [row('GHM-C', 1.5), row('floor at 3,000 GB/s', 1.0, bins=None)]
    assert verdicts(rows)['GHM-C / floor, float32'] == (1.5, 'met')


def test_a_float32_copy_counts_and_is_named():
    rows = [
        row('GHM-C', 1.0, dtype='bfloat16'),
        row('mmdet GHMC (float32)', 200.0, dtype='bfloat16'),
    ]
    assert verdicts(rows)['mmdet GHMC (float32) / GHM-C, bfloat16'] == (200, 'met')


@pytest.mark.parametrize(
    'other',
    [
        dict(contestant='mmdet FocalLoss (PyTorch)'),
        dict(contestant='mmdet FocalLoss', examples=8),
        dict(contestant='mmdet FocalLoss', dtype='float16'),
        dict(contestant='mmdet FocalLoss', operation='GHM-R'),
    ],
    ids=['another implementation', 'another size', 'another dtype', 'another operation'],
)
def test_what_is_not_the_target_does_not_count(other):
    rows = [row('GHM-C', 1.0), row(**{'milliseconds': 9.0, 'bins': None, **other})]
    assert verdicts(rows)['GHM-C / mmdet FocalLoss, float32'] == (None, 'not measured')


def test_the_usual_number_of_regions_counts():
    rows = [row('GHM-C', 1.0), row('mmdet GHMC', 1.0, bins=10), row('mmdet GHMC', 300.0)]
    assert verdicts(rows)['mmdet GHMC / GHM-C, float32'] == (300, 'met')


def test_training_steps():
    rows = [
        row(name, time, operation='training step', dtype='float16', examples=None, bins=None)
        for name, time in [
            ('GHM whole pyramid', 99.0),
            ('GHM per level', 101.0),
            ('focal + L1', 100.0),
        ]
    ]
    found = verdicts(rows)
    assert found['training step, GHM whole pyramid / focal + L1'] == (0.99, 'met')
    assert found['training step, GHM per level / focal + L1'] == (1.01, 'missed')


def test_a_device_without_measurements_is_in_the_table(tmp_path, capsys):
    on_cpu = dict(device='C', device_type='cpu', examples=TARGET_EXAMPLES['cpu'])
    write_csv([row('GHM-C', 1.0, **on_cpu), row('mmdet GHMC', 21.0, **on_cpu)], tmp_path)
    main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert 'Targets on cpu: C; back end triton' in printed
    assert 'Targets on cuda: no cuda device' in printed
    assert any(line.split()[-2:] == ['21.000', 'met'] for line in printed.splitlines())


def test_the_committed_results_are_read(capsys):
    main([])
    assert 'mmdet GHMC / GHM-C, float32' in capsys.readouterr().out
