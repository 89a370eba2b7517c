# FoveaBox with GHM-C in place of focal loss.
#
# The lines to change in another config: custom_imports, bbox_head.loss_cls.
# - All levels are in one call, so the density is over the whole pyramid.
# - The head divides nothing afterwards.
# - Loss weight: at the same weights GHM-C of weight 1 pulls 1.2 times as hard as focal loss at the
#   features, next to the box loss (docs/heads.md: 0.78 against 0.64, on a small model).
# - The boxes keep smooth L1; GHM-R would have to be scaled anew for their deltas.
_base_ = ['mmdet::foveabox/fovea_r50_fpn_4xb4-1x_coco.py', '../_base_/reliable_runtime.py']
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
            loss_weight=0.8,
        ),
    )
)
