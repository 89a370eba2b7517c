# Every region has the same total gradient, not the same total weight. The loss weight keeps focal
# loss's balance with the boxes (docs/settings.md).
_base_ = './retinanet_r18_fpn_ghmc-pyramid-6e_bccd.py'

model = dict(bbox_head=dict(loss_cls=dict(balance=dict(equal='gradient'), loss_weight=0.25)))
