"""studies.compare_runs: on a real training that was resumed, and on input that is at fault."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from studies.compare_runs import FILES, main
from tests.processes import environment
from tests.studies.run_logs import train_line, val_line, write_start


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two runs that can be compared, below the working directory."""
    monkeypatch.chdir(tmp_path)
    lines = [train_line(10, 1), val_line(1, 0.1), train_line(20, 2), val_line(2, 0.2)]
    write_start(Path('runs/ghm'), lines, loss='GHMCLoss')
    write_start(Path('runs/focal'), lines)
    return tmp_path


def table(out):
    with (out / 'table.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def test_a_real_run_that_was_resumed(small_config, run_here, tmp_path):
    train = ['train.py', small_config, '--work-dir', 'run/real']
    options = ['--cfg-options', 'default_hooks.logger.interval=1']
    for epochs, resume in ((2, []), (3, ['--resume'])):
        assert run_here(*train, *resume, *options, f'train_cfg.max_epochs={epochs}') is None
    write_start(tmp_path / 'run' / 'other', [train_line(4, 1), train_line(8, 2)])

    command = [
        sys.executable,
        '-m',
        'studies.compare_runs',
        'run/real',
        'run/other',
        '--out',
        'out',
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ''
    out = tmp_path / 'out'
    assert {path.name for path in out.iterdir()} == FILES
    assert (out / 'table.md').read_text() in done.stdout

    real, other = table(out)
    saved = torch.load(tmp_path / 'run' / 'real' / 'epoch_3.pth', weights_only=False)['meta']
    assert (real['run'], real['losses']) == ('real', 'GHMCLoss, GHMRLoss')
    assert int(real['iterations']) == saved['iter'] == 6
    starts = sorted((tmp_path / 'run' / 'real').glob('*/vis_data/scalars.json'))
    assert len(starts) == 2
    logged = [json.loads(line) for path in starts for line in path.read_text().splitlines()]
    metrics = [line['coco/bbox_mAP'] for line in logged if 'coco/bbox_mAP' in line]
    assert float(real['final']) == metrics[-1]
    assert float(real['best']) == max(metrics)
    assert (other['run'], other['final']) == ('other', '')
    with (out / 'curves.csv').open(newline='') as file:
        loss = [
            row for row in csv.DictReader(file) if (row['run'], row['curve']) == ('real', 'loss')
        ]
    assert [float(row['value']) for row in loss] == [
        line['loss'] for line in logged if 'iter' in line
    ]
    assert [int(row['iteration']) for row in loss] == [1, 2, 3, 4, 5, 6]


def test_again_replaces_only_its_own_results(folders, capsys):
    (Path('work_dirs') / 'comparison').mkdir(parents=True)  # an empty folder will do
    main(['runs/ghm'])
    main(['runs/ghm', 'runs/focal'])
    out = Path('work_dirs/comparison')
    assert [row['run'] for row in table(out)] == ['ghm', 'focal']
    assert capsys.readouterr().out.count('figure, table and curves: work_dirs/comparison') == 2


def test_the_results_beside_the_runs_are_no_run(folders):
    for _ in range(2):
        main([*sorted(map(str, Path('runs').iterdir())), '--out', 'runs/comparison'])
        assert [row['run'] for row in table(Path('runs/comparison'))] == ['focal', 'ghm']


def test_what_is_left_out_is_said(folders, capsys):
    write_start(Path('runs/ghm'), [train_line(10)], '20260202_000000')
    main(['runs/ghm'])
    assert capsys.readouterr().err.endswith('what came after it: runs/ghm/20260101_000000\n')


def made_up(values):
    """Work dirs by name, each with its final value; None is a validation without detections."""
    for name, value in values.items():
        line = val_line(1, value)
        if value is None:
            del line['coco/bbox_mAP']
        write_start(Path(name), [train_line(10, 1), line])
    main([*values, '--out', 'out'])
    return Path('out/table.md').read_text()


@pytest.mark.parametrize('form', ['{}/seed{}', '{}_seed{}', '{}-seed-{}'])
def test_rows_over_seeds(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).uniform(size=(2, 4))
    seeds = {'my_data': (0, 1, 2), 'my_data_ghm': (3, 2, 1)}
    text = made_up(
        {
            form.format(row, seed): value[seed]
            for (row, of_row), value in zip(seeds.items(), values)
            for seed in of_row
        }
    )
    lines = text[text.index('over the seeds') :].splitlines()
    cells = [[each.strip() for each in line.split('|')[1:-1]] for line in lines if '|' in line]
    first, ghm = (dict(zip(cells[0], each)) for each in cells[2:])

    def spread(mean, deviation):
        return f'{100 * mean:.1f} ± {100 * deviation:.1f}'

    for found, (row, of_row), value in zip((first, ghm), seeds.items(), values):
        of_row = value[list(of_row)]
        assert found['row'] == row
        assert found['AP, measured (last validation)'] == spread(of_row.mean(), of_row.std(ddof=1))
    difference = (values[1] - values[0])[1:3]
    error = difference.std(ddof=1) / len(difference) ** 0.5
    assert ghm['AP - my_data, paired'].lstrip('+') == spread(difference.mean(), error)
    assert lines[-1] == 'Seeds in common with my_data: my_data_ghm 2.'


@pytest.mark.parametrize(
    'names',
    [('a/seed0', 'b/seed0'), ('a/seed0', 'a/seed1', 'b/other'), ('a/seed0', 'a/seed1', 'a/seed_0')],
    ids=['one of each', 'one without a seed', 'one twice'],
)
def test_no_rows_over_seeds(tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    assert 'over the seeds' not in made_up(dict.fromkeys(names, 0.5))


def test_runs_without_detections_are_named_and_are_in_no_mean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = made_up({'a/seed0': 0.5, 'a/seed1': None, 'b/seed0': 0.25, 'b/seed1': 0.25})
    assert 'No coco/bbox_mAP of a/seed1: the last validation had no detections' in text
    assert 'Seeds in common with a: b 1.' in text


def broken_log(folder):
    write_start(folder / 'runs' / 'broken', [train_line(10)], end='{"iter": \n{}\n')


def users_file(name):
    def make(folder):
        main(['runs/ghm', '--out', 'out'])
        (folder / 'out' / name).write_text('mine')

    return make


def users_curves(folder):
    (folder / 'out').mkdir()
    (folder / 'out' / 'curves.csv').write_text('x,y\n')


def nothing(folder):
    pass


ERRORS = {
    'no folder': (nothing, ['runs/none'], 'runs/none: no such folder'),
    'no log': (
        lambda folder: (folder / 'runs' / 'empty').mkdir(),
        ['runs/ghm', 'runs/empty'],
        'runs/empty: no <time>/vis_data/scalars.json, which MMEngine writes when it trains',
    ),
    'nothing logged': (
        lambda folder: write_start(folder / 'runs' / 'new', [], end='{"lr": 0.1, "lo'),
        ['runs/new'],
        'runs/new/20260101_000000/vis_data/scalars.json: no training loss was logged yet',
    ),
    'a broken line': (broken_log, ['runs/broken'], 'scalars.json, line 2: not a line of a log'),
    'an unknown metric': (
        nothing,
        ['runs/ghm', '--metric', 'mAP'],
        'metric mAP: no run has it; there are coco/bbox_mAP',
    ),
    'a run twice': (nothing, ['runs/ghm', 'runs/../runs/ghm'], 'runs/../runs/ghm: named twice'),
    'only the results': (nothing, ['out'], 'out: the folder of the results'),
    'a file of the user': (users_file('notes.txt'), ['runs/ghm'], '--out out: has files that'),
    'a CSV of the user': (users_curves, ['runs/ghm'], '--out out: has files that'),
    'a CSV of the user in the place of ours': (
        users_file('curves.csv'),
        ['runs/ghm'],
        '--out out: has files that are not of an earlier comparison',
    ),
    'a file as folder': (
        lambda folder: (folder / 'out').write_text('mine'),
        ['runs/ghm'],
        '--out out: not a folder',
    ),
    'a file above the folder': (
        lambda folder: (folder / 'file').write_text('mine'),
        ['runs/ghm', '--out', 'file/out'],
        'file/out',
    ),
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize(('prepare', 'arguments', 'message'), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_line_and_nothing_changes(folders, prepare, arguments, message):
    prepare(folders)
    before = contents(folders)
    with pytest.raises(SystemExit) as stopped:
        main(['--out', 'out', *arguments])
    text = str(stopped.value)
    assert text.startswith('error: ') and message in text
    assert '\n' not in text
    assert contents(folders) == before
