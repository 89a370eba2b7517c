# Frames of films with two kinds of spacecraft. The test split is val.
_base_ = './retinanet_lite0_fpn.py'

data_root = 'data/starwars/'
metainfo = dict(classes=('Millennium Falcon', 'Tie Fighter'))
model = dict(bbox_head=dict(num_classes=2))
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dict(ann_file='annotations/instances_val.json', **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
