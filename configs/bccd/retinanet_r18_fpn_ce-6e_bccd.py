# Cross entropy: nothing is balanced.
_base_ = './retinanet_r18_fpn_focal-6e_bccd.py'

model = dict(
    bbox_head=dict(loss_cls=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True))
)
