# GHM-C and GHM-R with one density over all levels: a level of a small image has few examples.
_base_ = './_base_/retinanet_r18_fpn_sample.py'
model = dict(
    bbox_head=dict(
        type='GHMRetinaHead',
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            loss_weight=1.0,
        ),
        # With the published mu of 0.02 nearly all boxes of a net trained from scratch count as
        # outliers: their gradient norm is close to 1.
        loss_bbox=dict(
            _delete_=True, type='GHMRLoss', mu=0.2, bins=10, momentum=0.7, loss_weight=8.0
        ),
    )
)
