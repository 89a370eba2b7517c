# Rotated RetinaNet with GHM-C and GHM-R in place of focal loss and L1, one density for the pyramid.
#
# The lines to change in another config:
#   custom_imports, default_hooks, bbox_head.type, .head, .loss_cls, .loss_bbox
# - MMRotate looks up a name without a scope in its own registries; this package is in mmdet's.
# - The head regresses encoded boxes, for which GHM-R is meant. The loss weights are those for COCO
#   (configs/ghm); on DOTA they were not measured.
_base_ = 'mmrotate::rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)
default_hooks = dict(harmonized_loss=dict(type='mmdet.HarmonizedLossHook'))

model = dict(
    bbox_head=dict(
        type='mmdet.WholePyramidHead',
        head='mmdet.RetinaHead',
        loss_cls=dict(
            _delete_=True, type='mmdet.GHMCLoss', use_sigmoid=True, bins=30, momentum=0.75
        ),
        loss_bbox=dict(
            _delete_=True, type='mmdet.GHMRLoss', mu=0.02, bins=10, momentum=0.7, loss_weight=10.0
        ),
    )
)
