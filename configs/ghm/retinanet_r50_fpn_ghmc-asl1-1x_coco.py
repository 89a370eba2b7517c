# GHM-C with authentic smooth L1 for the boxes: the loss of GHM-R without its weights.
_base_ = './retinanet_r50_fpn_ghm-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_bbox=dict(_delete_=True, type='AuthenticSmoothL1Loss', mu=0.02, loss_weight=1.0)
    )
)
