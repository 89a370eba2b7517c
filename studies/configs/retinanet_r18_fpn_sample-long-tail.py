# The sample data's RetinaNet where the first class has 20 times the objects of the last.
_base_ = '../../configs/sample/_base_/retinanet_r18_fpn_sample.py'

data_root = 'data/sample-long-tail/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
