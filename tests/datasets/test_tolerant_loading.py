"""Loading that goes on after an undecodable picture."""

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from ghm_mmdet.datasets.findings import DataError
from ghm_mmdet.datasets.seeded_loading import seed_loading
from ghm_mmdet.datasets.tolerant_loading import MARK, tolerate_undecodable
from gradient_report.survey import decodable

PICTURES = 120
CLASSES = ('RBC', 'WBC', 'Platelets')


def cut(path):
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    path.write_bytes(cv2.imencode('.jpg', picture)[1].tobytes()[:-200])


BREAK = {
    'empty': lambda path: path.write_bytes(b''),
    'text': lambda path: path.write_bytes(b'hello'),
    'cut off': lambda path: path.write_bytes(path.read_bytes()[:60]),
    'JPEG without its end': cut,
}


@pytest.fixture
def dataset(many_pictures):
    """A data set of 120 pictures, in training or in a test."""
    init_default_scope('mmdet')

    def build(test_mode, wrapper=None):
        config = dict(
            type='CocoDataset',
            ann_file=str(many_pictures / 'annotations' / 'instances_train.json'),
            data_prefix=dict(img=str(many_pictures / 'images')),
            metainfo=dict(classes=CLASSES),
            test_mode=test_mode,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='Resize', scale=(32, 24), keep_ratio=True),
                dict(type='PackDetInputs'),
            ],
        )
        if wrapper:
            config = dict(type='ConcatDataset', datasets=[config])
        return DATASETS.build(config)

    return build


@pytest.mark.parametrize('kind', BREAK)
@pytest.mark.parametrize('wrapper', [None, 'ConcatDataset'])
def test_a_test_predicts_on_a_black_picture(dataset, many_pictures, kind, wrapper):
    BREAK[kind](many_pictures / 'images' / '3.png')
    data = dataset(True, wrapper)
    (tolerant,) = tolerate_undecodable(data)
    good, broken = data[2], data[3]
    assert MARK not in good['data_samples']
    assert MARK in broken['data_samples']
    assert broken['inputs'].shape == good['inputs'].shape
    assert not broken['inputs'].any()
    assert broken['data_samples'].ori_shape == (48, 64)
    assert broken['data_samples'].gt_instances.bboxes.tensor.shape == (1, 4)
    assert tolerant.paths == [str(many_pictures / 'images' / '3.png')]


@pytest.mark.parametrize('kind', BREAK)
@pytest.mark.parametrize('workers', [0, 2])
def test_training_draws_another_picture_by_the_seed(dataset, many_pictures, kind, workers):
    BREAK[kind](many_pictures / 'images' / '3.png')

    def drawn():
        data = dataset(False)
        (tolerant,) = tolerate_undecodable(data)
        loader = DataLoader(data, batch_size=10, num_workers=workers, collate_fn=list)
        seed_loading(loader, 0, 7)
        items = [item['data_samples'].img_path for batch in loader for item in batch]
        # also where a worker met it
        assert tolerant.paths == [str(many_pictures / 'images' / '3.png')]
        return items

    first, second = drawn(), drawn()
    assert first == second
    assert len(first) == PICTURES
    assert not any(path.endswith('/3.png') for path in first)


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('workers', [0, 2])
def test_more_than_one_percent_are_an_error(dataset, many_pictures, test_mode, workers):
    for key in (3, 77):
        BREAK['empty'](many_pictures / 'images' / f'{key}.png')
    data = dataset(test_mode)
    tolerate_undecodable(data)
    loader = DataLoader(data, batch_size=10, num_workers=workers, collate_fn=list)
    message = r'2 of 120 pictures could not be decoded so far, such as .*/3.png; .*check_data.py'
    with pytest.raises(DataError, match=message):
        list(loader)


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_missing_picture_is_another_matter(dataset, many_pictures, test_mode):
    (many_pictures / 'images' / '3.png').unlink()
    data = dataset(test_mode)
    tolerate_undecodable(data)
    with pytest.raises(FileNotFoundError):
        data[3]


def test_what_fails_after_loading_is_another_matter(dataset):
    data = dataset(True)
    tolerate_undecodable(data)

    def fail(results):
        raise OSError('not of this picture')

    data.pipeline.transforms.insert(1, fail)
    with pytest.raises(OSError, match='not of this picture'):
        data[3]


def test_twice_is_once(dataset):
    data = dataset(False)
    assert tolerate_undecodable(data) == tolerate_undecodable(data)


def test_a_report_leaves_them_out(dataset, many_pictures):
    BREAK['empty'](many_pictures / 'images' / '3.png')
    data = dataset(True)
    tolerate_undecodable(data)
    items = [data[index] for index in range(2, 5)]
    batches = [
        {key: [item[key] for item in part] for key in items[0]} for part in (items, items[1:2])
    ]
    (kept,) = decodable(batches)
    assert [sample.img_id for sample in kept['data_samples']] == [2, 4]
    assert len(kept['inputs']) == 2
