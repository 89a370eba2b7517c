"""The pages that go through a job: their commands are those that the tools take, and they work.

Every ``bash`` block of a page runs in a folder that looks like a checkout, with small made-up data.
A ``sh`` block is another way to the same place, which a test of its own goes.

- Without the long tests, programs record what they are called with, and run nothing. The tools' own
  parsers read it then, and each config that is named is loaded, merged with its ``--cfg-options``
  and checked. Splitting and checking the data run as printed.
- The long tests run the commands as printed, with a small network and small pictures in place of
  the config's; the schedule is the page's.

Never run, and parsed alone: docs/coco.md, which needs 8 GPUs, slurm and COCO, and ``pip``. ``wget``
brings a file of the small network's random weights, and its address is compared with MMDetection's
model index. The block that opens FiftyOne is compiled and not run. Blocks of other kinds and what
stands in the text are not looked at.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path
from textwrap import dedent

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from torch.distributed.run import get_args_parser

from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.cli.config import load_config
from tests.processes import REPOSITORY, environment
from tests.tools.parsers import parser_of

PAGES = ('own-data', 'coco', 'own-head', 'noisy-labels', 'nan', 'tools')
CHECKOUT = ('configs', 'ghm_mmdet', 'studies', 'tools')
CLASSES = ('first', 'second', 'third')
COCO = 'data/coco'
STOCK = "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
CHANNELS = 64  # group norm of a single picture needs two for each of the 32 groups
SMALL = (
    'model.backbone.depth=18',
    'model.backbone.base_channels=8',
    'model.backbone.init_cfg=None',
    'model.neck.in_channels=[8,16,32,64]',
    f'model.neck.out_channels={CHANNELS}',
    f'model.bbox_head.in_channels={CHANNELS}',
    f'model.bbox_head.feat_channels={CHANNELS}',
    'model.bbox_head.stacked_convs=1',
    'model.test_cfg.score_thr=0.0',
    'train_dataloader.dataset.pipeline.2.scale=(64,48)',
    *(f'{part}_dataloader.dataset.pipeline.1.scale=(64,48)' for part in ('val', 'test')),
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
    *(f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')),
)
"""What makes a RetinaNet R-50, or an ATSS, small, as --cfg-options."""

RECORD = '#!/bin/bash\nprintf "%q " "$(basename "$0")" "$@" >>"$RECORD"\necho >>"$RECORD"\n'
RUN_PYTHON = """#!/bin/bash
set -f
case "$*" in
*tools/train.py* | *tools/test.py* | *tools/analyze_gradients.py* | *tools/loss_balance.py*)
    exec "$REAL_PYTHON" "$@" --cfg-options $SMALL ;;
*) exec "$REAL_PYTHON" "$@" ;;
esac
"""
FETCH = '#!/bin/bash\ncp "$CHECKPOINT" "$(basename "$1")"\n'


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a language in a page, also those inside of lists."""
    text = (REPOSITORY / 'docs' / f'{page}.md').read_text()
    found = re.findall(rf'^( *)```{language}\n(.*?)^\1```$', text, re.MULTILINE | re.DOTALL)
    return [dedent(block) for _, block in found]


def draw_data(
    folder: Path, classes: tuple[str, ...], names: dict[str, str], count: int, first: int = 0
) -> None:
    """Pictures with an object of each of the first three classes.

    Args:
        folder: Of the data.
        classes: All of them.
        names: Folder of the pictures by annotation file, relative to the folder.
        count: How many pictures.
        first: Number of the first one, in its file name and of its look.
    """
    rng = np.random.default_rng(first)
    images, annotations = [], []
    for index in range(first, first + count):
        picture = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
        for label in range(3):
            x, y = (int(value) for value in (21 * label + rng.integers(4), rng.integers(20)))
            picture[y : y + 20, x : x + 16, label] += 180
            box = dict(id=3 * index + label + 1, image_id=index + 1, category_id=label + 1)
            annotations.append(dict(**box, bbox=[x, y, 16, 20], area=320, iscrowd=0))
        name = f'{index}.png'
        images.append(dict(id=index + 1, file_name=name, width=64, height=48))
        for pictures in names.values():
            (folder / pictures).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / pictures / name), picture)
    categories = [dict(id=label, name=name) for label, name in enumerate(classes, start=1)]
    content = dict(images=images, annotations=annotations, categories=categories)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))


class Home:
    """A folder like a checkout, in which pages are followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in CHECKOUT:
            (folder / name).symlink_to(REPOSITORY / name)
        (folder / 'bin').mkdir()
        annotations = {'annotations/instances_default.json': 'images'}
        draw_data(folder / 'export', CLASSES, annotations, count=10)

    def write_files(self, page: str) -> None:
        """Write the Python blocks of a page that begin with the name of a file."""
        for block in blocks(page, 'python'):
            name = re.match(r'# (\w+\.py)\n', block)
            if name:
                (self.folder / name[1]).write_text(block)

    def run(self, block: str, programs: dict[str, str], **variables: str) -> None:
        """Run a block of commands, with programs in place of those of the same name."""
        for name, script in programs.items():
            path = self.folder / 'bin' / name
            path.write_text(script)
            path.chmod(0o755)
        path = f'{self.folder / "bin"}:{os.environ["PATH"]}'
        done = subprocess.run(
            ['bash', '-euo', 'pipefail', '-c', block],
            cwd=self.folder,
            env=environment(PATH=path, REAL_PYTHON=sys.executable, **variables),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f'{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'

    def recorded(self, page: str) -> list[list[str]]:
        """What the programs of a page's commands are called with."""
        self.write_files(page)
        record = self.folder / 'record'
        record.touch()
        for block in blocks(page, 'bash'):
            self.run(
                block, dict.fromkeys(('python', 'srun', 'pip', 'wget'), RECORD), RECORD=str(record)
            )
        return [shlex.split(line) for line in record.read_text().splitlines()]

    def follow(self, page: str, checkpoint: Path) -> None:
        """Do what a page says, with a small network in place of the one of its configs."""
        self.write_files(page)
        for block in blocks(page, 'bash'):
            self.run(
                block,
                dict(python=RUN_PYTHON, wget=FETCH),
                SMALL=' '.join(SMALL),
                CHECKPOINT=str(checkpoint),
            )


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty checkout, which is undone in this process as well."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(MODELS, '_module_dict', dict(MODELS.module_dict))
    yield Home(tmp_path)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], '__file__', None)):
            del sys.modules[name]


def options(settings: tuple[str, ...]) -> dict[str, object]:
    """``--cfg-options`` as the tools read them."""
    pairs = (each.split('=', 1) for each in settings)
    return {key: DictAction._parse_iterable(value) for key, value in pairs}


@pytest.fixture
def weights(tmp_path) -> Path:
    """A RetinaNet of 80 classes, as small as the commands make theirs."""
    cfg = Config.fromfile(REPOSITORY / 'configs/ghm/retinanet_r50_fpn_ghmc-small-data.py')
    cfg.merge_from_dict(options(SMALL))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    return path


def check_call(call: list[str], published: str) -> None:
    """That a program takes what it is called with, and that a config is there and sound."""
    program, *arguments = call
    if program == 'wget':
        assert f'Weights: {arguments[0]}\n' in published
        return
    if program == 'pip':
        assert arguments[0] == 'install'
        return
    if program == 'srun':
        arguments = arguments[arguments.index('python') + 1 :]
        assert arguments.pop(0) == '-u'
    if arguments[:2] == ['-m', 'torch.distributed.run']:
        ranks = get_args_parser().parse_args(arguments[2:])
        assert int(ranks.nproc_per_node) > 0 and int(ranks.nnodes) > 0
        arguments = [ranks.training_script, *ranks.training_script_args]
    if arguments[0] == '-m':
        name, arguments = f'{arguments[1].replace(".", "/")}.py', arguments[2:]
    else:
        name, *arguments = arguments
    tool = REPOSITORY / os.path.relpath(name)
    assert tool.is_file(), call
    args = parser_of(tool).parse_args(arguments)
    if getattr(args, 'config', None):
        check_config(load_config(args.config, args.cfg_options), ('train', 'val', 'test'))


@pytest.mark.parametrize('page', PAGES)
def test_commands_are_what_their_tools_take(page, home):
    if page in ('noisy-labels', 'nan'):
        home.write_files('own-data')
    index = Path(mmdet.__path__[0], '.mim/configs/retinanet/metafile.yml').read_text()
    calls = home.recorded(page)
    assert calls or page == 'tools'
    for call in calls:
        check_call(call, index)


@pytest.mark.parametrize('page', PAGES)
def test_configs_are_sound(page, home):
    home.write_files(page)
    found = []
    for block in blocks(page, 'python'):
        tree = ast.parse(block)
        if any(isinstance(each, (ast.Import, ast.ImportFrom)) for each in tree.body):
            continue
        path = home.folder / 'block.py'
        path.write_text(block if '_base_ = ' in block else STOCK + block)
        cfg = Config.fromfile(path)
        check_config(cfg, ('train', 'val', 'test'))
        found.append(cfg)
    assert len(found) == {'own-data': 1, 'own-head': 2, 'nan': 3}.get(page, 0)


def test_data_is_split_and_checked_as_printed(home):
    copy, split, check = blocks('own-data', 'bash')[:3]
    assert 'split_coco.py' in split and 'check_data.py' in check
    for block in (copy, split, check):
        home.run(block, dict(python=RUN_PYTHON))


def test_an_export_of_roboflow_is_checked_as_printed(home):
    for first, part in enumerate(('train', 'valid', 'test')):
        folder = home.folder / 'export' / part
        draw_data(folder, CLASSES, {'_annotations.coco.json': ''}, count=10, first=10 * first)
    (bring,) = blocks('own-data', 'sh')
    for block in (bring, blocks('own-data', 'bash')[2]):
        home.run(block, dict(python=RUN_PYTHON))


def test_the_baseline_differs_in_its_losses_alone(home):
    home.write_files('own-data')
    (command,) = (block for block in blocks('own-data', 'bash') if block.startswith('sed '))
    home.run(command, {})
    ghm, focal = (Config.fromfile(f'{name}.py') for name in ('my_data', 'my_data_focal'))
    assert focal.model.bbox_head.loss_cls.type == 'FocalLoss'
    assert ghm.model.bbox_head.loss_cls.type == 'GHMCLoss'
    head = ghm.model.pop('bbox_head'), focal.model.pop('bbox_head')
    assert [each.num_classes for each in head] == [3, 3]
    assert head[0].loss_bbox == head[1].loss_bbox
    assert ghm.to_dict() == focal.to_dict()


@pytest.mark.long
def test_own_data_and_its_wrong_labels_as_printed(home, weights):
    home.follow('own-data', weights)
    work_dirs = home.folder / 'work_dirs'
    for name, seed in product(('ghmc', 'focal'), range(3)):
        assert (work_dirs / name / f'seed{seed}' / 'epoch_24.pth').is_file()
    assert len([*work_dirs.glob('my_data/*/shown/**/*.png')]) == 1
    assert (work_dirs / 'comparison/comparison.png').is_file()
    assert (work_dirs / 'report/report.html').is_file()

    home.follow('noisy-labels', weights)
    (example,) = (json.loads(block) for block in blocks('noisy-labels', 'json'))
    worst = json.loads((home.folder / 'report/worst_labels.json').read_text())
    assert worst['annotations'][0].keys() == example.keys()
    train = json.loads((home.folder / 'data/mine/annotations/instances_train.json').read_text())
    everything = json.loads((home.folder / 'report_all/worst_labels.json').read_text())
    assert len(everything['annotations']) == len(train['annotations'])

    home.follow('nan', weights)


@pytest.mark.long
def test_a_head_of_ones_own_as_printed(home, weights):
    classes = tuple(mmdet.datasets.CocoDataset.METAINFO['classes'])
    parts = ('train', 'val')
    names = {f'annotations/instances_{part}2017.json': f'{part}2017' for part in parts}
    draw_data(home.folder / COCO, classes, names, count=4)
    home.follow('own-head', weights)
    assert (home.folder / 'work_dirs/my_detector/epoch_12.pth').is_file()
