"""Every detector of this repository's configs, built small; images and a data set for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from demo.sample import SampleSettings, make_sample_dataset
from tests.detectors.cases import NUM_CLASSES, Case, all_cases

SIZE = 128


@pytest.fixture(params=all_cases(), ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def detector(case: Case) -> torch.nn.Module:
    """The case's model with random weights, in training mode."""
    if case.detector == 'paa':
        pytest.importorskip('sklearn', reason='PAA needs scikit-learn to tell its positives')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(case.config().model)
    model.init_weights()
    return model.train()


@pytest.fixture(autouse=True)
def first_epoch():
    """What TOOD asks a run for."""
    hub = MessageHub.get_current_instance()
    hub.update_info('epoch', 0)
    yield
    hub.pop_info('epoch')


@pytest.fixture
def batch():
    """Makes two images; the arguments are the boxes of each, as many lists of four pixels."""

    def make(*boxes: list[list[float]]) -> tuple[torch.Tensor, list[DetDataSample]]:
        generator = torch.Generator().manual_seed(1)
        images = torch.randn(len(boxes), 3, SIZE, SIZE, generator=generator)
        return images, [sample(image_boxes) for image_boxes in boxes]

    return make


def sample(boxes: list[list[float]]) -> DetDataSample:
    shape = (SIZE, SIZE)
    data = DetDataSample(
        metainfo=dict(
            img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape, img_id=0
        )
    )
    data.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % NUM_CLASSES,
    )
    data.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64)
    )
    return data


@pytest.fixture(scope='session')
def sample_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample data set of eight images."""
    folder = tmp_path_factory.mktemp('sample') / 'data'
    make_sample_dataset(folder, SampleSettings(train=8, val=4, size=SIZE))
    return folder
