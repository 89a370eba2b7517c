"""Broken configs, command lines, checkpoints and data: how each is made, and what is said of it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Broken:
    """One broken input.

    Attributes:
        tool: A script of tools/ without its ending, or a module of the studies.
        arguments: Of its command line, in a folder with ``small.py`` and ``data/``.
        message: Part of the line that is printed.
        make: Breaks something in that folder first.
    """

    tool: str
    arguments: tuple[str, ...]
    message: str
    make: Callable[[Path], object] | None = None


def _options(*options: str) -> tuple[str, ...]:
    return ('small.py', '--cfg-options', *options)


def _train(message: str, *options: str, make: Callable[[Path], object] | None = None) -> Broken:
    return Broken('train', _options(*options) if options else ('small.py',), message, make)


def _edited(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


def _annotations(change: Callable[[dict], object]) -> Callable[[Path], None]:
    return _edited(TRAIN_FILE, change)


def _recoded(name: str, encoding: str) -> Callable[[Path], None]:
    def recode(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_text().encode(encoding))

    return recode


def _first(part: str, **values: object) -> Callable[[Path], None]:
    return _annotations(lambda content: content[part][0].update(values))


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return write


def _crowded(content: dict) -> None:
    box = dict(content['annotations'][0])
    content['annotations'] = [{**box, 'id': index} for index in range(1_000_000)]


def _huge_id(content: dict) -> None:
    content['images'][7]['id'] = content['annotations'][7]['image_id'] = 2**63


def _other_pictures(folder: Path) -> None:
    content = json.loads((folder / VAL_FILE).read_text())
    first, second = content['images'][:2]
    first['id'], second['id'] = second['id'], first['id']
    (folder / 'other.json').write_text(json.dumps(content))


def _cut_off(folder: Path) -> None:
    torch.save({'state_dict': {'weight': torch.zeros(1000)}}, folder / 'cut.pth')
    content = (folder / 'cut.pth').read_bytes()
    (folder / 'cut.pth').write_bytes(content[: len(content) // 2])


HEAD = 'model.bbox_head'
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TRAIN_DATA = 'train_dataloader.dataset'
TRAIN_FILE = 'data/annotations/instances_train.json'
VAL_FILE = 'data/annotations/instances_val.json'

BROKEN = {
    # configs
    'no config': Broken('train', ('none.py',), 'config none.py: no such file'),
    'config is a folder': Broken('train', ('data',), 'config data: no such file'),
    'config with a syntax error': Broken(
        'train', ('bad.py',), 'config bad.py: SyntaxError', _write('bad.py', b'model = dict(')
    ),
    'config that raises': Broken(
        'train', ('bad.py',), 'config bad.py: ', _write('bad.py', b'model = 1 / 0')
    ),
    'config of a base that is missing': Broken(
        'train', ('bad.py',), 'config bad.py: ', _write('bad.py', b"_base_ = 'none.py'")
    ),
    'config that imports what is not there': Broken(
        'train',
        ('bad.py',),
        'config bad.py: ModuleNotFoundError',
        _write('bad.py', b"custom_imports = dict(imports=['no_such_module'])"),
    ),
    'config that is empty': Broken(
        'train', ('bad.py',), 'the config has no train_dataloader', _write('bad.py', b'')
    ),
    'config of another format': Broken(
        'train', ('bad.txt',), 'config bad.txt: ', _write('bad.txt', b'hello')
    ),
    'no training data': _train('no train_dataloader', 'train_dataloader=None'),
    'half of a validation': _train('no val_evaluator', 'val_evaluator=None'),
    'an option of a list that is too short': _train(
        '--cfg-options does not fit small.py', 'param_scheduler.7.end=3'
    ),
    'an option below a number': _train(
        '--cfg-options does not fit small.py', 'train_cfg.max_epochs.last=3'
    ),
    # losses and heads
    'no bins': _train(f'{HEAD}.loss_cls: bins=0: must be', f'{HEAD}.loss_cls.bins=0'),
    'momentum of one': _train('momentum=1: must be', f'{HEAD}.loss_bbox.momentum=1'),
    'mu below zero': _train('mu=-0.02: must be', f'{HEAD}.loss_bbox.mu=-0.02'),
    'loss weight that is no number': _train(
        "loss_weight='big': must be", f'{HEAD}.loss_cls.loss_weight=big'
    ),
    'tempering above one': _train(
        'balance.tempering=2: must be', f'{HEAD}.loss_cls.balance.tempering=2'
    ),
    'a density that is no choice': _train(
        "density='fine': must be one of 'mmdet', 'paper', 'exact'", f'{HEAD}.loss_cls.density=fine'
    ),
    'an argument misspelt': _train("'binz'", f'{HEAD}.loss_cls.binz=30'),
    'a loss misspelt': _train("did you mean 'GHMCLoss'?", f'{HEAD}.loss_cls.type=GHMCLos'),
    'a head misspelt': _train("did you mean 'RetinaHead'?", f'{HEAD}.type=RetinaHed'),
    'use_sigmoid left open': _train(
        'use_sigmoid=None: must be one of', f'{HEAD}.loss_cls.use_sigmoid=None'
    ),
    'a loss over another, without _delete_': _train(
        "'alpha'; if that is left of the loss of a base config, _delete_=True",
        f'{HEAD}.loss_cls.alpha=0.25',
    ),
    'a loss that is a list': _train(
        f"{HEAD}.loss_cls=['GHMCLoss', 'GHMRLoss']: must be a dict",
        f'{HEAD}.loss_cls=[GHMCLoss,GHMRLoss]',
    ),
    'a loss that is a name': _train(
        f"{HEAD}.loss_bbox='L1Loss': must be a dict", f'{HEAD}.loss_bbox=L1Loss'
    ),
    'a density of all ranks where one may skip the loss': Broken(
        'train',
        (
            str(CONFIGS / 'detectors' / 'faster-rcnn_r50_fpn_ghmr-1x_coco.py'),
            '--cfg-options',
            'model.roi_head.bbox_head.loss_bbox.sync=True',
        ),
        'loss_bbox: sync=True in a Shared2FCBBoxHead, which skips this loss on a rank without',
    ),
    'another number of classes': _train(
        'num_classes=80: must be 3, the number', f'{HEAD}.num_classes=80'
    ),
    # command lines
    'work dir is a file': Broken(
        'train', ('small.py', '--work-dir', 'small.py/run'), '--work-dir small.py/run: '
    ),
    'work dir is the folder of the config': Broken(
        'train', ('small.py', '--work-dir', '.'), 'the folder of the config, which would be over'
    ),
    'launched by nothing': Broken(
        'train', ('small.py', '--launcher', 'slurm'), 'SLURM_PROCID is not set; start with srun'
    ),
    'a strategy whose package is not there': _train(
        "strategy.type='DeepSpeedStrategy': needs deepspeed",
        'runner_type=FlexibleRunner',
        'strategy.type=DeepSpeedStrategy',
    ),
    'a split that exists': Broken(
        'split_coco',
        (TRAIN_FILE, 'data/annotations'),
        'instances_train.json: exists already; remove it or name another folder',
    ),
    'a split into more than all': Broken(
        'split_coco', (TRAIN_FILE, 'new', '--parts', '0.8', '0.8'), '--parts 0.8 0.8: must be'
    ),
    'mixed precision without a GPU': Broken('train', ('small.py', '--amp'), 'needs a GPU'),
    'an --out of the wrong kind': Broken(
        'test',
        ('small.py', 'whole.pth', '--out', 'found.json'),
        '--out found.json: must end in .pkl',
        lambda folder: torch.save({}, folder / 'whole.pth'),
    ),
    'a folder of curves that is no run': Broken(
        'studies.compare_runs', ('data',), 'data: no <time>/vis_data/scalars.json'
    ),
    'a fraction above one': Broken(
        'studies.plant_errors',
        (TRAIN_FILE, 'new.json', '--label-noise', '1.5'),
        '--label-noise 1.5: must be',
    ),
    'a report on nothing': Broken(
        'correct_labels',
        (TRAIN_FILE, 'none.json', 'new.json'),
        'none.json: no such annotation file',
    ),
    'seeds below one': Broken(
        'studies.reproduce', ('small-data', '--data', 'bccd', '--seeds', '0'), '--seeds 0: must be'
    ),
    # checkpoints
    'no checkpoint': Broken('test', ('small.py', 'none.pth'), 'none.pth: no such checkpoint'),
    'checkpoint that is a config': Broken(
        'test', ('small.py', 'small.py'), 'small.py: no checkpoint, or cut off'
    ),
    'checkpoint that is cut off': Broken(
        'train', ('small.py', '--resume', 'cut.pth'), 'cut.pth: no checkpoint, or cut', _cut_off
    ),
    'checkpoint that is cut off, of the old format': Broken(
        'analyze_gradients',
        ('small.py', 'cut.pth'),
        'cut.pth: ',
        _write('cut.pth', pickle.dumps({'state_dict': {}})[:9]),
    ),
    # annotation files
    'no annotation file': _train(
        'none.json: no such annotation', f'{TRAIN_DATA}.ann_file=none.json'
    ),
    'annotations that are no JSON': _train('not JSON: ', make=_write(TRAIN_FILE, b'{"images": [')),
    'annotations that are no UTF-8': _train(
        'byte 12 is not UTF-8', make=_write(TRAIN_FILE, b'{"images": "\xff\xfe"}')
    ),
    'annotations that are empty': _train('not JSON: ', make=_write(TRAIN_FILE, b'')),
    'annotations that are a list': _train('not an annotation file', make=_write(TRAIN_FILE, b'[]')),
    'annotations nested without an end': _train(
        'nested too deep', make=_write(TRAIN_FILE, b'[' * 100_000)
    ),
    'no categories': _train(
        "'categories' is not there", make=_annotations(lambda content: content.pop('categories'))
    ),
    'no boxes': _train(
        'no box to learn from', make=_annotations(lambda content: content['annotations'].clear())
    ),
    'NaN in a box': _train(
        'must be finite numbers', make=_first('annotations', bbox=[0, 0, float('nan'), 5])
    ),
    'box of negative width': _train(
        'height not negative', make=_first('annotations', bbox=[9, 9, -4, 4])
    ),
    'annotations of one id': _train('repeats id=7', make=_first('annotations', id=7)),
    'images of one id': _train('repeats id=1', make=_first('images', id=1)),
    'annotation of no image': _train('has image_id=99', make=_first('annotations', image_id=99)),
    'annotation of no category': _train(
        'has category_id=9', make=_first('annotations', category_id=9)
    ),
    'a million boxes on an image': _train(
        'image 0 has 1000000 annotations; must be at most', make=_annotations(_crowded)
    ),
    'classes of other data': _train(
        'metainfo.classes', f"{TRAIN_DATA}.metainfo.classes=('cat','dog','bird')"
    ),
    'image without a name': _train("file_name=''", make=_first('images', file_name='')),
    'image of no size': _train('width=0; must be', make=_first('images', width=0)),
    'annotations in UTF-16': _train(
        'is written as UTF-16; must be UTF-8 without a byte order mark',
        make=_recoded(TRAIN_FILE, 'utf-16'),
    ),
    'annotations with a byte order mark': _train(
        'is written as UTF-8-SIG; must be UTF-8', make=_recoded(TRAIN_FILE, 'utf-8-sig')
    ),
    'image id as text': _train(
        "has image_id='0', a text; must be 0, an integer", make=_first('annotations', image_id='0')
    ),
    'image id with a decimal point': _train(
        'a number with a decimal point; must be 0', make=_first('annotations', image_id=0.0)
    ),
    'crowd flag that is null': _train(
        'has iscrowd=None, null; must be the number 0', make=_first('annotations', iscrowd=None)
    ),
    'crowd flag of text': _train(
        "has iscrowd='0', a text; must be", make=_first('annotations', iscrowd='0')
    ),
    'annotation ids that are text, judged': _train(
        'annotation ids must be integers, as pycocotools fails at',
        make=_edited(VAL_FILE, lambda content: content['annotations'][0].update(id='a')),
    ),
    'image ids beyond 64 bits, judged': _train(
        'is too large: pycocotools rounds such ids', make=_edited(VAL_FILE, _huge_id)
    ),
    'no crowd flag, judged': _train(
        "not every annotation has 'iscrowd'",
        make=_edited(VAL_FILE, lambda content: content['annotations'][0].pop('iscrowd')),
    ),
    'masks that are not there, judged': _train(
        'annotations have no segmentation', 'val_evaluator.metric=segm'
    ),
    'classes of validation in another order': _train(
        "label 0 is 'Platelets', and 'RBC' in train_dataloader.dataset",
        "val_dataloader.dataset.metainfo.classes=('Platelets','WBC','RBC')",
        make=_edited(VAL_FILE, lambda content: content['categories'].reverse()),
    ),
    'a metric of other pictures': _train(
        'image ids stand for other pictures than in',
        'val_evaluator.ann_file=other.json',
        make=_other_pictures,
    ),
    # pictures
    'no folder of pictures': _train('no such folder: ', f'{TRAIN_DATA}.data_prefix.img=pictures/'),
    'a picture is missing': _train(
        '1 of 8 images are missing', make=lambda folder: (folder / 'data/images/3.png').unlink()
    ),
    'a picture that leads elsewhere, where none is': _train(
        '1 of 8 images are missing', make=_first('images', file_name='../../none.png')
    ),
    'a picture in capital letters': _train(
        "has '3.png': capital and small letters differ",
        make=_edited(TRAIN_FILE, lambda content: content['images'][3].update(file_name='3.PNG')),
    ),
    'a picture with backslashes': _train(
        'as Windows writes paths: write / instead', make=_first('images', file_name='images\\0.png')
    ),
    'metric of another file': _train('none.json: no such', 'val_evaluator.ann_file=none.json'),
}
