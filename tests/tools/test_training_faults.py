"""What goes wrong while a training runs ends it in one line, and its last checkpoint is whole."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config

from ghm_mmdet.cli.checkpoint import newest_complete
from tests.processes import PATIENCE, environment, wait_for_checkpoint

TRAIN = Path(__file__).resolve().parents[2] / 'tools' / 'train.py'


@pytest.fixture
def training(small_config, tmp_path):
    """A config that trains for longer than a test waits, a checkpoint after each epoch."""

    def write(extra='', workers=0, epochs=1000):
        path = tmp_path / 'long.py'
        path.write_text(
            f"""
_base_ = {str(small_config)!r}
train_cfg = dict(max_epochs={epochs}, val_interval=1000)
train_dataloader = dict(num_workers={workers}, persistent_workers={workers > 0})
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2), logger=dict(interval=1))
{extra}
"""
        )
        return path

    return write


def check_end(returncode, printed, *parts):
    """The run failed, and its last line says why without a traceback."""
    assert returncode == 1, printed[-3000:]
    assert 'Traceback' not in printed
    check_line(printed.strip().splitlines()[-1], *parts)


def check_line(line, *parts):
    """A text that Python exits with is what it prints, with status 1."""
    assert line.startswith('error: ')
    assert '\n' not in line
    assert all(part in line for part in parts), line


def check_last_checkpoint(work_dir):
    newest = newest_complete(Config(dict(work_dir=str(work_dir))))
    assert newest is not None
    assert torch.load(newest, weights_only=False)['state_dict']


@pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.long)])
def test_the_pictures_vanish(training, coco_folder, tmp_path, workers):
    config, work_dir = training(workers=workers), tmp_path / 'run'
    with (tmp_path / 'printed.txt').open('w') as output:
        process = subprocess.Popen(
            [sys.executable, str(TRAIN), str(config), '--work-dir', str(work_dir)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
    wait_for_checkpoint(process, work_dir)
    assert process.poll() is None
    shutil.rmtree(coco_folder / 'images')
    process.wait(timeout=PATIENCE)
    printed = (tmp_path / 'printed.txt').read_text()
    check_end(process.returncode, printed, str(coco_folder / 'images'), 'No such file')
    check_last_checkpoint(work_dir)


def test_the_disk_is_full(training, run_here, tmp_path):
    assert run_here('train.py', training(epochs=1), '--work-dir', 'run') is None
    first = tmp_path / 'run' / 'epoch_1.pth'
    size = first.stat().st_size

    def fill():
        # a file that grows to this size gets no more room
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    again = subprocess.run(
        [sys.executable, str(TRAIN), str(training()), '--work-dir', 'run', '--resume'],
        cwd=tmp_path,
        env=environment(),
        preexec_fn=fill,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    check_end(
        again.returncode, again.stdout, 'epoch_2.pth', 'make room, and continue with --resume'
    )
    assert sorted(path.name for path in (tmp_path / 'run').glob('epoch_*')) == ['epoch_1.pth']
    check_last_checkpoint(tmp_path / 'run')


def test_the_work_dir_cannot_be_written(training, run_here):
    # where even an administrator makes no folder
    check_line(run_here('train.py', training(), '--work-dir', '/proc/run'), '/proc/run')


@pytest.mark.long
@pytest.mark.parametrize('content', [b'', b'hello', None], ids=['empty', 'no picture', 'cut off'])
@pytest.mark.parametrize('workers', [0, 2])
def test_a_picture_is_broken(training, run_tool, coco_folder, content, workers):
    path = coco_folder / 'images' / '3.png'
    if content is None:
        content = path.read_bytes()[:60]
    path.write_bytes(content)
    done = run_tool('train.py', training(workers=workers), '--work-dir', 'run')
    check_end(done.returncode, done.stdout + done.stderr, str(path))


@pytest.mark.long
def test_a_jpeg_without_its_end(training, run_tool, coco_folder, edit_json):
    picture = cv2.imread(str(coco_folder / 'images' / '0.png'))
    path = coco_folder / 'images' / '0.jpg'
    path.write_bytes(cv2.imencode('.jpg', picture)[1].tobytes()[:-200])
    edit_json(
        coco_folder / 'annotations' / 'instances_train.json',
        lambda content: content['images'][0].update(file_name='0.jpg'),
    )
    done = run_tool('train.py', training(), '--work-dir', 'run')
    check_end(done.returncode, done.stdout + done.stderr, str(path))


@pytest.mark.long
@pytest.mark.parametrize('name', ['{folder}/elsewhere/0.png', '../../elsewhere/0.png'])
def test_pictures_elsewhere_are_survived_with_a_message(
    training, run_tool, coco_folder, edit_json, tmp_path, name
):
    (tmp_path / 'elsewhere').mkdir()
    shutil.move(coco_folder / 'images' / '0.png', tmp_path / 'elsewhere')
    name = name.format(folder=tmp_path)
    for split in ('train', 'val'):
        edit_json(
            coco_folder / 'annotations' / f'instances_{split}.json',
            lambda content: content['images'][0].update(file_name=name),
        )
    done = run_tool('train.py', training(epochs=1), '--work-dir', 'run')
    assert done.returncode == 0, done.stderr[-3000:]
    assert '1 of 8 images lie outside of' in done.stdout + done.stderr


def test_a_training_that_is_poisoned_for_good(training, run_here):
    config = training(
        """
optim_wrapper = dict(optimizer=dict(lr=1e30), clip_grad=None)
param_scheduler = []
default_hooks['harmonized_loss'] = dict(interval=2, patience=4)
"""
    )
    parts = ('bbox_head.loss_', 'NaN or infinity in each of the iterations', 'in level 0')
    check_line(run_here('train.py', config, '--work-dir', 'run'), *parts)
