# What is recommended for a few hundred images (docs/results.md): GHM-C three quarters of the way to
# regions of the same total gradient, with weights that never fall as g grows, one density over the
# pyramid, scores that start at 0.5, AdamW, and L1 for the boxes. docs/settings.md has a config for
# your own data that inherits from this one.
# - balance: 'small-data' keeps outliers, which many classes with few objects each need; with many
#   wrong labels set balance.outliers='damp', or use tools/correct_labels.py.
# - loss_weight: 0.25 goes with AdamW; with SGD 1 was better.
# - bins and momentum are for 100 positives an iteration or more; docs/settings.md has the rule.
# - Learning rate and epochs are where to start; they have not been measured with this backbone.
_base_ = './retinanet_r50_fpn_ghm-pyramid-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_cls=dict(balance=dict(preset='small-data'), loss_weight=0.25),
        loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0),
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=dict(type='Normal', name='retina_cls', std=0.01, bias_prob=0.5),
        ),
    )
)
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=24, val_interval=4)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', begin=0, end=24, by_epoch=True, milestones=[20], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=8)
