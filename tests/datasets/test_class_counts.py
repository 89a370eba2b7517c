"""The objects of each class, by data set and wrapper, and what a training makes of them."""

import math
import re

import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.data import Subset

from ghm_mmdet.datasets.class_counts import class_counts

OBJECTS = [3, 3, 2]  # of the eight images of coco_folder, one each
WRAPPED = {
    'as it is': (lambda each: each, OBJECTS),
    'repeated': (lambda each: dict(type='RepeatDataset', dataset=each, times=2), [6, 6, 4]),
    'concatenated': (lambda each: dict(type='ConcatDataset', datasets=[each, each]), [6, 6, 4]),
    # rarer than a half: repeated sqrt(0.5 / share) times, rounded up
    'balanced': (
        lambda each: dict(type='ClassBalancedDataset', dataset=each, oversample_thr=0.5),
        [n * math.ceil(math.sqrt(0.5 / (n / 8))) for n in OBJECTS],
    ),
    'mixed': (lambda each: dict(type='MultiImageMixDataset', dataset=each, pipeline=[]), OBJECTS),
}


@pytest.mark.parametrize('wrapper', WRAPPED)
def test_the_objects_of_wrapped_data_sets(wrapper, small_config):
    init_default_scope('mmdet')
    wrap, expected = WRAPPED[wrapper]
    dataset = Config.fromfile(small_config).train_dataloader.dataset
    assert list(class_counts(DATASETS.build(wrap(dataset))).values()) == expected


@pytest.mark.parametrize('wrap', [lambda each: Subset(each, [0, 1]), list], ids=['subset', 'list'])
def test_objects_that_cannot_be_counted_are_an_error(wrap, small_config):
    init_default_scope('mmdet')
    dataset = wrap(DATASETS.build(Config.fromfile(small_config).train_dataloader.dataset))
    kind = type(dataset).__name__
    with pytest.raises(ValueError, match=f"^class_weight='auto' with a {kind} .* per class$"):
        class_counts(dataset)


def test_data_sets_that_differ_in_their_colours_are_counted_together(small_config):
    init_default_scope('mmdet')
    config = Config.fromfile(small_config).train_dataloader.dataset
    parts = [
        {**config, 'metainfo': {**config.metainfo, 'palette': [c] * 3}}
        for c in ((0,) * 3, (9,) * 3)
    ]
    dataset = DATASETS.build(dict(type='ConcatDataset', datasets=parts))
    assert isinstance(dataset.metainfo, list)
    assert class_counts(dataset) == {
        name: 2 * count for name, count in zip(config.metainfo.classes, OBJECTS)
    }


def test_ignored_objects_do_not_count(small_config, coco_folder, edit_json):
    def hide_the_first(content):
        content['annotations'][0]['iscrowd'] = 1

    init_default_scope('mmdet')
    edit_json(coco_folder / 'annotations' / 'instances_train.json', hide_the_first)
    dataset = Config.fromfile(small_config).train_dataloader.dataset
    dataset.filter_cfg = None
    assert list(class_counts(DATASETS.build(dataset)).values()) == [2, 3, 2]


@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook')]], ids=['plain', 'averaged'])
def test_a_training_weighs_its_classes_by_them(hooks, small_config, run_here, tmp_path):
    config = Config.fromfile(small_config)
    config.custom_hooks = [*config.get('custom_hooks', []), *hooks]
    config.dump(small_config)
    option = 'model.bbox_head.loss_cls.class_weight.auto=1.0'
    arguments = ('--work-dir', 'run', '--cfg-options', option)
    assert run_here('train.py', small_config, *arguments) is None
    (log,) = (tmp_path / 'run').glob('2*/*.log')
    listed = re.search('class_weight by the objects of the training set: (.*)', log.read_text())[1]
    weights = [float(each.split()[-1]) for each in listed.split(', ')]
    # the same total weight for each class, and a mean of 1 over all objects
    assert weights == pytest.approx([8 / 3 / n for n in OBJECTS], rel=1e-2)
