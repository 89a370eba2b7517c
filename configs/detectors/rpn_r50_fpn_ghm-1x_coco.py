# RPN with GHM-C and GHM-R over all anchors, in place of a sample of 256 per image.
#
# The lines to change in another config (two-stage ones have the same rpn_head and train_cfg.rpn):
#   custom_imports, rpn_head.type, .head, .loss_cls, .loss_bbox, train_cfg.rpn.sampler,
#   optim_wrapper.clip_grad
# - Sigmoid with one class: one example is one anchor.
# - PseudoSampler takes every anchor. With RandomSampler a density would be over the sampled
#   anchors alone, 256 per image, where the sampler has done GHM-C's work already.
# - Loss weights 1 and 1: the head does not divide the losses, and the sum of |dL/dx| is about 0.5 *
#   loss_weight both over the logits and over the box deltas.
_base_ = ['mmdet::rpn/rpn_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    rpn_head=dict(
        type='WholePyramidHead',
        head='RPNHead',
        loss_cls=dict(_delete_=True, type='GHMCLoss', use_sigmoid=True, bins=30, momentum=0.75),
        loss_bbox=dict(
            _delete_=True, type='GHMRLoss', mu=0.02, bins=10, momentum=0.7, loss_weight=1.0
        ),
    ),
    train_cfg=dict(rpn=dict(sampler=dict(_delete_=True, type='PseudoSampler'))),
)
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
