"""The detectors of configs/detectors and configs/ghm, shrunk until a CPU builds them in a second.

A detector is known by the first word of its config's name. What it needs beyond the common changes
stands in ``SMALL`` and ``VARIANTS``.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = (
    *sorted((REPOSITORY / 'configs' / 'detectors').glob('*.py')),
    *sorted((REPOSITORY / 'configs' / 'ghm').glob('retinanet_r50_fpn_ghm*-1x_coco.py')),
)
NUM_CLASSES = 5
CHANNELS = 32  # the heads' group normalisation has 32 groups, one channel each

RESNET = dict(
    backbone=dict(
        depth=18,
        base_channels=8,
        stem_channels=8,
        frozen_stages=-1,
        norm_eval=False,
        norm_cfg=dict(requires_grad=True),
        init_cfg=None,
    )
)
FPN = dict(RESNET, neck=dict(in_channels=[8, 16, 32, 64], out_channels=CHANNELS))
HEAD = dict(num_classes=NUM_CLASSES, in_channels=CHANNELS)
ONE_STAGE = dict(FPN, bbox_head=dict(HEAD, feat_channels=CHANNELS, stacked_convs=1))

RPN = dict(in_channels=CHANNELS, feat_channels=CHANNELS)
ROI = dict(
    bbox_roi_extractor=dict(out_channels=CHANNELS),
    bbox_head=dict(in_channels=CHANNELS, fc_out_channels=CHANNELS, num_classes=NUM_CLASSES),
)
ATTENTION = dict(embed_dims=CHANNELS)
FFN = dict(embed_dims=CHANNELS, feedforward_channels=CHANNELS, ffn_drop=0.0)
BN = dict(type='BN')
# A list in a config is merged into by its indices.
CASCADE = dict(ROI, bbox_head={str(stage): ROI['bbox_head'] for stage in range(3)})
CSP_NECK = dict(in_channels=[16, 32, 64], out_channels=16, num_csp_blocks=1)
CSP_HEAD = dict(num_classes=NUM_CLASSES, in_channels=16, feat_channels=16, stacked_convs=1)

# Merged into the config's model, as `--cfg-options` would be.
SMALL = {
    'atss': ONE_STAGE,
    # its deformable convolutions want a map of 3 x 3 at least
    'ddod': dict(
        RESNET,
        neck=dict(FPN['neck'], num_outs=3),
        bbox_head=dict(ONE_STAGE['bbox_head'], anchor_generator=dict(strides=[8, 16, 32])),
    ),
    'fcos': ONE_STAGE,
    'fovea': ONE_STAGE,
    'gfl': ONE_STAGE,
    'paa': ONE_STAGE,
    'retinanet': ONE_STAGE,
    # the layers of its towers are the input of a task decomposition: two, for it to have a choice
    'tood': dict(FPN, bbox_head=dict(HEAD, feat_channels=CHANNELS, stacked_convs=2)),
    'cascade-rcnn': dict(FPN, rpn_head=RPN, roi_head=CASCADE),
    'deformable-detr': dict(
        RESNET,
        num_queries=40,  # by 3 classes, above the 100 detections that its test_cfg asks for
        neck=dict(in_channels=[16, 32, 64], out_channels=CHANNELS),
        encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
        decoder=dict(
            num_layers=2,
            layer_cfg=dict(
                self_attn_cfg=dict(ATTENTION, dropout=0.0),
                cross_attn_cfg=dict(ATTENTION, dropout=0.0),
                ffn_cfg=FFN,
            ),
        ),
        positional_encoding=dict(num_feats=CHANNELS // 2),
        bbox_head=dict(num_classes=NUM_CLASSES, embed_dims=CHANNELS),
    ),
    'faster-rcnn': dict(FPN, rpn_head=RPN, roi_head=ROI),
    'rpn': dict(FPN, rpn_head=RPN),
    'rtmdet': dict(
        backbone=dict(deepen_factor=0.167, widen_factor=0.0625, norm_cfg=BN),
        neck=dict(CSP_NECK, norm_cfg=BN),
        bbox_head=dict(CSP_HEAD, norm_cfg=BN),
    ),
    # VGG is too deep for a CPU, and its pyramid ends below a picture of this size.
    'ssd300': dict(
        backbone=dict(
            RESNET['backbone'], _delete_=True, type='ResNet', out_indices=(1, 2), norm_cfg=BN
        ),
        neck=dict(
            in_channels=(16, 32),
            out_channels=(16, 32, 32, 32),
            level_strides=(2, 2),
            level_paddings=(1, 1),
        ),
        bbox_head=dict(
            num_classes=NUM_CLASSES,
            in_channels=(16, 32, 32, 32),
            anchor_generator=dict(
                strides=[8, 16, 32, 64],
                ratios=[[2], [2, 3], [2, 3], [2]],
                min_sizes=[16, 32, 56, 88],
                max_sizes=[32, 56, 88, 120],
            ),
        ),
    ),
    'yolox': dict(
        data_preprocessor=dict(batch_augments=None),
        backbone=dict(deepen_factor=0.167, widen_factor=0.0625),
        neck=CSP_NECK,
        bbox_head=CSP_HEAD,
    ),
    'vfnet': ONE_STAGE,
    'yolof': dict(
        RESNET,
        neck=dict(in_channels=64, out_channels=CHANNELS, block_mid_channels=8),
        bbox_head=HEAD,
    ),
}

# Other ways to run a detector: name of the variant -> merged into the model.
VARIANTS = {'tood': {'aligned': dict(train_cfg=dict(initial_epoch=0))}}


@dataclass(frozen=True)
class Case:
    """One config, and a change to it.

    Attributes:
        path: The config file.
        variant: Name of the change; empty for none.
        change: Merged into the model.
        per_level: Whether the head's own class is to take the place of ``WholePyramidHead``, which
            leaves the loss dict as the only change.
    """

    path: Path
    variant: str = ''
    change: dict = field(default_factory=dict)
    per_level: bool = False

    @property
    def detector(self) -> str:
        return self.path.stem.split('_')[0]

    def __str__(self) -> str:
        return f'{self.path.stem}-{self.variant}' if self.variant else self.path.stem

    def config(self) -> Config:
        """The shrunk config."""
        cfg = self.shrunk(Config.fromfile(self.path))
        if self.per_level:
            cfg.model.bbox_head.type = cfg.model.bbox_head.pop('head')
            cfg.model.bbox_head.pop('ignore_avg_factor', None)
        return cfg

    def shrunk(self, cfg: Config) -> Config:
        """The config with this detector's overrides and this case's change."""
        cfg.merge_from_dict(dict(model=deepcopy(SMALL[self.detector])))
        cfg.merge_from_dict(dict(model=deepcopy(self.change)))
        return cfg


def all_cases() -> list[Case]:
    """Every config as it is, its variants, and without the pyramid's common density."""
    cases = []
    for path in CONFIGS:
        case = Case(path)
        cases.append(case)
        variants = VARIANTS.get(case.detector, {}).items()
        cases += [Case(path, name, change) for name, change in variants]
        head = Config.fromfile(path).model.get('bbox_head', {})
        if head.get('type') == 'WholePyramidHead':
            cases.append(Case(path, 'per level', per_level=True))
    return cases
