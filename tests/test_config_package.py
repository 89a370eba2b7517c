"""Configs elsewhere that inherit from `ghm_mmdet::...`, and the registries that this needs."""

import mmdet.registry
import pytest
from mmengine import hub
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS, TRANSFORMS, init_default_scope

from ghm_mmdet.cli.config import load_config
from ghm_mmdet.heads import GHMRetinaHead
from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.registry import REGISTRIES

SAMPLE = 'ghm_mmdet::sample/retinanet_r18_fpn_ghm_sample.py'


@pytest.fixture
def child(tmp_path, coco_folder):
    """A config that inherits, with data of its own."""
    path = tmp_path / 'mine.py'
    path.write_text(
        f"""
_base_ = {SAMPLE!r}
data_root = {f'{coco_folder}/'!r}
train_dataloader = dict(dataset=dict(data_root=data_root, data_prefix=dict(img='images/')))
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
model = dict(bbox_head=dict(num_classes=3))
"""
    )
    return load_config(str(path))


def test_parts_that_mmengine_looks_up_in_the_scope_of_this_package_are_built(child):
    init_default_scope('mmdet')
    dataset = child.train_dataloader.dataset
    assert dataset._scope_ == child.val_evaluator._scope_ == 'ghm_mmdet'
    assert len(DATASETS.build(dataset)) == 8
    assert METRICS.build(child.val_evaluator).metrics == ['bbox']
    assert TRANSFORMS.build(child.train_pipeline[-1])
    head = MODELS.build(child.model).bbox_head
    assert isinstance(head, GHMRetinaHead)
    assert isinstance(head.loss_cls, GHMCLoss)


def test_every_registry_of_mmdet_has_one_that_falls_back_to_it():
    parents = {name: each for name, each in vars(mmdet.registry).items() if name in REGISTRIES}
    assert {'MODELS', 'DATASETS', 'TRANSFORMS', 'METRICS', 'HOOKS'} <= parents.keys()
    assert all(REGISTRIES[name].parent is parent for name, parent in parents.items())


@pytest.mark.parametrize('name', ['GHMCLoss', 'mmdet.GHMCLoss', 'ghm_mmdet.GHMCLoss'])
def test_a_head_finds_a_loss_by_its_name_with_and_without_a_scope(name):
    assert mmdet.registry.MODELS.get(name) is GHMCLoss


def test_a_model_from_the_hub():
    assert isinstance(hub.get_model(SAMPLE).bbox_head, GHMRetinaHead)


def test_a_config_from_the_hub_is_that_of_this_repository():
    assert hub.get_config(SAMPLE).model.bbox_head.type == 'GHMRetinaHead'


def test_a_name_that_is_not_there(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'ghm_mmdet::sample/none.py'")
    with pytest.raises(FileNotFoundError, match=r'none\.py'):
        Config.fromfile(tmp_path / 'mine.py')
