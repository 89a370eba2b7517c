# DDOD with GHM-C in place of focal loss, one density for the pyramid.
#
# The lines to change in another config: custom_imports, bbox_head.type, .head, .loss_cls.
# - The loss dict alone works as well, with bbox_head.type left as it is: a density per level then,
#   whose moving average the levels overwrite in turn.
# - The head divides nothing afterwards, but weighs each level by 1 to 2, fewer positives more: the
#   levels keep these factors under the common density.
# - Loss weight: at the same weights GHM-C of weight 1 pulls 2.4 times as hard as focal loss at the
#   features, next to the box loss (docs/heads.md: 1.49 against 0.62, on a small model).
# - The boxes keep GIoU, as they are decoded: GHM-R is for encoded box deltas.
_base_ = ['mmdet::ddod/ddod_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        type='WholePyramidHead',
        head='DDODHead',
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            loss_weight=0.4,
        ),
    )
)
