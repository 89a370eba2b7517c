# The gradient density by its definition: counts in a window of 1/30 around each example.
_base_ = '../ghm/retinanet_r50_fpn_ghmc-1x_coco.py'
model = dict(bbox_head=dict(loss_cls=dict(density='exact')))
