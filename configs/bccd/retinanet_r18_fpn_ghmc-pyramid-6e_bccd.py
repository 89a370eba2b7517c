# GHM-C alone, with one density over all pyramid levels; the boxes are trained by L1.
_base_ = './retinanet_r18_fpn_ghm-pyramid-6e_bccd.py'

model = dict(bbox_head=dict(loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0)))
