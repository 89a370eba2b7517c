# GHM-R alone. The classification keeps focal loss.
_base_ = './retinanet_r50_fpn_focal-smooth-l1-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_bbox=dict(
            _delete_=True, type='GHMRLoss', mu=0.02, bins=10, momentum=0.7, loss_weight=10.0
        )
    )
)
