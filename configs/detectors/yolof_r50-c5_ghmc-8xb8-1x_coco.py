# YOLOF with GHM-C in place of focal loss.
#
# The lines to change in another config: custom_imports, bbox_head.loss_cls.
# - There is one level.
# - The head does not divide what the loss returns.
# - Loss weight: GHM-C of weight 1 has 1.9 times the gradient of focal loss at the features,
#   relative to the gradient of the box loss (docs/heads.md: 0.95 against 0.51, on a small model).
# - The boxes keep GIoU, as they are decoded: GHM-R is for encoded box deltas.
_base_ = ['mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py', '../_base_/reliable_runtime.py']
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
            loss_weight=0.5,
        ),
    )
)
