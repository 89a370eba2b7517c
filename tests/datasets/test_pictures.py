"""A look at all pictures of a data set, and at some before a training."""

import shutil

import cv2
import pytest
from PIL import Image

from ghm_mmdet.datasets.check import read_data
from ghm_mmdet.datasets.pictures import HEADERS, warn_of_sizes
from tools.check_data import look_at_pictures

CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def split(coco_folder, edit_json):
    """A data set of some pictures, copies of eight."""

    def make(pictures=8, loader='LoadImageFromFile', **options):
        path = coco_folder / 'annotations' / 'instances_train.json'

        def copy(content):
            first = content['images'][0]
            for key in range(8, pictures):
                shutil.copy(coco_folder / 'images' / '0.png', coco_folder / 'images' / f'{key}.png')
                content['images'].append({**first, 'id': key, 'file_name': f'{key}.png'})

        edit_json(path, copy)
        dataset = dict(
            type='CocoDataset',
            ann_file=str(path),
            data_prefix=dict(img=str(coco_folder / 'images')),
            metainfo=dict(classes=CLASSES),
            pipeline=[dict(type=loader, **options)],
        )
        reading = read_data(dict(train_dataloader=dict(dataset=dataset)), ('train',))
        assert reading.findings.errors == []
        reading.findings.warnings.clear()
        return reading.splits[0], reading.findings

    return make


def turn(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.convert('RGB').save(path, format='JPEG', exif=exif.tobytes())


def cut(path):
    """Last bytes that are missing, and a picture that OpenCV still makes something of."""
    image = cv2.imread(str(path))
    path.write_bytes(cv2.imencode('.jpg', image)[1].tobytes()[:-2])


def test_good_pictures(split):
    data, findings = split()
    look_at_pictures(data, True, findings)
    warn_of_sizes(data, findings)
    assert (findings.errors, findings.warnings) == ([], [])


def test_sizes_of_some_before_a_training(split, coco_folder):
    data, findings = split(3 * HEADERS)
    for key in range(3 * HEADERS):
        turn(coco_folder / 'images' / f'{key}.png')
    warn_of_sizes(data, findings)
    (warning,) = findings.warnings
    assert f'{HEADERS} of {HEADERS} pictures looked at have another size' in warning
    assert 'EXIF orientation 6' in warning


@pytest.mark.parametrize(
    'loader', [dict(loader='mmdet.LoadImageFromNDArray'), dict(color_type='unchanged')]
)
def test_pictures_that_are_read_in_another_way_are_let_be(split, coco_folder, loader):
    data, findings = split(**loader)
    turn(coco_folder / 'images' / '3.png')
    warn_of_sizes(data, findings)
    assert findings.warnings == []


def test_every_picture_is_looked_at(split, coco_folder):
    data, findings = split(3 * HEADERS)
    turn(coco_folder / 'images' / '1.png')
    cut(coco_folder / 'images' / '2.png')
    look_at_pictures(data, False, findings)
    size, end = findings.warnings
    assert f'1 of {3 * HEADERS} pictures looked at have another size' in size
    assert '/1.png is 48 x 64 pixels' in size
    assert '1 of 150 pictures end before their last line' in end and '/2.png' in end
    assert findings.errors == []


@pytest.mark.parametrize(('broken', 'is_error'), [(1, False), (2, True)])
@pytest.mark.parametrize('content', [b'', b'hello'])
def test_more_than_one_percent_that_cannot_be_decoded(
    split, coco_folder, broken, is_error, content
):
    data, findings = split(120)
    for key in range(broken):
        (coco_folder / 'images' / f'{key}.png').write_bytes(content)
    look_at_pictures(data, True, findings)
    (line,) = findings.errors if is_error else findings.warnings
    assert f'{broken} of 120 pictures cannot be decoded' in line and '/0.png' in line
    assert not (findings.warnings if is_error else findings.errors)


def test_a_missing_picture_is_not_reported_again(split, coco_folder):
    data, findings = split()
    (coco_folder / 'images' / '3.png').unlink()
    look_at_pictures(data, True, findings)
    assert (findings.errors, findings.warnings) == ([], [])
