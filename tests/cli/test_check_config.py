"""Checks of a config."""

import pytest
from mmdet.models.dense_heads import RetinaHead
from mmdet.models.losses import GHMC
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.nn import BatchNorm2d

from ghm_mmdet.cli import check_config as checks
from ghm_mmdet.cli import check_head
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.losses import GHMCLoss

HEAD = 'model.bbox_head'


class DerivedLoss(GHMCLoss):
    """As a user writes one, in a module of their own."""


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


def test_good_config(cfg):
    checks.check_config(cfg, ('train', 'val', 'test'))
    checks.check_machine(cfg)


def test_validation_may_be_left_out(cfg):
    for part in checks.LOOP_PARTS['val']:
        cfg[part] = None
    checks.check_config(cfg, ('train', 'val'))


BROKEN = {
    'no model': (dict(model=None), 'the config has no model'),
    'no training data': (dict(train_dataloader=None), 'no train_dataloader; needed: train_data'),
    'half of a validation': (dict(val_evaluator=None), 'no val_evaluator; needed: val_dataloader'),
    'loss misspelt': (
        {f'{HEAD}.loss_cls.type': 'GHMCLos'},
        r"loss_cls.type='GHMCLos': must be a registered model; did you mean 'GHMCLoss'\?",
    ),
    'head misspelt': (
        {f'{HEAD}.type': 'RetinaHed'},
        r"bbox_head.type='RetinaHed': .* did you mean 'RetinaHead'\?",
    ),
    'head of a pyramid misspelt': (
        {f'{HEAD}.type': 'WholePyramidHead', f'{HEAD}.head': 'ATSSHed'},
        r"bbox_head.head='ATSSHed': must be a registered model; did you mean 'ATSSHead'\?",
    ),
    'pyramid without a head': (
        {f'{HEAD}.type': 'WholePyramidHead'},
        'bbox_head.head=None: must be a registered model',
    ),
    'unknown argument of a derived loss': (
        {f'{HEAD}.loss_cls.type': DerivedLoss, f'{HEAD}.loss_cls.binz': 3},
        "loss_cls: .*unexpected.*'binz'",
    ),
    'no bins': ({f'{HEAD}.loss_cls.bins': 0}, 'model.bbox_head.loss_cls: bins=0: must be'),
    'momentum of one': ({f'{HEAD}.loss_bbox.momentum': 1.0}, r'loss_bbox: momentum=1.0: .*\[0, 1'),
    'unknown argument': ({f'{HEAD}.loss_cls.binz': 3}, "loss_cls: .*unexpected.*'binz'"),
    'weights of other classes': (
        {f'{HEAD}.loss_cls.class_weight': [1, 2]},
        r'bbox_head.loss_cls.class_weight of 2 classes: must have 3, as the head',
    ),
    'weights by count of one class': (
        {f'{HEAD}.loss_cls.class_weight': 'auto', f'{HEAD}.num_classes': 1},
        "class_weight='auto' in a head of one class: leave it out",
    ),
    'neither': ({f'{HEAD}.loss_cls.use_sigmoid': 'no'}, "use_sigmoid='no': must be one of True, F"),
}


@pytest.mark.parametrize(('options', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_config_is_refused_in_one_line(cfg, options, message):
    cfg.merge_from_dict(options)
    with pytest.raises(ConfigError, match=message) as error:
        checks.check_config(cfg, ('train', 'val'))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('wrap', [lambda head: head, lambda head: [dict(type='X', parts=(head,))]])
def test_loss_without_use_sigmoid_is_found_anywhere_in_the_model(cfg, wrap):
    head = cfg.model.bbox_head
    del head.loss_cls['use_sigmoid']
    cfg.model = dict(type='RetinaNet', parts=wrap(head))
    with pytest.raises(ConfigError, match=r'loss_cls: use_sigmoid is missing; .*use_sigmoid=True'):
        checks.check_config(cfg, ('train',))


OHEM = dict(
    type='OHEMLoss',
    loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    negatives_per_positive=3,
)


def test_ohem_says_use_sigmoid_itself(cfg):
    cfg.model.bbox_head.loss_cls = OHEM
    with pytest.raises(ConfigError, match=r'loss_cls: use_sigmoid is missing; OHEMLoss needs'):
        checks.check_config(cfg, ('train',))
    cfg.model.bbox_head.loss_cls = dict(OHEM, use_sigmoid=True)
    checks.check_config(cfg, ('train',))


GHM_C = dict(type='GHMCLoss', use_sigmoid=True)
GHM_R = dict(type='GHMRLoss')
SMALL_BOX_HEAD = dict(num_classes=3, in_channels=4, roi_feat_size=2)
DYNAMIC_CONV = dict(type='DynamicConv', in_channels=8, feat_channels=8, out_channels=8)


def with_head(cfg, **head):
    cfg.model = dict(type='TwoStageDetector', roi_head=dict(bbox_head=head))
    return cfg


@pytest.mark.parametrize(
    'head',
    [
        dict(type='BBoxHead', **SMALL_BOX_HEAD),
        dict(type='ConvFCBBoxHead', num_shared_fcs=1, fc_out_channels=8, **SMALL_BOX_HEAD),
        dict(type='Shared2FCBBoxHead', fc_out_channels=8, **SMALL_BOX_HEAD),
        dict(type='mmdet.Shared2FCBBoxHead', fc_out_channels=8, **SMALL_BOX_HEAD),
        dict(type='Shared4Conv1FCBBoxHead', fc_out_channels=8, **SMALL_BOX_HEAD),
        dict(type='SABLHead', num_classes=3),
        dict(type='GHMSSDHead', num_classes=3),
    ],
    ids=lambda head: head['type'],
)
def test_sigmoid_in_a_head_that_predicts_by_softmax_is_refused(cfg, head):
    with pytest.raises(ConfigError, match=r'bbox_head.loss_cls: use_sigmoid=True in a .*softmax'):
        checks.check_config(with_head(cfg, **head, loss_cls=GHM_C), ('train',))
    softmax = dict(GHM_C, use_sigmoid=False)
    checks.check_config(with_head(cfg, **head, loss_cls=softmax), ('train',))


@pytest.mark.parametrize(
    'head',
    [
        dict(type='RPNHead', in_channels=4),
        dict(
            type='DIIHead',
            num_classes=3,
            in_channels=8,
            feedforward_channels=8,
            dynamic_conv_cfg=dict(DYNAMIC_CONV, input_feat_shape=2, with_proj=False),
        ),
    ],
    ids=lambda head: head['type'],
)
def test_sigmoid_in_a_head_that_predicts_by_it_is_fine(cfg, head):
    init_default_scope('mmdet')
    kind = MODELS.get(head['type'])
    assert check_head._predicts_by_softmax(kind, dict(head, loss_cls=GHM_C)) is False
    checks.check_config(with_head(cfg, **head, loss_cls=GHM_C), ('train',))


def test_each_stage_of_a_cascade_is_checked(cfg):
    stage = dict(type='Shared2FCBBoxHead', fc_out_channels=8, **SMALL_BOX_HEAD)
    stages = [stage, dict(stage, loss_cls=GHM_C)]
    cfg.model = dict(type='CascadeRCNN', roi_head=dict(bbox_head=stages))
    with pytest.raises(ConfigError, match=r'bbox_head\[1\].loss_cls: use_sigmoid=True'):
        checks.check_config(cfg, ('train',))


@pytest.mark.parametrize('loss', [dict(loss_cls=GHM_C), dict(loss_bbox=GHM_R)])
def test_head_without_configurable_losses_is_named_with_its_replacement(cfg, loss):
    with pytest.raises(ConfigError, match=r"SSDHead takes no loss_.*type='GHMSSDHead'") as error:
        checks.check_config(with_head(cfg, type='SSDHead', **loss), ('train',))
    assert '\n' not in str(error.value)


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(checks, 'print_log', lambda text, *_: found.append(text))
    return found


@pytest.mark.parametrize(
    ('head', 'decoded'),
    [
        (dict(type='RetinaHead'), False),
        (dict(type='RetinaHead', reg_decoded_bbox=True), True),
        (dict(type='RPNHead'), False),
        (dict(type='Shared2FCBBoxHead'), False),
        (dict(type='Shared2FCBBoxHead', reg_decoded_bbox=True), True),
        (dict(type='FoveaHead'), False),
        (dict(type='FCOSHead'), True),
        (dict(type='TOODHead'), True),
        (dict(type='YOLOXHead'), True),
        (dict(type='WholePyramidHead', head='RTMDetSepBNHead'), True),
        (dict(type='WholePyramidHead', head='RetinaHead'), False),
    ],
    ids=str,
)
def test_ghm_r_on_decoded_boxes_is_a_warning(cfg, warnings, head, decoded):
    checks.check_config(with_head(cfg, **head, loss_bbox=GHM_R), ('train', 'val'))
    assert len(warnings) == decoded
    assert all('roi_head.bbox_head: GHM-R on decoded boxes' in text for text in warnings)


def test_that_warning_names_all_heads_at_once_and_only_for_training(cfg, warnings):
    head = dict(type='Shared2FCBBoxHead', reg_decoded_bbox=True, loss_bbox=GHM_R)
    cfg.model = dict(type='CascadeRCNN', roi_head=dict(bbox_head=[head, head]))
    checks.check_config(cfg, ('test',))
    assert not warnings
    checks.check_config(cfg, ('train',))
    assert len(warnings) == 1
    assert 'model.roi_head.bbox_head[0], model.roi_head.bbox_head[1]: GHM-R' in warnings[0]


SKIPS = {
    'Shared2FCBBoxHead': ({'loss_cls': True, 'loss_bbox': True}),
    'FCOSHead': ({'loss_cls': False, 'loss_bbox': True}),
    'RetinaHead': ({'loss_cls': False, 'loss_bbox': False}),
    'GHMRetinaHead': ({'loss_cls': False, 'loss_bbox': False}),
    'RPNHead': ({'loss_cls': False, 'loss_bbox': False}),
    'ATSSHead': ({'loss_cls': False, 'loss_bbox': True}),
    'GFLHead': ({'loss_cls': False, 'loss_bbox': True}),
    'YOLOXHead': ({'loss_cls': True, 'loss_obj': False, 'loss_bbox': True}),
    'GHMSSDHead': ({'loss_cls': False, 'loss_bbox': False}),
    'DeformableDETRHead': ({'loss_cls': False, 'loss_bbox': False}),
}
"""Whether a head leaves out the call of a loss on a rank without positives."""


@pytest.mark.parametrize(
    ('head', 'key', 'skips'),
    [(head, key, skips) for head, keys in SKIPS.items() for key, skips in keys.items()],
)
def test_sync_is_refused_where_a_rank_may_skip_the_loss(head, key, skips):
    init_default_scope('mmdet')
    loss = dict(type='GHMRLoss', sync=True) if key == 'loss_bbox' else dict(GHM_C, sync=True)
    softmax = head in ('Shared2FCBBoxHead', 'GHMSSDHead')
    if key == 'loss_cls' and softmax:
        loss['use_sigmoid'] = False
    arguments = ('model.head', MODELS.get(head), {key: loss})
    if not skips:
        check_head.check_head(*arguments)
        return
    with pytest.raises(
        ConfigError, match=rf'{key}: sync=True in a {head}, which skips .* be False'
    ):
        check_head.check_head(*arguments)


def test_other_box_losses_on_decoded_boxes_are_fine(cfg, warnings):
    checks.check_config(with_head(cfg, type='FCOSHead', loss_bbox=dict(type='IoULoss')), ('train',))
    assert not warnings


@pytest.mark.parametrize('norm', ['BN', 'GN'])
@pytest.mark.parametrize('norm_eval', [False, True])
@pytest.mark.parametrize('frozen', [-1, 0, 1])
def test_layers_that_stay_random(cfg, warnings, frozen, norm_eval, norm):
    norm_cfg = dict(type=norm) if norm == 'BN' else dict(type=norm, num_groups=2)
    cfg.model.backbone.update(frozen_stages=frozen, norm_eval=norm_eval, norm_cfg=norm_cfg)
    checks.warn_of_random_layers(cfg)
    init_default_scope('mmdet')
    backbone = MODELS.build(cfg.model.backbone)
    backbone.train()
    norms = [part for part in backbone.modules() if isinstance(part, BatchNorm2d)]
    expected = dict(
        frozen_stages=not all(each.requires_grad for each in backbone.parameters()),
        norm_eval=bool(norms) and not any(part.training for part in norms),
    )
    text = ' '.join(warnings)
    assert {key: f'{key}=' in text for key in expected} == expected
    assert len(warnings) == any(expected.values())


WEIGHTS = {
    'of the detector': dict(load_from='model.pth'),
    'of the backbone': {'model.backbone.init_cfg': dict(type='Pretrained', checkpoint='a.pth')},
    'of a Swin backbone': {'model.backbone.init_cfg': dict(checkpoint='a.pth')},
    'one of several': {'model.backbone.init_cfg': [dict(type='Normal'), dict(checkpoint='a.pth')]},
    'by the old argument': {'model.backbone.pretrained': 'torchvision://resnet18'},
    'of all parts': {'model.init_cfg': dict(type='Pretrained', checkpoint='a.pth')},
    'none': None,
}


@pytest.mark.parametrize('given', WEIGHTS.values(), ids=WEIGHTS)
def test_frozen_layers_with_weights_are_fine(cfg, warnings, given):
    cfg.model.backbone.update(frozen_stages=1, norm_eval=True)
    del cfg.model.backbone.init_cfg  # None cannot be merged into
    cfg.merge_from_dict(given or {})
    checks.warn_of_random_layers(cfg)
    assert bool(warnings) is (given is None)


def test_type_of_another_package_is_left_to_the_build(cfg):
    cfg.model.backbone.type = 'mmpretrain.ConvNeXt'
    checks.check_config(cfg, ('train',))


def test_mixed_precision_needs_a_gpu(cfg, monkeypatch):
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    monkeypatch.setattr(checks, 'has_accelerator', lambda: False)
    with pytest.raises(ConfigError, match=r'--amp.*needs a GPU'):
        checks.check_machine(cfg)
    monkeypatch.setattr(checks, 'has_accelerator', lambda: True)
    checks.check_machine(cfg)


@pytest.mark.parametrize('kind', ['DeepSpeedStrategy', 'ColossalAIStrategy'])
def test_strategies_that_need_another_package(cfg, monkeypatch, kind):
    cfg.merge_from_dict(dict(runner_type='FlexibleRunner', strategy=dict(type=kind)))
    monkeypatch.setattr(checks.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match=f"strategy.type='{kind}': needs .*, which is not inst"):
        checks.check_machine(cfg)
    cfg.strategy.type = 'SingleDeviceStrategy'
    cfg.model.backbone.init_cfg = None
    checks.check_machine(cfg)


def test_weights_that_need_torchvision(cfg, monkeypatch):
    weights = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    cfg.model.backbone.init_cfg = weights
    monkeypatch.setattr(checks.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match=r'needs torchvision.*model.backbone.init_cfg=None'):
        checks.check_machine(cfg)


class NamesHead(RetinaHead):
    """Compares the name of its loss, as the anchor head of MMDetection3D does."""

    def __init__(self, *args, **kwargs):
        self.samples = kwargs['loss_cls']['type'] not in ('mmdet.FocalLoss', 'mmdet.GHMC')
        super().__init__(*args, **kwargs)


class NamesHeadsChild(NamesHead):
    """Has a constructor of its own, as a head that MMDetection3D derives from its anchor head."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


@pytest.mark.parametrize('head_type', [NamesHead, NamesHeadsChild])
@pytest.mark.parametrize('kind', ['GHMCLoss', 'mmdet.GHMCLoss', 'mmdet.GHMC'])
def test_a_head_that_compares_the_name_of_its_loss_takes_the_names_of_the_drop_in(
    cfg, kind, head_type
):
    MODELS.register_module(name='GHMC', module=GHMCLoss, force=True)
    head = cfg.model.bbox_head
    head.type, head.loss_cls.type = head_type, kind
    try:
        if kind == 'mmdet.GHMC':
            checks.check_config(cfg, ('train',))
            return
        with pytest.raises(ConfigError, match=r'loss_cls.type=.*must be mmdet.GHMC, and'):
            checks.check_config(cfg, ('train',))
    finally:
        MODELS.register_module(name='GHMC', module=GHMC, force=True)


@pytest.mark.parametrize(('weights', 'is_refused'), [([1, 1, 0], False), ([1.0, 0.2], True)])
def test_coordinates_of_different_weight_are_refused_with_ghm_r(cfg, weights, is_refused):
    cfg.model.train_cfg.code_weight = weights
    if not is_refused:
        checks.check_config(cfg, ('train',))
        return
    with pytest.raises(ConfigError, match=r'train_cfg.code_weight=\[1.0, 0.2\]: GHM-R counts'):
        checks.check_config(cfg, ('train',))
    cfg.model.bbox_head.loss_bbox = dict(type='L1Loss')
    checks.check_config(cfg, ('train',))
