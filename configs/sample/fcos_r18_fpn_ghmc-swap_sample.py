# FCOS with GHM-C swapped in for focal loss, at the settings published for RetinaNet.
_base_ = './_base_/fcos_r18_fpn_sample.py'

model = dict(
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            loss_weight=1.0,
        )
    )
)
