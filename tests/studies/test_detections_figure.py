"""Detections beside annotations: a column shows the boxes that it is given."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from studies import detections_figure
from studies.detections_figure import (
    COLOURS,
    SCORE,
    Objects,
    annotated_objects,
    draw_detections,
    found_objects,
    run_config,
)
from studies.run_log import RunError

BOX = (5.0, 6.0, 20.0, 30.0)


@pytest.fixture
def data(tmp_path):
    """A config whose test split has three pictures, the second without an object."""
    images = [dict(id=i, file_name=f'{i}.jpg', width=60, height=40) for i in range(3)]
    annotations = [
        dict(id=i, image_id=i, category_id=7, bbox=[5, 6, 15, 24], area=360, iscrowd=0)
        for i in (0, 2)
    ]
    for i in range(3):
        cv2.imwrite(str(tmp_path / f'{i}.jpg'), np.full((40, 60, 3), 200, np.uint8))
    content = dict(images=images, annotations=annotations, categories=[dict(id=7, name='nut')])
    (tmp_path / 'test.json').write_text(json.dumps(content))
    dataset = dict(
        type='CocoDataset',
        data_root=str(tmp_path),
        ann_file='test.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('nut',)),
        test_mode=True,
    )
    return Config(dict(test_dataloader=dict(dataset=dataset)))


def test_the_first_pictures_with_what_is_annotated_on_them(data, tmp_path):
    pictures, classes = annotated_objects(data, 2)
    assert list(pictures) == [str(tmp_path / '0.jpg'), str(tmp_path / '1.jpg')]
    first, second = pictures.values()
    np.testing.assert_array_equal(first.boxes, [BOX])
    np.testing.assert_array_equal(first.labels, [0])
    assert second.boxes.shape == (0, 4) and not len(second.labels)
    assert tuple(classes) == ('nut',)


def test_more_classes_than_colours_are_refused(data, monkeypatch):
    monkeypatch.setattr(detections_figure, 'COLOURS', ())
    with pytest.raises(RunError, match='1 classes: the figure has colours for 0'):
        annotated_objects(data, 2)


def test_each_column_has_its_boxes_in_the_colours_of_their_classes():
    few = Objects(np.array([BOX], np.float32), np.array([1]))
    none = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    pictures = [np.full((40, 60, 3), 200, np.uint8)] * 2
    figure = draw_detections(pictures, {'annotated': [few, none], 'x': [none, few]}, ('a', 'b'))
    drawn = [[patch.get_bbox().extents.tolist() for patch in axes.patches] for axes in figure.axes]
    assert drawn == [[list(BOX)], [], [], [list(BOX)]]
    colour = figure.axes[0].patches[0].get_edgecolor()
    assert colour == figure.legends[0].get_patches()[1].get_facecolor()
    assert [axes.get_title(loc='left') for axes in figure.axes] == ['annotated', 'x', '', '']


@pytest.mark.parametrize('configs', [0, 2])
def test_a_folder_without_one_config_is_named(tmp_path, configs):
    for i in range(configs):
        (tmp_path / f'{i}.py').write_text('')
    with pytest.raises(RunError, match=f'has {configs} configs, must have one'):
        run_config(tmp_path)


def test_a_run_without_a_checkpoint_is_named(tmp_path):
    (tmp_path / 'run.py').write_text('')
    with pytest.raises(RunError, match='no checkpoint'):
        found_objects(tmp_path, [])


def test_what_the_last_checkpoint_finds_at_the_score_or_above(tmp_path, monkeypatch):
    (tmp_path / 'run.py').write_text('')
    for epoch in (9, 10):
        torch.save({}, tmp_path / f'epoch_{epoch}.pth')
    scores = torch.tensor([SCORE, SCORE - 0.01])
    instances = InstanceData(
        scores=scores, bboxes=torch.tensor([BOX, BOX]), labels=torch.tensor([1, 0])
    )
    loaded = []
    monkeypatch.setattr(
        detections_figure, 'init_detector', lambda cfg, path, **_: loaded.append(path)
    )
    monkeypatch.setattr(
        detections_figure,
        'inference_detector',
        lambda model, path: DetDataSample(pred_instances=instances),
    )
    (found,) = found_objects(tmp_path, ['a.jpg'])
    assert loaded == [str(tmp_path / 'epoch_10.pth')]
    np.testing.assert_array_equal(found.boxes, [BOX])
    np.testing.assert_array_equal(found.labels, [1])


def test_colours_differ():
    assert len(set(COLOURS)) == len(COLOURS)
