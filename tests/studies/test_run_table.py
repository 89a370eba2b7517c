"""The table of runs, against numbers worked out another way."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from studies.run_log import RunError
from studies.run_table import NOTES, check_metric, markdown, summarize, write_table
from studies.runs import read_run
from tests.studies.run_logs import train_line, val_line, write_start

AP = 'coco/bbox_mAP'
EPOCH = 40


@pytest.fixture
def logged(tmp_path):
    """Two starts with random times, memory and AP, and all that they logged as arrays."""
    rng = np.random.default_rng(0)
    times = rng.uniform(0.2, 0.9, 24)
    waits = times * rng.uniform(0.1, 0.5, 24)
    memory = rng.integers(3000, 5000, 24)
    aps = rng.uniform(0.2, 0.6, 6).round(3)
    lines = []
    for index in range(24):
        values = dict(time=times[index], data_time=waits[index], memory=int(memory[index]))
        lines.append(train_line(10 * (index + 1), index // 4 + 1, **values))
        if index % 4 == 3:
            epoch = index // 4
            more = {f'{AP}_50': aps[epoch] + 0.2, f'{AP}_75': aps[epoch] - 0.1}
            lines.append(val_line(epoch + 1, aps[epoch], **more))
    write_start(tmp_path, lines[:15], '1', loss='GHMCLoss')
    write_start(tmp_path, lines[15:], '2', loss='GHMCLoss', resume=True)
    return read_run(tmp_path), times, waits, memory, aps


def test_row(logged):
    run, times, waits, memory, aps = logged
    row = summarize(run, 'ghm', AP)
    warm = np.delete(np.arange(24), [0, 12])  # 12 lines and 3 validations in the first start
    assert row.seconds == pytest.approx(np.median(times[warm]))
    assert row.data_share == pytest.approx(waits[warm].sum() / times[warm].sum())
    assert row.memory == memory.max()
    assert row.best == aps.max()
    assert (row.best_epoch, row.best_iteration) == (aps.argmax() + 1, EPOCH * (aps.argmax() + 1))
    assert (row.final, row.ap50, row.ap75) == pytest.approx((aps[-1], aps[-1] + 0.2, aps[-1] - 0.1))
    assert (row.iterations, row.losses, row.non_finite_from) == (240, 'GHMCLoss, GHMRLoss', None)


@pytest.mark.parametrize('metric', [AP, f'{AP}_75', f'{AP}_s'])
def test_ap50_is_that_of_the_same_family(logged, metric):
    run, *_, aps = logged
    assert summarize(run, 'ghm', metric).ap50 == pytest.approx(aps[-1] + 0.2)


SHORT = {
    'an epoch of 13': (
        [train_line(10, 1), train_line(23, 2), val_line(2, 0.3)],
        dict(iterations=26, best_epoch=2, best_iteration=26),
    ),
    'one line': ([train_line(10, 1)], dict(iterations=10, seconds=None, best=None, memory=None)),
    'no timer': (
        [{'iter': i, 'loss': 1.0} for i in (10, 20)],
        dict(iterations=20, seconds=None, data_share=None),
    ),
    'no data time': (
        [train_line(10), {'iter': 20, 'loss': 1.0, 'time': 0.3}],
        dict(seconds=0.3, data_share=None),
    ),
    'a tie': (
        [train_line(10, 1), val_line(1, 0.3), train_line(20, 2), val_line(2, 0.3)],
        dict(best=0.3, best_epoch=1, final=0.3),
    ),
    'a NaN metric': (
        [train_line(10, 1), val_line(1, 0.3), train_line(20, 2), val_line(2, math.nan)],
        dict(best=0.3, best_epoch=1),
    ),
    'NaN in between': (
        [train_line(10), train_line(20, loss=math.nan), train_line(30, loss=math.inf)],
        dict(non_finite_from=20),
    ),
    'another metric': ([train_line(10), {**val_line(1, 0.3), AP: 'none'}], dict(final=None)),
}


@pytest.mark.parametrize(('lines', 'expected'), SHORT.values(), ids=SHORT)
def test_what_was_not_logged_is_none(tmp_path, lines, expected):
    write_start(tmp_path, lines)
    row = summarize(read_run(tmp_path), 'run', AP)
    assert {name: getattr(row, name) for name in expected} == expected


def test_markdown_has_the_values_of_the_rows(tmp_path, logged):
    run, _, _, memory, aps = logged
    write_start(tmp_path / 'bare', [train_line(10), train_line(20, loss=math.nan)])
    rows = [summarize(run, 'a|b', AP), summarize(read_run(tmp_path / 'bare'), 'bare', AP)]
    text = markdown(rows, AP)
    table, notes = text.rstrip('\n').split('\n\n')
    assert notes == NOTES
    lines = table.split('\n')
    assert len({len(line) for line in lines}) == 1
    cells = [
        [cell.strip() for cell in line.replace('a\\|b', 'ab').strip('|').split('|')]
        for line in lines
    ]
    assert {len(row) for row in cells} == {12}
    full, bare = cells[2:]
    assert full[:2] == ['ab', 'GHMCLoss, GHMRLoss']
    assert full[2:5] == [f'{aps.max():.3f}', f'epoch {aps.argmax() + 1}', f'{aps[-1]:.3f}']
    assert full[7:11] == [
        '240',
        f'{rows[0].seconds:.3f}',
        f'{rows[0].data_share:.0%}',
        f'{memory.max()}',
    ]
    assert bare == [
        *('bare', 'FocalLoss, GHMRLoss', *['-'] * 5),
        *('20', '0.500', '20%', '-', 'from iteration 20'),
    ]


def test_csv_has_every_digit_and_nothing_where_nothing_was_logged(tmp_path, logged):
    run, times, *_ = logged
    path = tmp_path / 'table.csv'
    write_table(path, [summarize(run, 'ghm', AP)])
    with path.open(newline='') as file:
        (row,) = csv.DictReader(file)
    assert float(row['seconds']) == np.median(np.delete(times, [0, 12]))
    assert row['non_finite_from'] == ''
    assert Path(row['work_dir']) == run.work_dir


def test_metrics_are_checked_over_all_runs(tmp_path):
    write_start(tmp_path / 'none', [train_line(10)])
    write_start(tmp_path / 'other', [train_line(10), {'voc/mAP': 0.5, 'time': 0.1, 'step': 1}])
    write_start(tmp_path / 'coco', [train_line(10), val_line(1, 0.1)])
    none, other, coco = (read_run(tmp_path / name) for name in ('none', 'other', 'coco'))
    check_metric([none], AP)
    check_metric([none, other, coco], AP)
    with pytest.raises(RunError, match=rf'^metric {AP}: no run has it; there are voc/mAP$'):
        check_metric([none, other], AP)
