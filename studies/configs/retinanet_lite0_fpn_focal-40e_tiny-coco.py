# Fifty images of COCO with its 80 classes, in four times the epochs, as there are a quarter of the
# images. The test split is val.
_base_ = './retinanet_lite0_fpn.py'

data_root = 'data/tiny_coco/'
model = dict(bbox_head=dict(num_classes=80))
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=40, val_interval=8)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=40, milestones=[32])
