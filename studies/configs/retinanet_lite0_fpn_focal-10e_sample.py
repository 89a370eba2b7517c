# Drawn parts in pictures of 160 pixels. The test split is val.
_base_ = './retinanet_lite0_fpn.py'

data_root = 'data/sample-pretrained/'
metainfo = dict(classes=('washer', 'nut', 'gear', 'bolt', 'screw'))
model = dict(bbox_head=dict(num_classes=5))
resize = dict(type='Resize', scale=(160, 160), keep_ratio=True)
train_pipeline = [resize if step.type == 'Resize' else step for step in _base_.train_pipeline]
test_pipeline = [resize if step.type == 'Resize' else step for step in _base_.test_pipeline]
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(img='train/'), pipeline=train_pipeline, **dataset)
)
val_dataloader = dict(
    dataset=dict(
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        pipeline=test_pipeline,
        **dataset,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
