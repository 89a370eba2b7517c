# SSD300 with GHM-C and GHM-R in place of its hard-negative mining and smooth L1.
#
# MMDetection's SSDHead has fixed losses and takes none from the config. The lines to change in
# another config:
#   custom_imports, bbox_head.type, .loss_cls, .loss_bbox, optim_wrapper.clip_grad
# - GHMSSDHead takes the losses from the config, has SSDHead's parameters, and calls each loss once:
#   one density over all images and levels. Every anchor takes part; neg_pos_ratio is not used.
# - GHM-C is on softmax (use_sigmoid=False), by which SSD predicts: one example is one anchor.
# - Loss weights: the head does not divide the losses. The sum of |dL/dx| is about 1 * loss_weight
#   over the logits (2g per anchor with softmax), and 0.5 * loss_weight over the box deltas. 2.6 and
#   4 keep the ratio of the gradients at the features, classification to boxes, of SSD's own losses
#   (docs/heads.md: 1.03, and 0.39 with GHM-C of weight 1, on a small model).
# - mu is 0.2 and not 0.02: SSD divides its box deltas by standard deviations of 0.1 and 0.2, so
#   that they are 5 to 10 times those of the RetinaNet that 0.02 was found for.
# - bias_correction, because the first iterations are where SSD's losses grow: without it their
#   weights are 1 / (1 - momentum) too large, 4 and 3.3 times. clip_grad as in the GHM RetinaNet.
_base_ = ['mmdet::ssd/ssd300_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        type='GHMSSDHead',
        loss_cls=dict(
            type='GHMCLoss',
            use_sigmoid=False,
            bins=30,
            momentum=0.75,
            bias_correction=True,
            loss_weight=2.6,
        ),
        loss_bbox=dict(
            type='GHMRLoss',
            mu=0.2,
            bins=10,
            momentum=0.7,
            bias_correction=True,
            loss_weight=4.0,
        ),
    )
)
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
