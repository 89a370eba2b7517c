# Defects of magnetic tiles, with boxes around the outlines of the masks. The test split is val.
_base_ = './retinanet_lite0_fpn.py'

data_root = 'data/tile/'
metainfo = dict(classes=('Blowhole', 'Break', 'Crack', 'Fray', 'Uneven'))
model = dict(bbox_head=dict(num_classes=5))
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dict(ann_file='annotations/instances_val.json', **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
