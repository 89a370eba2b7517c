# Deformable DETR with GHM-C in place of focal loss.
#
# The lines to change in another config: custom_imports, bbox_head.loss_cls. They are the same for
# every DETR whose head has a sigmoid focal loss with labels (Conditional DETR, DAB-DETR).
# - The matching keeps its FocalLossCost: it ranks pairs of a query and an object, and trains
#   nothing.
# - loss_bbox stays: DETR regresses boxes, in units of the image.
# - The head calls the loss once per decoder layer, 6 times an iteration, so that a density is over
#   the queries of one layer, and the layers share one moving average. momentum 0.95 lets it forget
#   as much in an iteration as 0.75 does with one call (0.95^6 = 0.74).
# - bias_correction: without it the first weights would be 20 times too large.
# - The loss weight is that of focal loss. The sum of |dL/dx| over the logits of a layer is about
#   0.5 * loss_weight, whatever the number of objects; the head does not divide the loss.
_base_ = [
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    '../_base_/reliable_runtime.py',
]
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.95,
            bias_correction=True,
            loss_weight=2.0,
        )
    )
)
