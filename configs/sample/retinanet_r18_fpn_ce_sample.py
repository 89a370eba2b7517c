# Plain sigmoid cross entropy: what happens when nothing balances easy and hard examples.
_base_ = './_base_/retinanet_r18_fpn_sample.py'
model = dict(
    bbox_head=dict(
        loss_cls=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)
    )
)
