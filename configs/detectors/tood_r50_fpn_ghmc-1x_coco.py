# TOOD with GHM-C in place of focal loss (first 4 epochs) and quality focal loss, one density for
# the pyramid.
#
# The lines to change in another config:
#   custom_imports, bbox_head.type, .head, .ignore_avg_factor, .initial_loss_cls, .loss_cls
# - activated=True: the head hands over probabilities.
# - The head divides what the losses return by the number of positives, later by the sum of their
#   scores. ignore_avg_factor leaves that out, as a mean over all examples has been divided already.
# - The loss dicts alone work too, with bbox_head.type left as it is. Each level then has its own
#   density, and the loss weights have to be multiplied by the usual number of positives of a GPU's
#   images. The loss of images without objects is divided by 1, and so it counts that many times as
#   much: the wrapper is better.
# - bias_correction: loss_cls takes over at full learning rate, where weights that are 4 times too
#   large at first would hurt.
# - Loss weight: GHM-C of weight 1 has 1.3 times the gradient of quality focal loss at the features,
#   relative to the gradient of the box loss (docs/heads.md: 0.90 against 0.67, on a small model).
# - The boxes keep GIoU, as they are decoded: GHM-R is for encoded box deltas.
_base_ = ['mmdet::tood/tood_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        type='WholePyramidHead',
        head='TOODHead',
        ignore_avg_factor=True,
        initial_loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            activated=True,
            bins=30,
            momentum=0.75,
            bias_correction=True,
            loss_weight=0.7,
        ),
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            activated=True,
            bins=30,
            momentum=0.75,
            bias_correction=True,
            loss_weight=0.7,
        ),
    )
)
