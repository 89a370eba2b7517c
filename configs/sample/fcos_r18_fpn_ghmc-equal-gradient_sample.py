# GHM-C with regions of the same total gradient. Its loss weight is that of equal weight, 0.3, times
# 2.7, by which the total gradient is smaller.
_base_ = './fcos_r18_fpn_ghmc-swap_sample.py'

model = dict(bbox_head=dict(loss_cls=dict(equal='gradient', loss_weight=0.8)))
