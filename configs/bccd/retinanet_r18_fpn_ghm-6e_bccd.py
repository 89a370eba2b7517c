# GHM-C and GHM-R at the settings published for COCO, one density per pyramid level.
_base_ = './retinanet_r18_fpn_focal-6e_bccd.py'
model = dict(
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            loss_weight=1.0,
        ),
        loss_bbox=dict(
            _delete_=True, type='GHMRLoss', mu=0.02, bins=10, momentum=0.7, loss_weight=10.0
        ),
    )
)
