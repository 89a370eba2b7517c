"""What a table's runs are on each data, where they go on, and when they are finished."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.cli.config import ConfigError
from studies import table_progress
from studies.study_tables import SMALL_DATA
from studies.table_plan import TABLES
from studies.table_progress import TableProgress
from studies.table_runs import (
    SMALL_BASES,
    TableRun,
    command,
    plan_row,
    row_config,
    saved_result,
    write_config,
)
from tests.configs_compared import without_scope
from tests.studies.run_logs import train_line, val_line, write_start

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / 'configs'
REGRESSION = TABLES['regression'].rows
OF_ALL_DATA = [row for table in TABLES.values() if not table.coco_only for row in table.rows]
ROWS = {row.config: row for row in OF_ALL_DATA if not (row.changes or row.detector)}
DETECTORS = {row.config: row for row in OF_ALL_DATA if row.detector and not row.changes}
CHANGED = {row.name: row for row in OF_ALL_DATA if row.changes}
EPOCHS = 3
needs_backbone = pytest.mark.skipif(
    not find_spec('efficientnet_lite_pytorch'), reason='needs requirements/fine-tuning.txt'
)


@pytest.mark.parametrize(
    ('row', 'data'),
    [
        *((row, 'bccd') for row in ROWS.values()),
        *(
            pytest.param(SMALL_DATA, data, marks=[needs_backbone] * data.endswith('-pretrained'))
            for data in SMALL_BASES
        ),
    ],
    ids=lambda each: getattr(each, 'name', each),
)
def test_small_data_changes_nothing_but_the_head_and_its_losses(row, data):
    base, own = (Config.fromfile(CONFIGS / name) for name in (SMALL_BASES[data], row.config))
    cfg = row_config(row, data, CONFIGS)
    check_config(cfg, ('train', 'val'))
    read_again = Config.fromstring(cfg.pretty_text, '.py')
    expected = base.to_dict()
    expected['model']['bbox_head']['type'] = own.model.bbox_head.type
    for loss in ('loss_cls', 'loss_bbox'):
        expected['model']['bbox_head'][loss] = own.model.bbox_head[loss].to_dict()
    imports = sorted({'ghm_mmdet', *base.get('custom_imports', {}).get('imports', [])})
    expected['custom_imports'] = dict(imports=imports, allow_failed_imports=False)
    expected['default_hooks']['checkpoint'].update(interval=1, max_keep_ckpts=2)
    assert without_scope(read_again.to_dict()) == without_scope(expected)


@pytest.mark.parametrize('row', DETECTORS.values(), ids=lambda row: Path(row.config).stem)
def test_a_row_may_bring_its_detector_to_the_classes_of_the_data(row):
    base, own = (Config.fromfile(CONFIGS / name) for name in (SMALL_BASES['bccd'], row.config))
    cfg = row_config(row, 'bccd', CONFIGS)
    own.model.bbox_head.num_classes = base.model.bbox_head.num_classes
    assert cfg.model.to_dict() == own.model.to_dict()
    assert cfg.train_dataloader.to_dict() == base.train_dataloader.to_dict()


@pytest.mark.parametrize('row', CHANGED.values(), ids=list(CHANGED))
def test_a_row_differs_from_its_config_in_its_changes_alone(row):
    cfg = row_config(row, 'bccd', CONFIGS)
    check_config(cfg, ('train', 'val'))
    plain = row_config(replace(row, changes={}), 'bccd', CONFIGS)
    assert cfg.to_dict() != plain.to_dict()
    plain.merge_from_dict(dict(row.changes))
    assert cfg.to_dict() == plain.to_dict()


def test_on_coco_the_config_is_that_of_the_repository(tmp_path):
    (run,) = plan_row(REGRESSION[0], [0], 'coco', REPOSITORY, tmp_path, {})
    write_config(run)
    assert run.config == CONFIGS / REGRESSION[0].config
    assert run.cfg.to_dict() == Config.fromfile(run.config).to_dict()
    assert list(tmp_path.iterdir()) == []


def test_a_config_of_other_settings_is_not_mixed_in(tmp_path):
    arguments = (REGRESSION[0], [0], 'sample', REPOSITORY, tmp_path)
    (run,) = plan_row(*arguments, {'train_cfg.max_epochs': 2})
    assert run.epochs == 2
    write_config(run)
    plan_row(*arguments, {})  # options are not in the file
    run.config.write_text(run.config.read_text() + 'x = 1\n')
    with pytest.raises(ConfigError, match='made of other configs than these; name another --out'):
        plan_row(*arguments, {})


@pytest.fixture
def run(tmp_path):
    """A run of three epochs in a folder of its own."""
    cfg = Config(dict(train_cfg=dict(max_epochs=EPOCHS)))
    return TableRun(REGRESSION[0], 7, cfg, Path('sl1.py'), None, tmp_path / 'seed7')


def saved(run, *epochs):
    run.work_dir.mkdir(exist_ok=True)
    for epoch in epochs:
        path = run.work_dir / f'epoch_{epoch}.pth'
        path.touch()
        (run.work_dir / 'last_checkpoint').write_text(str(path))


@pytest.mark.parametrize(
    ('epochs', 'resume'),
    [
        ((), ['--resume', 'auto']),
        ((1,), ['--resume', 'auto']),
        ((1, 2), ['--resume', 'auto']),
        # trained to the end, but its last validation is missing: MMEngine would do nothing
        ((2, 3), ['--resume', 'epoch_2.pth']),
        ((3,), []),
    ],
)
def test_goes_on_where_the_last_epoch_is_validated(run, epochs, resume):
    saved(run, *epochs)
    found = command(run, Path('root'), 1, ['a=1'])
    resume = [str(run.work_dir / each) if each.endswith('.pth') else each for each in resume]
    assert found[1:] == [
        *('root/tools/train.py', 'sl1.py', '--work-dir', str(run.work_dir), *resume),
        *('--cfg-options', 'randomness.seed=7', 'a=1'),
    ]


def test_several_ranks_and_a_batch_that_the_config_names(run):
    run.cfg.auto_scale_lr = dict(base_batch_size=16)
    found = command(run, Path('root'), 8, [])
    assert found[:3] == ['root/tools/dist_train.sh', 'sl1.py', '8']
    assert '--auto-scale-lr' in found


def epoch(number, **metrics):
    return [train_line(10 * number, number), val_line(number, number / 10, **metrics)]


def test_finished_with_the_validation_of_the_last_epoch(run):
    write_start(run.work_dir, [*epoch(1), *epoch(2)], '1')
    assert saved_result(run) is None
    write_start(run.work_dir, [train_line(30, 3)], '2', resume=True)
    assert saved_result(run) is None
    assert not (run.work_dir / 'result.json').exists()
    write_start(run.work_dir, epoch(3, **{'coco/bbox_mAP_50': 0.5}), '3', resume=True)
    result = saved_result(run)
    assert (result.final, result.ap50) == (0.3, 0.5)
    assert json.loads((run.work_dir / 'result.json').read_text())['final'] == 0.3
    assert saved_result(run) == result  # of the file


def test_a_validation_without_ap_is_none(run):
    lines = [train_line(30, 3), {'time': 0.1, 'data_time': 0.1, 'step': 3}]
    write_start(run.work_dir, lines)
    assert saved_result(run) is None


def test_a_broken_result_is_named(run):
    run.work_dir.mkdir()
    (run.work_dir / 'result.json').write_text('{"ap"')
    with pytest.raises(ConfigError, match=r'result\.json: no result of a run; remove it'):
        saved_result(run)


def test_rest_is_estimated_from_what_this_call_did(run, tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(table_progress.time, 'monotonic', lambda: clock[0])
    others = [replace(run, seed=seed, work_dir=tmp_path / f'seed{seed}') for seed in (8, 9)]
    write_start(run.work_dir, epoch(1), '1')  # of an earlier call: nothing that this one has done
    progress = TableProgress([run, *others], finished=2)
    assert progress.line(run, 'starts') == '[3/5] sl1 seed 7 starts; 0:00:00 elapsed'
    clock[0] += 30
    write_start(run.work_dir, [*epoch(2), train_line(30, 3)], '2', resume=True)
    with progress.shown(run):
        progress.refresh(run)
    # two thirds of a run in 30 s, and 2 1/3 runs to go
    assert '0:00:30 elapsed, about 0:01:45 left' in progress.line(run, 'runs')
    progress.end(run, 'AP 1.0')
    assert progress.line(others[0], 'starts') == (
        '[4/5] sl1 seed 8 starts; 0:00:30 elapsed, about 0:01:00 left'
    )
