"""The demonstration on a few small pictures, of our own and of a user's folder."""

import importlib
import json
import re
from collections import defaultdict
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config

from demo.coco_folder import find_coco_folder
from demo.sample import SampleSettings, make_sample_dataset
from demo.training import Training, use_coco_folder
from ghm_mmdet.losses import GHMCLoss
from studies.study_tables import TABLES

CONFIGS = Path(__file__).parents[2] / 'configs'
ROWS = {'focal loss': 'focal', 'GHM-C': 'ghmc-no-prior'}
"""Of the study that the two settings are from."""
RESULT = re.compile(r'^(focal loss|GHM-C) +mAP (\S+)   AP50 (\S+?)(, where nothing was detected)?$')


@pytest.fixture
def tool(monkeypatch):
    """demo/__main__.py, as a module, for a few iterations."""
    module = importlib.import_module('demo.__main__')
    monkeypatch.setattr(module, 'ITERATIONS', 15)
    monkeypatch.setattr(module, 'VAL_INTERVAL', 10)
    monkeypatch.setattr(module, 'PICTURES', 2)
    return module


@pytest.fixture
def configs(tool):
    return {
        name: Config.fromfile(tool.ROOT / tool.CONFIG.format(run))
        for name, run in tool.RUNS.items()
    }


@pytest.fixture
def demonstrate(tool, tmp_path, monkeypatch, capsys):
    """Run the demonstration, and return its folder and what it printed."""

    def run(*arguments):
        out = tmp_path / 'out'
        monkeypatch.setattr('sys.argv', ['demo', '--out', str(out), *map(str, arguments)])
        tool.main()
        return out, capsys.readouterr().out.splitlines()

    return run


def results(printed):
    """The two losses' last lines, as numbers, and whether nothing was detected."""
    found = [match.groups() for match in map(RESULT.match, printed) if match]
    return {name: (float(ap), float(ap50), bool(none)) for name, ap, ap50, none in found}


def logged(folder):
    """The last metrics that a training logged."""
    (scalars,) = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    return lines[-1]


def test_the_two_differ_in_the_classification_alone(configs):
    heads = [cfg.model.pop('bbox_head') for cfg in configs.values()]
    focal, ghmc = configs.values()
    assert focal.to_dict() == ghmc.to_dict()
    changed = {key for key in {*heads[0], *heads[1]} if heads[0].get(key) != heads[1].get(key)}
    assert changed == {'type', 'loss_cls', 'init_cfg'}


@pytest.mark.parametrize('name', ROWS)
def test_the_two_are_those_of_the_study(name, configs):
    (row,) = (row for row in TABLES['small-data-final'].rows if row.name == ROWS[name])
    study = Config.fromfile(CONFIGS / row.config)
    study.merge_from_dict(row.changes)
    heads = [cfg.model.bbox_head.to_dict() for cfg in (study, configs[name])]
    for key in ('type', 'loss_bbox', 'init_cfg'):
        assert heads[0].get(key) == heads[1].get(key)
    losses = [head['loss_cls'] for head in heads]
    for loss in losses:
        if 'balance' in loss:  # by its name, or part by part
            loss['balance'] = GHMCLoss(use_sigmoid=True, balance=loss['balance']).balance
    assert losses[0] == losses[1]


def test_on_the_sample_data(configs, tool, tmp_path, demonstrate, monkeypatch):
    data = tmp_path / 'data'
    make_sample_dataset(data, SampleSettings(train=8, val=4, size=96))
    fromfile = Config.fromfile

    def elsewhere(path):
        cfg = fromfile(path)
        for name in ('train', 'val'):
            cfg[f'{name}_dataloader'].dataset.data_root = f'{data}/'
        cfg.val_evaluator.ann_file = str(data / 'annotations/instances_val.json')
        return cfg

    monkeypatch.setattr(Config, 'fromfile', elsewhere)
    monkeypatch.setattr(tool, 'make_sample_dataset', lambda *_, **__: None)
    _, printed = demonstrate()
    assert results(printed).keys() == tool.RUNS.keys()


def test_on_a_users_folder(tool, configs, coco_folder, demonstrate):
    out, printed = demonstrate('--data', coco_folder)
    check_metrics(out, printed, tool.RUNS)
    check_files(out, printed, tool.RUNS)
    check_words(printed, configs['GHM-C'])


def check_metrics(out, printed, runs):
    """They are the last that was logged: none of focal loss, whose scores are still low."""
    assert results(printed).keys() == runs.keys()
    assert results(printed)['focal loss'] == (0, 0, True)
    for name, (ap, ap50, _) in results(printed).items():
        last = logged(out / runs[name])
        assert ap == pytest.approx(last.get('coco/bbox_mAP', 0), abs=5e-4)
        assert ap50 == pytest.approx(last.get('coco/bbox_mAP_50', 0), abs=5e-4)


def check_files(out, printed, runs):
    """All that is named is there, and lies in the folder of its own training."""
    files = dict(line.rsplit(maxsplit=1)[::-1] for line in printed if str(out) in line)
    pictures = [Path(path) for path, kind in files.items() if kind == 'picture']
    folders = [Path(path) for path, kind in files.items() if kind == 'model and log']
    assert folders == [out / run for run in runs.values()]
    assert all(list(folder.glob('*.pth')) for folder in folders)
    assert [path.parent for path in pictures[:2]] == [out, out]
    # the density of the loss that has one
    assert [folders[1] in path.parents for path in pictures[2:]] == [True]
    assert all(cv2.imread(str(path)) is not None for path in pictures)


def check_words(printed, cfg):
    """What is said of the training is so, and the way to go on leads somewhere."""
    said = ' '.join(printed)
    assert f'to {cfg.train_pipeline[2].scale[0]} pixels' in said
    assert cfg.model.backbone.base_channels * 4 == 64  # a ResNet's own
    assert Path(CONFIGS, re.search(r'ghm_mmdet::(\S+\.py)', said).group(1)).is_file()
    assert all((CONFIGS.parent / page).is_file() for page in re.findall(r'docs/\S+?\.md', said))


def test_both_begin_alike_and_see_the_same_pictures(coco_folder, demonstrate, monkeypatch):
    first_weights, batches = {}, defaultdict(list)

    def record(training, runner, batch_idx, data_batch=None):
        weights = {**runner.model.state_dict()}
        first_weights.setdefault(runner.work_dir, weights['backbone.conv1.weight'].clone())
        batches[runner.work_dir].append(torch.stack(data_batch['inputs']))

    monkeypatch.setattr(Training, 'before_train_iter', record)
    demonstrate('--data', coco_folder)
    for kept in (first_weights, batches):
        focal, ghmc = kept.values()
        assert len(focal) == len(ghmc)
        assert all(map(torch.equal, focal, ghmc))


def test_a_placeholder_category_is_no_class(configs, coco_folder, edit_json):
    for split in ('train', 'val'):
        edit_json(
            coco_folder / f'annotations/instances_{split}.json',
            lambda content: content['categories'].insert(0, {'id': 0, 'name': 'cells'}),
        )
    cfg = configs['GHM-C']
    use_coco_folder(cfg, find_coco_folder(coco_folder), val_images=4)
    assert cfg.model.bbox_head.num_classes == 3


def test_the_tool_ends_in_one_line(tmp_path, tool, monkeypatch):
    (tmp_path / 'result.json').write_text(json.dumps({}))
    monkeypatch.setattr('sys.argv', ['demo.py', '--data', str(tmp_path)])
    with pytest.raises(SystemExit, match=r'split_coco\.py') as error:
        tool.main()
    assert '\n' not in str(error.value)
