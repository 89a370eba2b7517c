# VFNet with GHM-C in place of varifocal loss. A positive's target is its IoU, so g = |p - IoU|.
#
# The lines to change in another config: custom_imports, bbox_head.loss_cls.
# - All levels are in one call, so the density is over the whole pyramid.
# - The head does not divide what the loss returns.
# - Loss weight: GHM-C of weight 1 has 1.6 times the gradient of varifocal loss at the features,
#   relative to the gradient of the box loss (docs/heads.md: 1.74 against 1.12, on a small model).
# - The boxes keep their two GIoU losses, as they are decoded.
_base_ = ['mmdet::vfnet/vfnet_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            loss_weight=0.6,
        ),
    )
)
