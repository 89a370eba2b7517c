"""One start's log: which lines count, and when a validation was."""

import json
import math

import pytest

from studies.run_log import RunError, read_log
from tests.studies.run_logs import train_line, val_line, write_start


def logged_every(interval, epoch_length, epochs, first_epoch=1):
    """An epoch-based training: a line every few iterations of an epoch, then a validation."""
    for epoch in range(first_epoch, epochs + 1):
        for inner in range(interval, epoch_length + 1, interval):
            yield train_line((epoch - 1) * epoch_length + inner, epoch)
        yield val_line(epoch, 0.1)


@pytest.mark.parametrize('first_epoch', [1, 3])
@pytest.mark.parametrize(('interval', 'epoch_length'), [(10, 10), (10, 26), (50, 99), (1, 3)])
def test_validations_are_at_the_end_of_their_epoch(tmp_path, interval, epoch_length, first_epoch):
    lines = logged_every(interval, epoch_length, 5, first_epoch)
    log = read_log(write_start(tmp_path, lines))
    epochs = list(range(first_epoch, 6))
    assert [done.epoch for done in log.validations] == epochs
    assert [done.iteration for done in log.validations] == [n * epoch_length for n in epochs]


UNKNOWN = {
    'one epoch': [train_line(10, 1), train_line(20, 1), val_line(1, 0.1)],
    'by iteration': [train_line(10), train_line(20), val_line(25, 0.1)],
    'step 0': [train_line(10, 1), train_line(20, 1), val_line(0, 0.1)],
    'epochs of another length before': [
        *(train_line(10, 4), train_line(13, 5), train_line(20, 7)),
        val_line(7, 0.1),
    ],
}


@pytest.mark.parametrize('lines', UNKNOWN.values(), ids=UNKNOWN)
def test_otherwise_at_the_last_logged_iteration(tmp_path, lines):
    (done,) = read_log(write_start(tmp_path, lines)).validations
    assert done.iteration == 20


def test_a_validation_before_any_line_of_training_is_at_0(tmp_path):
    (done,) = read_log(write_start(tmp_path, [val_line(5, 0.1), train_line(10)])).validations
    assert (done.iteration, done.epoch) == (0, None)


def test_values_are_those_of_the_lines(tmp_path):
    lines = [
        train_line(10, 1, loss=3.0, time=0.7, data_time=0.2, memory=4000),
        {'iter': 20, 'loss': 2.0, 'step': 20},
        val_line(1, 0.25, **{'coco/bbox_mAP_50': 0.5}),
    ]
    log = read_log(write_start(tmp_path, lines))
    full, bare = log.train
    assert (full.loss, full.seconds, full.data_seconds, full.memory) == (3.0, 0.7, 0.2, 4000)
    assert (bare.loss, bare.epoch, bare.seconds, bare.data_seconds, bare.memory) == (
        2.0,
        *[None] * 4,
    )
    assert [line.warm_up for line in log.train] == [True, False]
    assert log.validations[0].metrics == {'coco/bbox_mAP': 0.25, 'coco/bbox_mAP_50': 0.5}


def test_names_with_the_mode_before_them(tmp_path):
    lines = [
        {'train/loss': 2.0, 'train/time': 0.5, 'iter': 10, 'step': 10},
        {'val/coco/bbox_mAP': 0.25, 'val/time': 0.1, 'val/data_time': 0.1, 'step': 1},
    ]
    log = read_log(write_start(tmp_path, lines))
    assert (log.train[0].loss, log.train[0].seconds) == (2.0, 0.5)
    assert log.validations[0].metrics == {'coco/bbox_mAP': 0.25}


def test_lines_of_other_hooks_are_passed_over(tmp_path):
    lines = [train_line(10), {'gradient/loss_cls': 0.3, 'step': 10}, val_line(1, 0.1)]
    log = read_log(write_start(tmp_path, lines))
    assert (len(log.train), len(log.validations)) == (1, 1)


def test_non_finite_losses_are_kept(tmp_path):
    lines = [train_line(10, loss=math.nan), train_line(20, loss=math.inf)]
    first, second = read_log(write_start(tmp_path, lines)).train
    assert math.isnan(first.loss) and second.loss == math.inf


LINE = json.dumps(train_line(20))


@pytest.mark.parametrize('length', range(len(LINE) + 1))
def test_a_last_line_without_its_end_counts_only_when_it_is_whole(tmp_path, length):
    log = read_log(write_start(tmp_path, [train_line(10)], end=LINE[:length]))
    assert len(log.train) == (2 if length == len(LINE) else 1)


@pytest.mark.parametrize(
    'broken', ['', LINE[:20], '[1]', '3', '{"iter": "x", "loss": 1}', '{"iter": 1, "loss": null}']
)
def test_a_broken_line_is_named(tmp_path, broken):
    path = write_start(tmp_path, [train_line(10)], end=f'{broken}\n{LINE}\n')
    with pytest.raises(RunError, match=r'scalars\.json, line 2: not a line of a log'):
        read_log(path)
