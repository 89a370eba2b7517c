# Defects of steel surfaces in pictures of 200 pixels. The test split is val.
_base_ = './retinanet_lite0_fpn.py'

data_root = 'data/steel/'
metainfo = dict(
    classes=('crazing', 'inclusion', 'patches', 'pitted_surface', 'rolled-in_scale', 'scratches')
)
model = dict(bbox_head=dict(num_classes=6))
resize = dict(type='Resize', scale=(200, 200), keep_ratio=True)
train_pipeline = [resize if step.type == 'Resize' else step for step in _base_.train_pipeline]
test_pipeline = [resize if step.type == 'Resize' else step for step in _base_.test_pipeline]
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(
    dataset=dict(ann_file='annotations/instances_val.json', pipeline=test_pipeline, **dataset)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=4, val_interval=2)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=4, milestones=[3])
