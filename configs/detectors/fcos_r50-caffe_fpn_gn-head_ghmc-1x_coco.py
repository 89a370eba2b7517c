# FCOS with GHM-C in place of focal loss. docs/heads.md shows why a plain swap does badly here.
#
# The lines to change in another config: custom_imports, bbox_head.loss_cls.
# - All levels are in one call, so the density is over the whole pyramid.
# - The head does not divide what the loss returns.
# - balance: with equal weight the many easy negatives are hardly pushed down, all scores stay high,
#   and the centerness decides the ranking. Tempering takes away noise of regions with few examples.
# - loss_weight: a small model needed 0.6 with SGD, as here; 0.15 with AdamW (docs/heads.md).
# - The boxes keep their IoU loss, as they are decoded: GHM-R is for encoded box deltas.
_base_ = ['mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', '../_base_/reliable_runtime.py']
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
            balance=dict(equal='gradient', tempering=0.75),
            loss_weight=0.6,
        ),
    )
)
