"""Work dirs: starts that continue each other, starts that do not, and what the config says."""

import pytest

from studies.run_log import RunError
from studies.runs import read_run
from tests.studies.run_logs import train_line, val_line, write_start


def training(first, last, loss, step=10, epoch_length=20):
    """Lines from one iteration to another, a validation after every epoch."""
    for iteration in range(first, last + 1, step):
        epoch = (iteration - 1) // epoch_length + 1
        yield train_line(iteration, epoch, loss=loss)
        if iteration % epoch_length == 0:
            yield val_line(epoch, loss / 10)


def curve(run):
    return [(line.iteration, line.loss) for line in run.train]


def validations(run):
    return [(done.iteration, done.metrics['coco/bbox_mAP']) for done in run.validations]


@pytest.mark.parametrize(
    ('second', 'kept'),
    [
        (50, 40),  # the first ended where the second goes on
        (40, 30),  # it had validated what was done again
        (30, 20),  # the first was ahead of its last checkpoint
        (10, 0),  # nothing was saved
    ],
)
def test_a_resumed_run_is_one_curve_and_the_later_start_holds(tmp_path, second, kept):
    write_start(tmp_path, training(10, 40, loss=2.0), '20260101_000000')
    write_start(tmp_path, training(second, 80, loss=1.0), '20260101_235959', resume=True)
    run = read_run(tmp_path)
    # independently: who was the last to log an iteration, before the second start's history
    assert curve(run) == [(i, 2.0 if i <= kept else 1.0) for i in range(10, 81, 10)]
    assert validations(run) == [(i, 0.2 if i <= kept else 0.1) for i in range(20, 81, 20)]
    assert [line.iteration for line in run.train if line.warm_up] == [10, second][kept == 0 :]
    assert run.left_out == []


def test_three_starts_with_other_intervals(tmp_path):
    write_start(tmp_path, training(4, 40, loss=3.0, step=4), '1')
    write_start(tmp_path, training(30, 60, loss=2.0), '2', resume=True)
    write_start(tmp_path, training(45, 80, loss=1.0, step=5), '3', resume=True)
    expected = [(i, 3.0) for i in range(4, 30, 4)]
    expected += [(30, 2.0), (40, 2.0)] + [(i, 1.0) for i in range(45, 81, 5)]
    assert curve(read_run(tmp_path)) == expected


def test_what_a_fresh_start_does_not_continue_is_left_out_and_can_be_read_by_itself(tmp_path):
    first = write_start(tmp_path, training(4, 40, loss=3.0, step=4), '1')
    write_start(tmp_path, training(50, 60, loss=2.0), '2', resume=False)
    write_start(tmp_path, training(70, 80, loss=1.0), '3', resume=True)
    run = read_run(tmp_path)
    assert curve(run) == [(50, 2.0), (60, 2.0), (70, 1.0), (80, 1.0)]
    assert run.left_out == [first]
    assert curve(read_run(tmp_path / '1')) == [(i, 3.0) for i in range(4, 41, 4)]


def test_starts_without_a_line_of_training_do_not_count(tmp_path):
    write_start(tmp_path, training(10, 40, loss=2.0), '1')
    write_start(tmp_path, [val_line(0, 0.9)], '2', loss='GHMC')
    write_start(tmp_path, [], '3')
    (tmp_path / '4' / 'vis_data').mkdir(parents=True)
    run = read_run(tmp_path)
    assert validations(run) == [(20, 0.2), (40, 0.2)]
    assert run.classification == 'FocalLoss'


MODELS = {
    'one stage': (
        "dict(bbox_head=dict(loss_bbox=dict(type='mmdet.L1Loss'), loss_cls=dict(type='GHMCLoss')))",
        ['GHMCLoss', 'L1Loss'],
        'GHMCLoss',
    ),
    'two stages': (
        "dict(rpn_head=dict(loss_cls=dict(type='FocalLoss')),"
        "roi_head=dict(bbox_head=[dict(loss_cls=dict(type='GHMCLoss'))] * 2))",
        ['GHMCLoss', 'FocalLoss'],
        'GHMCLoss',
    ),
    'a wrapped loss': (
        "dict(bbox_head=dict(loss_cls=dict(type='OHEMLoss', loss=dict(type='FocalLoss'))))",
        ['OHEMLoss'],
        'OHEMLoss',
    ),
    'losses in the head': ("dict(bbox_head=dict(type='SSDHead'))", [], None),
}


@pytest.mark.parametrize(('model', 'losses', 'classification'), MODELS.values(), ids=MODELS)
def test_losses_of_the_config(tmp_path, model, losses, classification):
    path = write_start(tmp_path, training(10, 20, loss=1.0))
    path.with_name('config.py').write_text(f'model = {model}\n')
    run = read_run(tmp_path)
    assert (run.losses, run.classification) == (losses, classification)


@pytest.mark.parametrize('content', [None, 'model = dict(', 'import not_installed_here'])
def test_curves_do_without_a_config(tmp_path, content):
    for start, first in (('1', 10), ('2', 30)):
        path = write_start(tmp_path, training(first, first + 10, loss=1.0), start)
        path.with_name('config.py').unlink()
        if content is not None:
            path.with_name('config.py').write_text(content)
    run = read_run(tmp_path)
    assert len(run.train) == 4
    assert (run.losses, run.classification) == ([], None)


@pytest.mark.parametrize('name', ['none', 'file'])
def test_no_folder(tmp_path, name):
    (tmp_path / 'file').touch()
    with pytest.raises(RunError, match=f'{name}: no such folder'):
        read_run(tmp_path / name)
