"""What tests of several folders share: real data sets, a small made-up one, running the tools."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import utils
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from yapf.yapflib import yapf_api

from ghm_mmdet.mm_patches import SAFE_ONLY, UNSAFE_TOO
from ghm_mmdet.ops import backends
from tests.back_ends import ON_CPU
from tests.processes import REPOSITORY, environment

CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture(autouse=True, scope='session')
def one_thread():
    """Tests run beside each other and beside training; one thread each keeps their time steady."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_scope_or_logger_left_behind() -> Iterator[None]:
    """Forget the default scope and the loggers that a test made.

    In a scope of MMDetection other tests' losses are not found, and a logger writes to the
    output that pytest captured for its test, which is closed when the next one runs.
    """
    before = {kind: dict(kind._instance_dict) for kind in (DefaultScope, MMLogger)}
    yield
    for kind, instances in before.items():
        kind._instance_dict.clear()
        kind._instance_dict.update(instances)


@wraps(yapf_api.FormatCode)
def as_it_is(text: str, **_: object) -> tuple[str, bool]:
    """In place of yapf, which is ``__wrapped__``."""
    return text, True


@pytest.fixture(autouse=True, scope='session')
def configs_read_and_written_fast() -> Iterator[None]:
    """For every base ``mmdet::...`` MMEngine reads all metafiles of MMDetection anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', lru_cache(maxsize=None)(utils.load))
        # a run asks for its config as text many times, and yapf lays it out anew each time
        patch.setattr(yapf_api, 'FormatCode', as_it_is)
        yield


@pytest.fixture(params=ON_CPU)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of each back end that runs on the CPU, forced for the duration of the test."""
    monkeypatch.setattr(backends, '_forced', request.param)
    return request.param


@pytest.fixture
def data_folder() -> Callable[[str], Path]:
    """The folder of a real data set by its name; skips the test where it is absent."""
    root = Path(os.environ.get('GHM_TEST_DATA', REPOSITORY.parent / 'shared' / 'data'))

    def find(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f'needs the data set {name}; set GHM_TEST_DATA to the folder that has it')
        return root / name

    return find


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """Eight images with one bright box each, of three classes, laid out as the BCCD configs say."""
    folder = tmp_path / 'data'
    (folder / 'images').mkdir(parents=True)
    (folder / 'annotations').mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(8):
        x, y, width, height = (
            int(rng.integers(*limits)) for limits in ((24,), (16,), (20, 40), (16, 32))
        )
        picture = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
        picture[y : y + height, x : x + width, index % 3] += 180
        name = f'{index}.png'
        cv2.imwrite(str(folder / 'images' / name), picture)
        images.append({'id': index, 'file_name': name, 'width': 64, 'height': 48})
        annotations.append(
            {
                'id': index + 1,
                'image_id': index,
                'category_id': index % 3 + 1,
                'bbox': [x, y, width, height],
                'area': width * height,
                'iscrowd': 0,
            }
        )
    categories = [{'id': label + 1, 'name': name} for label, name in enumerate(CLASSES)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    for split in ('train', 'val', 'test'):
        (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
    return folder


@pytest.fixture
def many_pictures(coco_folder: Path) -> Path:
    """``coco_folder`` with 120 pictures in each split, copies of its eight."""
    for path in (coco_folder / 'annotations').iterdir():
        content = json.loads(path.read_text())
        for key in range(8, 120):
            image, annotation = (content[part][key % 8] for part in ('images', 'annotations'))
            content['images'].append({**image, 'id': key, 'file_name': f'{key}.png'})
            content['annotations'].append({**annotation, 'id': key + 1, 'image_id': key})
        path.write_text(json.dumps(content))
    for key in range(8, 120):
        picture = coco_folder / 'images' / f'{key % 8}.png'
        shutil.copy(picture, picture.with_name(f'{key}.png'))
    return coco_folder


@pytest.fixture
def edit_json() -> Callable[[Path, Callable[[dict], object]], None]:
    """Change the content of a JSON file."""

    def edit(path: Path, change: Callable[[dict], object]) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


@pytest.fixture
def small_config(tmp_path: Path, coco_folder: Path) -> Path:
    """A config file that trains a very small GHM RetinaNet on ``coco_folder`` for one epoch."""
    base = REPOSITORY / 'configs' / 'bccd' / 'retinanet_r18_fpn_ghm-6e_bccd.py'
    path = tmp_path / 'small.py'
    path.write_text(
        f"""
_base_ = {str(base)!r}
data_root = {f'{coco_folder}/'!r}
loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
train_dataloader = dict(dataset=dict(data_root=data_root), **loader)
val_dataloader = dict(dataset=dict(data_root=data_root), **loader)
test_dataloader = dict(dataset=dict(data_root=data_root), **loader)
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/instances_test.json')
train_cfg = dict(max_epochs=1, val_interval=1)
model = dict(
    backbone=dict(base_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    bbox_head=dict(in_channels=8, feat_channels=8, stacked_convs=1),
    test_cfg=dict(score_thr=0.0),
)
"""
    )
    return path


@pytest.fixture
def run_tool(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run a tool, or a module of the studies, in ``tmp_path`` and return what it printed."""

    def run(name: str, *arguments: object, **more: str) -> subprocess.CompletedProcess:
        tool = REPOSITORY / 'tools' / name
        command = [sys.executable, tool] if tool.suffix == '.py' else [tool]
        if name.startswith('studies.'):
            command = [sys.executable, '-m', name]
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(PYTHON=sys.executable, **more),
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | int | None]:
    """Run a tool in ``tmp_path`` in this process, and return what it exits with."""
    monkeypatch.chdir(tmp_path)
    # set by the tools, for their own process; undone with the rest
    for name in (SAFE_ONLY, UNSAFE_TOO, 'LOCAL_RANK'):
        monkeypatch.setenv(name, '0')

    def run(name: str, *arguments: object) -> str | int | None:
        tool = str(REPOSITORY / 'tools' / name)
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        # MMEngine would go on with the visualizer of an earlier run, and its folder
        DetLocalVisualizer._instance_dict.clear()
        try:
            runpy.run_path(tool, run_name='__main__')
        except SystemExit as end:
            return end.code
        return None

    return run
