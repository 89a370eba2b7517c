# Three quarters of the way from cross entropy to GHM-C.
_base_ = './retinanet_r18_fpn_ghmc-pyramid-6e_bccd.py'

model = dict(bbox_head=dict(loss_cls=dict(balance=dict(tempering=0.75))))
