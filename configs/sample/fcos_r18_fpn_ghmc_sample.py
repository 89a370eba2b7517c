# FCOS with GHM-C, at a loss weight that keeps focal loss's balance with the box losses.
_base_ = './fcos_r18_fpn_ghmc-swap_sample.py'

model = dict(bbox_head=dict(loss_cls=dict(loss_weight=0.3)))
