# FCOS with GHM-C, three quarters of the way to regions of the same total gradient, at half of the
# loss weight (docs/heads.md).
_base_ = './fcos_r18_fpn_ghmc_sample.py'

model = dict(
    bbox_head=dict(loss_cls=dict(balance=dict(equal='gradient', tempering=0.75), loss_weight=0.15))
)
