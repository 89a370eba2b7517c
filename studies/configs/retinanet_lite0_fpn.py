# A RetinaNet that fine-tunes on a CPU: EfficientNet-Lite0 with ImageNet weights, an FPN and a head
# of 96 channels, images of at most 320 pixels, AdamW, 10 epochs of 8 images a batch. The neck and
# the head compute in bfloat16.
_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    '../../configs/_base_/reliable_runtime.py',
]
custom_imports = dict(
    imports=['ghm_mmdet', 'studies.bfloat16', 'studies.efficientnet_lite'],
    allow_failed_imports=False,
)

model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]),
    backbone=dict(_delete_=True, type='EfficientNetLite0'),
    neck=dict(in_channels=[40, 112, 320], out_channels=96, start_level=0),
    bbox_head=dict(in_channels=96, feat_channels=96, stacked_convs=2),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        ann_file='annotations/instances_test.json',
        data_prefix=dict(img='images/'),
        pipeline=test_pipeline,
    ),
)

train_cfg = dict(max_epochs=10, val_interval=2)
optim_wrapper = dict(
    type='BFloat16OptimWrapper',
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.01),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
    dict(type='MultiStepLR', begin=0, end=10, by_epoch=True, milestones=[8], gamma=0.1),
]
default_hooks = dict(
    _base_.reliable_hooks,
    logger=dict(interval=10),
    checkpoint=dict(_base_.reliable_hooks.checkpoint, max_keep_ckpts=1),
)
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=8)
