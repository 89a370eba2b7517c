# Photographs of four kinds of microcontrollers. The test split is val.
_base_ = './retinanet_lite0_fpn.py'

data_root = 'data/controllers/'
metainfo = dict(classes=('Arduino_Nano', 'ESP8266', 'Heltec_ESP32_Lora', 'Raspberry_Pi_3'))
model = dict(bbox_head=dict(num_classes=4))
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dict(ann_file='annotations/instances_val.json', **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=20, val_interval=4)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=20, milestones=[16])
