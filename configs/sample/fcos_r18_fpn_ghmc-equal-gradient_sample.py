# GHM-C with regions of the same total gradient, at the loss weight that keeps focal loss's balance
# with the boxes.
_base_ = './fcos_r18_fpn_ghmc-swap_sample.py'

model = dict(bbox_head=dict(loss_cls=dict(equal='gradient', loss_weight=0.8)))
