# Every region has the same total gradient, not the same total weight.
_base_ = './retinanet_r18_fpn_ghmc-pyramid-6e_bccd.py'

model = dict(bbox_head=dict(loss_cls=dict(equal='gradient')))
