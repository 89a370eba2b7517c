# Focal loss on a few hundred images, the baseline beside retinanet_r50_fpn_ghmc-small-data.py: the
# same optimizer, schedule and box loss. docs/own-data.md has a config for your own data that
# inherits from this one.
# - gamma: 1 was better than the published 2 where both were measured, on two small data sets
#   (docs/studies).
# - Learning rate and epochs are starting points; they have not been measured with this backbone.
_base_ = './retinanet_r50_fpn_focal-smooth-l1-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_cls=dict(gamma=1.0),
        loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0),
    )
)
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=24, val_interval=4)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', begin=0, end=24, by_epoch=True, milestones=[20], gamma=0.1),
]
# a few hundred images are some 40 iterations an epoch; a checkpoint is about 400 MB
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=8)
