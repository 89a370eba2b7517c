# GHM-C alone. The boxes keep the smooth L1 of the baseline.
_base_ = './retinanet_r50_fpn_ghm-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1.0 / 9.0, loss_weight=1.0)
    )
)
