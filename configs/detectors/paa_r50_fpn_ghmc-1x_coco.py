# PAA with GHM-C in place of focal loss. PAA needs scikit-learn.
#
# The lines to change in another config: custom_imports, bbox_head.type, .loss_cls.
# - GHMPAAHead goes on scoring its candidates by focal loss. The loss dict alone does not work: PAA
#   would fit Gaussians to harmonized losses, which are many times as large, and the fit fails
#   within a few iterations.
# - All levels are in one call, so the density is over the whole pyramid.
# - The head does not divide what the loss returns.
# - Loss weight: GHM-C of weight 1 has 2.5 times the gradient of focal loss at the features,
#   relative to the gradient of the box loss (docs/heads.md: 2.60 against 1.05, on a small model).
# - The boxes keep GIoU, as they are decoded: GHM-R is for encoded box deltas.
_base_ = ['mmdet::paa/paa_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        type='GHMPAAHead',
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
