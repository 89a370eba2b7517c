# Baseline: focal loss and smooth L1 with the division point of the paper, 1/9. Gradients are
# clipped as in the GHM configs, so that only the losses differ.
_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)

model = dict(
    bbox_head=dict(
        loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1.0 / 9.0, loss_weight=1.0)
    )
)
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
