# Baseline: plain sigmoid cross entropy, neither focused nor harmonized.
_base_ = './retinanet_r50_fpn_focal-smooth-l1-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_cls=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)
    )
)
