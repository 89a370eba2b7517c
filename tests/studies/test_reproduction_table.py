"""A table's numbers, from made-up work dirs, against numpy."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from studies.paper_tables import TABLES
from studies.reproduction_table import csv_text, markdown, measured_rows
from studies.run_table import summarize
from studies.runs import read_run
from studies.tables import Published
from tests.studies.run_logs import train_line, val_line, write_start

AP = 'coco/bbox_mAP'
DENSITY = TABLES['density']
SEEDS = 4
EPOCHS = 3


@pytest.fixture
def work_dirs(tmp_path):
    """Runs of two of the three rows with random AP and times; AP and times as arrays."""
    rng = np.random.default_rng(0)
    aps = rng.uniform(0.1, 0.5, (2, SEEDS, EPOCHS)).round(3)
    times = rng.uniform(0.2, 0.9, (2, SEEDS, EPOCHS))
    results = {}
    for index, row in enumerate(('ce', 'exact')):
        for seed in range(SEEDS):
            lines = []
            for epoch in range(EPOCHS):
                ap = aps[index, seed, epoch]
                time = times[index, seed, epoch]
                lines.append(train_line(10 * (epoch + 1), epoch + 1, time=time))
                more = {f'{AP}_50': ap + 0.2, f'{AP}_75': ap - 0.1}
                lines.append(val_line(epoch + 1, ap, **more))
            folder = tmp_path / row / f'seed{seed}'
            write_start(folder, lines)
            results.setdefault(row, {})[seed] = summarize(read_run(folder), row, AP)
    return results, aps, times


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_mean_and_deviation_over_seeds(work_dirs):
    results, aps, times = work_dirs
    text = csv_text(DENSITY, measured_rows(DENSITY.rows, results), 'BCCD val')
    *measured, absent = rows_of(text)
    final = 100 * aps[..., -1]
    seconds = np.median(times[..., 1:], axis=-1)  # without the first of the start
    values = {'ap': final, 'ap50': final + 20, 'ap75': final - 10, 'seconds': seconds}
    for index, row in enumerate(measured):
        for name, of_seeds in values.items():
            assert float(row[f'{name}_mean']) == pytest.approx(of_seeds[index].mean())
            assert float(row[f'{name}_deviation']) == pytest.approx(of_seeds[index].std(ddof=1))
        ratio = seconds[index].mean() / seconds[0].mean()
        assert float(row['relative_time']) == pytest.approx(ratio)
        assert row['seeds'] == '0 1 2 3'
    assert absent['seeds'] == absent['ap_mean'] == absent['relative_time'] == ''
    published = [(row['ap_published'], row['seconds_published']) for row in (*measured, absent)]
    assert published == [('28.6', '0.566'), ('35.9', '13.675'), ('35.8', '0.824')]


def cells(text):
    table = [line for line in text.splitlines() if line.startswith('|')]
    header, _, *rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in table]
    return [dict(zip(header, row)) for row in rows]


def test_markdown_says_what_the_numbers_are_of(work_dirs):
    results, aps, _ = work_dirs
    text = markdown(DENSITY, measured_rows(DENSITY.rows, results), 'BCCD val')
    first, second, absent = cells(text)
    final = 100 * aps[1, :, -1]
    assert second['AP, measured (BCCD val)'] == f'{final.mean():.1f} ± {final.std(ddof=1):.1f}'
    assert second['AP, published (COCO minival)'] == '35.9'
    assert second['time / CE, published'] == f'{13.675 / 0.566:.2f}'
    assert first['time / CE, measured'] == '1.00'
    assert absent['AP, measured (BCCD val)'] == absent['s / iteration, measured'] == '-'
    assert (first['seeds'], absent['seeds']) == ('4', '0')
    assert 'not checked against the paper' in text and 'NaN' not in text


def test_one_seed_has_no_deviation(work_dirs):
    results, aps, _ = work_dirs
    table = TABLES['regression']
    measured = measured_rows(table.rows, {'sl1': {3: results['ce'][3]}})
    (first, *_) = cells(markdown(table, measured, 'sample val'))
    assert first['AP, measured (sample val)'] == f'{100 * aps[0, 3, -1]:.1f}'
    assert rows_of(csv_text(table, measured, 'sample val'))[0]['ap_deviation'] == ''
    # nobody has published the time of these rows
    assert not any('published' in name for name in first if name.startswith(('s /', 'time')))


def test_what_a_seed_did_not_log_does_not_count(work_dirs):
    results, *_ = work_dirs
    runs = results['ce']
    runs[0] = replace(runs[0], seconds=None, ap50=None, non_finite_from=20)
    (row, *_) = measured_rows(DENSITY.rows, results)
    seconds = [runs[seed].seconds for seed in (1, 2, 3)]
    assert row.values['seconds'].mean == pytest.approx(np.mean(seconds))
    assert row.values['ap50'].deviation == pytest.approx(
        100 * np.std([runs[seed].ap50 for seed in (1, 2, 3)], ddof=1)
    )
    assert 'CE: a loss was NaN or infinite with seed 0.' in markdown(DENSITY, [row], 'x')


def test_paired_difference_is_over_the_seeds_of_both(work_dirs):
    results, aps, _ = work_dirs
    table = replace(DENSITY, paired=True)
    results['exact'].pop(1)
    first, second, absent = measured_rows(table.rows, results)
    difference = 100 * (aps[1, :, -1] - aps[0, :, -1])[[0, 2, 3]]
    assert second.difference.mean == pytest.approx(difference.mean())
    assert second.difference.deviation == pytest.approx(difference.std(ddof=1) / 3**0.5)
    assert absent.difference is None
    shown = [row['AP - CE, paired'] for row in cells(markdown(table, [first, second, absent], 'x'))]
    assert shown == ['-', f'{difference.mean():+.1f} ± {second.difference.deviation:.1f}', '-']
    text = csv_text(table, [first, second, absent], 'x')
    assert float(rows_of(text)[1]['difference_mean']) == pytest.approx(difference.mean())


def test_nothing_is_said_to_be_published_where_nothing_is(work_dirs):
    results, *_ = work_dirs
    rows = tuple(replace(row, published=Published()) for row in DENSITY.rows)
    table = replace(DENSITY, rows=rows, source=None)
    text = markdown(table, measured_rows(rows, results), 'x')
    assert 'ublished' not in text
