# Photographs of kangaroos. The test split is val.
_base_ = './retinanet_lite0_fpn.py'

data_root = 'data/kangaroo/'
metainfo = dict(classes=('kangaroo',))
model = dict(bbox_head=dict(num_classes=1))
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dict(ann_file='annotations/instances_val.json', **dataset))
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=30, val_interval=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
    dict(type='MultiStepLR', begin=0, end=30, by_epoch=True, milestones=[24], gamma=0.1),
]
