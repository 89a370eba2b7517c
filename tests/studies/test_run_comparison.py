"""The figure of several runs: it shows what was logged, and runs can be told apart."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from ghm_mmdet.diagnosis.style import COLOURS, save
from studies.run_comparison import draw_comparison, looks, smooth, write_curves
from studies.runs import read_run
from tests.studies.run_logs import train_line, val_line, write_start

AP = 'coco/bbox_mAP'
GAP = slice(90, 95)


def noise(n, scale=1.0):
    return np.random.default_rng(0).normal(5, scale, n)


@pytest.mark.parametrize('n', [0, 1, 5, 39])
def test_few_points_are_not_smoothed(n):
    np.testing.assert_array_equal(smooth(noise(n)), noise(n))


@pytest.mark.parametrize('n', [40, 41, 400])
def test_smoothing_invents_nothing(n):
    line = np.linspace(3, -2, n)
    np.testing.assert_allclose(smooth(line), line, atol=1e-12)
    raw = noise(n)
    smoothed = smooth(raw)
    assert (smoothed[0], smoothed[-1]) == (raw[0], raw[-1])
    # the mean of all that is at most a fortieth of the run away, worked out with a window of NumPy
    half = n // 40
    window = np.convolve(raw, np.full(2 * half + 1, 1 / (2 * half + 1)), mode='valid')
    np.testing.assert_allclose(smoothed[half:-half], window)
    assert smoothed.std() < 0.9 * raw.std()


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_gaps_stay_and_nothing_leaks_over_them(bad):
    raw = noise(200)
    raw[100:] += 1000
    raw[GAP] = bad
    smoothed = smooth(raw)
    assert np.flatnonzero(np.isnan(smoothed)).tolist() == list(range(200))[GAP]
    assert smoothed[95] == raw[95] and smoothed[89] == raw[89]
    assert smoothed[: GAP.start].max() < 10
    np.testing.assert_array_equal(smooth(np.array([bad, 1.0, bad])), [math.nan, 1.0, math.nan])


def make_run(folder, loss, losses, aps=(), **config):
    lines = [train_line(10 * (i + 1), 1, loss=float(value)) for i, value in enumerate(losses)]
    lines += [val_line(1, ap) for ap in aps]
    write_start(folder, lines, loss=loss, **config)
    return read_run(folder)


@pytest.mark.parametrize(
    ('loss', 'name'),
    [
        ('GHMCLoss', 'GHM-C'),
        ('GHMC', 'GHM-C'),
        ('FocalLoss', 'focal loss'),
        ('CrossEntropyLoss', 'cross entropy'),
        ('OHEMLoss', 'OHEM'),
    ],
)
def test_a_loss_has_its_colour(tmp_path, loss, name):
    (look,) = looks([make_run(tmp_path, loss, [1])], ['run'])
    assert (look.label, look.colour) == (f'run ({name})', COLOURS[name])


def test_other_losses_are_grey_and_named(tmp_path):
    run = make_run(tmp_path, 'VarifocalLoss', [1])
    (look,) = looks([run], ['run'])
    assert look.label == 'run (VarifocalLoss)'
    assert look.colour not in COLOURS.values()


def test_runs_of_one_loss_differ_without_their_colour(tmp_path):
    ghm = make_run(tmp_path / 'a', 'GHMCLoss', [1])
    focal = make_run(tmp_path / 'b', 'FocalLoss', [1])
    drawn = looks([ghm, focal] * 20, [str(i) for i in range(40)])
    for one in (drawn[::2], drawn[1::2]):
        assert len({look.colour for look in one}) == 1
        assert len({look.line_style for look in one[:4]}) == 4
        # as a point of the metric, where a line style cannot be seen, and as a curve of the loss
        assert len({look.marker for look in one[:7]}) == 7
        curves = {(look.line_style, look.marker if look.marked_loss else '') for look in one}
        assert len(curves) == 20
        assert len({(look.line_style, look.marker) for look in one}) == 20


@pytest.fixture
def alike(tmp_path, runs):
    """With the same loss."""
    return [runs[0], make_run(tmp_path / 'alike', 'GHMCLoss', [2.0])]


@pytest.fixture
def runs(tmp_path):
    losses = noise(200)
    losses[GAP] = math.nan
    return [
        make_run(tmp_path / 'noisy', 'GHMCLoss', losses, [0.1, 0.3]),
        make_run(tmp_path / 'short', 'FocalLoss', [2.0]),
    ]


@pytest.mark.parametrize(
    ('label', 'loss', 'expected'),
    [
        ('ghmc-published', 'GHMCLoss', 'ghmc-published'),
        ('focal/seed0', 'FocalLoss', 'focal/seed0'),
        ('seed0', 'FocalLoss', 'seed0 (focal loss)'),
        ('run', None, 'run'),
    ],
)
def test_a_label_that_names_its_loss_does_so_once(tmp_path, label, loss, expected):
    run = replace(make_run(tmp_path, 'FocalLoss', [1]), classification=loss)
    (look,) = looks([run], [label])
    assert look.label == expected


def test_losses_that_are_not_comparable_are_not_drawn(runs):
    (axes,) = draw_comparison(runs, ['noisy', 'short'], AP).axes
    noisy, short = axes.get_lines()
    assert noisy.get_xydata().tolist() == [[2000, 0.1], [2000, 0.3]]
    assert len(short.get_xydata()) == 0


def test_lines_are_what_was_logged(alike):
    left, right = draw_comparison(alike, ['noisy', 'short'], AP).axes
    raw, smoothed, dot, _ = left.get_lines()
    logged = [line.loss for line in alike[0].train]
    np.testing.assert_array_equal(raw.get_xdata(), np.arange(10, 2001, 10))
    np.testing.assert_array_equal(raw.get_ydata(), logged)
    np.testing.assert_array_equal(smoothed.get_ydata(), smooth(np.array(logged)))
    assert dot.get_xydata().tolist() == [[10, 2.0]]
    noisy, short = right.get_lines()
    assert noisy.get_xydata().tolist() == [[2000, 0.1], [2000, 0.3]]
    assert len(short.get_xydata()) == 0
    assert noisy.get_color() == smoothed.get_color() == COLOURS['GHM-C']
    assert left.get_xlim() == right.get_xlim()


@pytest.mark.parametrize(('top', 'scale'), [(5, 'linear'), (50, 'log')])
def test_losses_over_more_than_a_decade_are_on_a_log_scale(tmp_path, top, scale):
    run = make_run(tmp_path, 'GHMCLoss', [top, math.inf, 1.0])
    assert draw_comparison([run], ['run'], AP).axes[0].get_yscale() == scale


@pytest.mark.parametrize(
    'losses', [[math.nan], [-1.0, 20.0], [0.0, 1.0]], ids=['no number', 'negative', 'zero']
)
def test_odd_losses_are_drawn(tmp_path, losses):
    run = make_run(tmp_path / 'run', 'GHMCLoss', losses)
    figure = draw_comparison([run], ['run'], AP)
    assert figure.axes[0].get_yscale() == 'linear'
    save(figure, tmp_path / 'figure')


def test_labels_are_text_and_stay_inside_the_picture(tmp_path, runs):
    labels = ['a$x$b', 'retinanet_r50_fpn_with_a_name_that_is_rather_long_2x']
    figure = draw_comparison(runs, labels, AP)
    save(figure, tmp_path / 'figure')
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        r'a\$x\$b (GHM-C)',
        f'{labels[1]} (focal loss)',
    ]
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
    assert all(axes.bbox.y0 > box.y1 for axes in figure.axes)


def test_files_repeat(tmp_path, runs):
    written = []
    for folder in (tmp_path / '1', tmp_path / '2'):
        folder.mkdir()
        files = save(draw_comparison(runs, ['noisy', 'short'], AP), folder / 'comparison')
        write_curves(folder / 'curves.csv', runs, ['noisy', 'short'], AP)
        written.append([path.read_bytes() for path in (*files, folder / 'curves.csv')])
    assert written[0] == written[1]


def test_csv_has_the_points_of_the_figure(tmp_path, runs):
    write_curves(tmp_path / 'curves.csv', runs, ['noisy', 'short'], AP)
    with (tmp_path / 'curves.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    left, right = draw_comparison(runs[:1], ['noisy'], AP).axes
    raw, smoothed = left.get_lines()[:2]
    loss = [row for row in rows if (row['run'], row['curve']) == ('noisy', 'loss')]
    for column, line in (('value', raw), ('smoothed', smoothed)):
        points = [[float(row['iteration']), float(row[column])] for row in loss]
        np.testing.assert_array_equal(points, line.get_xydata())
    metric = [row for row in rows if row['curve'] == AP]
    points = [[float(row['iteration']), float(row['value'])] for row in metric]
    assert points == right.get_lines()[0].get_xydata().tolist()
    assert {(row['run'], row['epoch'], row['smoothed']) for row in metric} == {('noisy', '1', '')}
