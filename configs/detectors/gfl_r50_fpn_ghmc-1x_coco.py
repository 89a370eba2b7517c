# GFL with GHM-C in place of quality focal loss, one density for the pyramid. A positive's target is
# its IoU, so g = |p - IoU|.
#
# The lines to change in another config: custom_imports, bbox_head.type, .head, .loss_cls.
# - The loss dict alone works too, with bbox_head.type left as it is. Each level then has its own
#   density, and the levels overwrite one moving average in turn.
# - The head divides what the box losses return, but not what GHM-C returns.
# - Loss weight: GHM-C of weight 1 has 1.9 times the gradient of quality focal loss at the features,
#   relative to the gradient of the box loss (docs/heads.md: 2.08 against 1.11, on a small model).
# - The boxes keep GIoU and the distribution focal loss.
_base_ = ['mmdet::gfl/gfl_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        type='WholePyramidHead',
        head='GFLHead',
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            loss_weight=0.5,
        ),
    )
)
