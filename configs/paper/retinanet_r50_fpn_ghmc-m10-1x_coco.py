_base_ = '../ghm/retinanet_r50_fpn_ghmc-1x_coco.py'
model = dict(bbox_head=dict(loss_cls=dict(bins=10)))
