# One density over all pyramid levels, as in the paper, instead of one per level.
_base_ = './retinanet_r50_fpn_ghm-1x_coco.py'

model = dict(bbox_head=dict(type='GHMRetinaHead'))
