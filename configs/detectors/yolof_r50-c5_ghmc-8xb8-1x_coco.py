# YOLOF with GHM-C in place of focal loss.
#
# The lines to change in another config: custom_imports, bbox_head.loss_cls.
# - There is one level.
# - The head divides nothing afterwards.
# - Loss weight: at the same weights GHM-C of weight 1 pulls 1.9 times as hard as focal loss at the
#   features, next to the box loss (docs/heads.md: 0.95 against 0.51, on a small model).
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
