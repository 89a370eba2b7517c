"""studies.reproduce: skipping, going on, failures, Ctrl-C and errors, with a made-up training."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from yapf.yapflib import yapf_api

from studies.reproduce import main

REPOSITORY = Path(__file__).resolve().parents[2]
STUB = '''
"""In the place of tools/train.py: logs what a training logs, or does what `behaviour` says."""
import json, os, sys, time
from pathlib import Path

from tests.studies.run_logs import train_line, val_line, write_start

options = sys.argv[1:]
work_dir = Path(options[options.index('--work-dir') + 1])
name = f'{work_dir.parent.name}/{work_dir.name}'
with open('calls', 'a') as file:
    file.write(json.dumps([name, *options]) + '\\n')
what = json.loads(Path('behaviour').read_text()).get(name, 'finish')
assert Path(options[0]).is_file()
last = 2 if what == 'hang' else 6
lines = [
    line
    for epoch in range(1, last + 1)
    for line in (train_line(10 * epoch, epoch), val_line(epoch, epoch / 100))
]
if what == 'fail':
    sys.exit('Traceback\\nRuntimeError: out of memory')
if what == 'no AP':
    lines = lines[:-1]
write_start(work_dir, lines, f'start{len(list(work_dir.iterdir()))}', resume=True)
if what == 'hang':
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth'))
    Path('process').write_text(str(os.getpid()))
    time.sleep(300)
'''
TEST_STUB = """
'In the place of tools/test.py: writes what MMEngine writes of an evaluation.'
import json, sys
from pathlib import Path

config, checkpoint, *options = sys.argv[1:]
assert Path(config).is_file()
work_dir = Path(options[options.index('--work-dir') + 1])
name = f'{work_dir.parent.parent.name}/{work_dir.parent.name}'
with open('tested', 'a') as file:
    file.write(json.dumps([name, Path(checkpoint).name, *options]) + '\\n')
if json.loads(Path('behaviour').read_text()).get(name) == 'fail the test':
    sys.exit('RuntimeError: out of memory')
(work_dir / 'start').mkdir(parents=True)
metrics = {'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_50': 0.75, 'coco/bbox_mAP_75': 0.25}
(work_dir / 'start' / 'start.json').write_text(json.dumps(metrics))
"""
RUN = 'from pathlib import Path; from studies.reproduce import main; main(root=Path("root"))'
TABLE = Path('work_dirs/paper/regression-bccd')


@pytest.fixture(autouse=True)
def configs_as_other_processes_write_them(monkeypatch):
    monkeypatch.setattr(yapf_api, 'FormatCode', yapf_api.FormatCode.__wrapped__)


@pytest.fixture
def folder(coco_folder, tmp_path, monkeypatch):
    """A working directory with data/bccd, and tools with a made-up training."""
    (coco_folder / 'bccd').symlink_to(coco_folder)
    (tmp_path / 'root' / 'tools').mkdir(parents=True)
    (tmp_path / 'root' / 'configs').symlink_to(REPOSITORY / 'configs')
    (tmp_path / 'root' / 'tools' / 'train.py').write_text(STUB)
    (tmp_path / 'root' / 'tools' / 'test.py').write_text(TEST_STUB)
    monkeypatch.chdir(tmp_path)
    behave({})
    return tmp_path


def behave(behaviour):
    Path('behaviour').write_text(json.dumps(behaviour))


def reproduce(*options, table='regression'):
    """Run the tool, and return its exit status and the runs that it started."""
    Path('calls').write_text('')
    with pytest.raises(SystemExit) as ended:
        main([table, '--data', 'bccd', *options], root=Path('root'))
    calls = [json.loads(line) for line in Path('calls').read_text().splitlines()]
    return ended.value.code, calls


def names(calls):
    return [name for name, *_ in calls]


def table_rows(name='table.csv'):
    with (TABLE / name).open(newline='') as file:
        return {row['row']: row for row in csv.DictReader(file)}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_finished_runs_are_not_repeated_and_failures_do_not_stop_the_others(folder, capsys):
    behave({'asl1/seed0': 'fail', 'ghmr/seed1': 'no AP'})
    status, calls = reproduce('--seeds', '2')
    assert status == 1
    assert names(calls) == [f'{row}/seed{n}' for n in (0, 1) for row in ('sl1', 'asl1', 'ghmr')]
    printed = capsys.readouterr()
    outputs = [TABLE / 'asl1' / 'seed0' / 'output.txt', TABLE / 'ghmr' / 'seed1' / 'output.txt']
    assert printed.err.splitlines() == [
        f'error: asl1 seed 0: status 1: RuntimeError: out of memory; log: {outputs[0]}',
        f'error: ghmr seed 1: ended without a box AP of epoch 6; log: {outputs[1]}',
    ]
    assert '[4/6] sl1 seed 1 starts; ' in printed.out and ' left' in printed.out
    assert {name: row['seeds'] for name, row in table_rows().items()} == {
        'sl1': '0 1',
        'asl1': '1',
        'ghmr': '0',
    }

    behave({})
    status, calls = reproduce('--seeds', '2')
    assert (status, names(calls)) == (0, ['asl1/seed0', 'ghmr/seed1'])
    assert all(row['seeds'] == '0 1' and row['ap_mean'] == '6.0' for row in table_rows().values())
    assert (TABLE / 'table.md').read_text() in capsys.readouterr().out

    # all seeds that there are stay in the table
    assert reproduce('--rows', 'ghmr') == (0, [])
    assert table_rows()['sl1']['seeds'] == '0 1'

    status, calls = reproduce('--rows', 'ghmr', '--first-seed', '1', '--seeds', '3')
    assert (status, names(calls)) == (0, ['ghmr/seed2', 'ghmr/seed3'])
    assert table_rows()['ghmr']['seeds'] == '0 1 2 3'
    assert not list(TABLE.rglob('*.part'))


def evaluations():
    lines = Path('tested').read_text().splitlines() if Path('tested').exists() else []
    return [json.loads(line) for line in lines]


def test_the_test_split_is_looked_at_once_for_each_finished_run(folder, capsys):
    behave({'asl1/seed0': 'fail', 'ghmr/seed0': 'fail the test'})
    option = ['--cfg-options', 'train_cfg.max_epochs=6']
    assert reproduce(*option)[0] == 1
    assert evaluations() == []  # not before it is asked for
    assert not (TABLE / 'table-test.csv').exists()
    status, calls = reproduce('--split', 'test', *option)
    assert (status, names(calls)) == (1, ['asl1/seed0'])
    assert [name for name, *_ in evaluations()] == ['sl1/seed0', 'ghmr/seed0']
    assert evaluations()[0][1] == 'epoch_6.pth'
    assert evaluations()[0][-1] == 'train_cfg.max_epochs=6'
    assert 'ghmr seed 0: not evaluated on the test split; log: ' in capsys.readouterr().err
    behave({})
    status, calls = reproduce('--split', 'test', *option)
    assert (status, names(calls)) == (0, ['asl1/seed0'])
    assert [name for name, *_ in evaluations()[2:]] == ['asl1/seed0', 'ghmr/seed0']
    rows = table_rows('table-test.csv')
    assert all(
        (row['ap_mean'], row['measured_on']) == ('50.0', 'BCCD test') for row in rows.values()
    )
    assert all(row['ap_mean'] == '6.0' for row in table_rows().values())
    text = (TABLE / 'table-test.md').read_text()
    assert text in capsys.readouterr().out
    assert 'All runs with `--cfg-options train_cfg.max_epochs=6`.' in text


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_signals():
    """As in a terminal, where the tests themselves may run in the background or under nohup."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize('number', STOPPING)
def test_stopped_it_ends_its_training_and_the_same_command_goes_on(folder, number, capsys):
    behave({'asl1/seed0': 'hang'})
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    rows = ['--rows', 'asl1']
    command = [sys.executable, '-c', RUN, 'regression', '--data', 'bccd', *rows]
    with subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    ) as process:
        try:
            while not Path('process').exists():
                assert process.poll() is None
                time.sleep(0.1)
            status, calls = reproduce(*rows)
            assert 'at work there' in status and calls == []
            process.send_signal(number)
            error = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130
    assert error == f'stopped; what is done is in {TABLE}, the same command goes on\n'
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path('process').read_text()), 0)

    behave({})
    status, (resumed,) = reproduce(*rows)
    assert (status, resumed[0]) == (0, 'asl1/seed0')
    assert resumed[resumed.index('--resume') + 1] == 'auto'


def test_dry_run_prints_the_commands_and_writes_nothing(folder, capsys):
    before = contents(folder)
    main(['regions', '--data', 'bccd', '--seeds', '2', '--dry-run'], root=Path('root'))
    lines = [line for line in capsys.readouterr().out.splitlines() if '--work-dir' in line]
    assert len(lines) == 10
    assert all('root/tools/train.py work_dirs/paper/regions-bccd/m' in line for line in lines)
    assert sum('randomness.seed=1' in line for line in lines) == 5
    assert contents(folder) == before


def made(*options):
    return lambda: reproduce('--rows', 'sl1', *options)


def users_folder():
    TABLE.mkdir(parents=True)
    (TABLE / 'table.md').write_text('mine')


def users_file():
    TABLE.parent.mkdir(parents=True)
    TABLE.write_text('mine')


def broken_result():
    reproduce('--rows', 'sl1')
    (TABLE / 'sl1' / 'seed0' / 'result.json').write_text('{}')


def no_data():
    (Path('data') / 'annotations' / 'instances_val.json').unlink()


def nothing():
    pass


ERRORS = {
    'no data': (no_data, [], 'instances_val.json: no such annotation file'),
    'no COCO': (
        nothing,
        ['--data', 'coco', '--cfg-options', 'model.backbone.init_cfg=None'],
        'data/coco/annotations/instances_train2017.json: no such annotation file',
    ),
    'no seed': (nothing, ['--seeds', '0'], '--seeds 0: must be at least 1'),
    'a seed below 0': (nothing, ['--first-seed', '-1'], '--first-seed -1: must be at least 0'),
    'no GPU': (nothing, ['--gpus', '-1'], '--gpus -1: must be at least 1'),
    'an unknown row': (
        nothing,
        ['--rows', 'sl1', 'l1'],
        '--rows l1: regression has sl1, asl1, ghmr',
    ),
    'an option that does not fit': (
        nothing,
        ['--cfg-options', 'train_pipeline.99.type=Resize'],
        '--cfg-options does not fit ghm/retinanet_r50_fpn_ghmc-1x_coco.py',
    ),
    'an option of a loss': (
        nothing,
        ['--cfg-options', 'model.bbox_head.loss_cls.bins=0'],
        'model.bbox_head.loss_cls: bins=0: must be',
    ),
    'no test split': (nothing, ['--data', 'sample', '--split', 'test'], 'sample has val alone'),
    'iterations': (
        nothing,
        ['--cfg-options', 'train_cfg.max_epochs=None'],
        'train_cfg.max_epochs is missing',
    ),
    "a user's folder": (users_folder, [], f'{TABLE}: has files of something else'),
    "a user's file": (users_file, [], f'{TABLE}: not a folder; name another --out'),
    'other options': (
        made(),
        ['--cfg-options', 'train_cfg.max_epochs=2'],
        f"{TABLE}: was made with cfg_options=[] and not ['train_cfg.max_epochs=2']; name another",
    ),
    'other GPUs': (made(), ['--gpus', '2'], 'was made with gpus=1 and not 2; name another --out'),
    'a broken result': (broken_result, [], 'result.json: no result of a run; remove it'),
}


@pytest.mark.parametrize(('prepare', 'options', 'message'), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_line_and_nothing_changes(folder, prepare, options, message):
    prepare()
    Path('calls').write_text('')
    before = contents(folder)
    rows = [] if '--rows' in options else ['--rows', 'sl1']
    status, calls = reproduce(*rows, *options)
    assert status.startswith('error: ') and message in status
    assert '\n' not in status
    assert calls == []
    assert contents(folder) == before


@pytest.mark.parametrize('table', ['two-stage', 'test-dev', 'model-zoo'])
def test_tables_that_differ_in_more_than_losses_are_for_coco_only(folder, table):
    status, _ = reproduce(table=table)
    assert status.startswith(f'error: --data bccd: {table} is for coco only, its rows differ in ')


def test_a_study_is_for_small_data_only(folder, monkeypatch):
    with pytest.raises(SystemExit, match='--data coco: small-data is for small data, --data bccd'):
        main(['small-data'], root=Path('root'))


@pytest.mark.long
def test_a_real_table(folder, run_tool):
    loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
    options = [
        'train_cfg.max_epochs=2',
        'default_hooks.logger.interval=1',
        'model.test_cfg.score_thr=0.0',
        'model.backbone.base_channels=8',
        'model.neck.in_channels=[8,16,32,64]',
        'model.neck.out_channels=8',
        *(f'model.bbox_head.{name}=8' for name in ('in_channels', 'feat_channels')),
        *(f'{split}_dataloader.{k}={v}' for split in ('train', 'val') for k, v in loader.items()),
    ]
    arguments = ['studies.reproduce', 'classification', '--data', 'bccd', '--cfg-options', *options]
    done = run_tool(*arguments)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    table = Path('work_dirs/paper/classification-bccd')
    with (table / 'table.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['row'] for row in rows] == ['ce', 'ohem', 'focal', 'ghmc']
    for row in rows:
        (log,) = table.glob(f'{row["row"]}/seed0/*/vis_data/scalars.json')
        *_, last = map(json.loads, log.read_text().splitlines())
        assert float(row['ap_mean']) == pytest.approx(100 * last['coco/bbox_mAP'])
        assert float(row['seconds_mean']) > 0
    before = contents(table)
    again = run_tool(*arguments)
    assert again.returncode == 0
    assert contents(table) == before
