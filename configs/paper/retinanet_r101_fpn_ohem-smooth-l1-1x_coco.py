# OHEM over cross entropy, with ResNet-101 as in the paper's row. How many anchors it kept is not
# known to us; SSD's rule is used: all positives, and three times as many of the hardest negatives.
_base_ = '../ghm/retinanet_r50_fpn_ce-smooth-l1-1x_coco.py'

model = dict(
    backbone=dict(
        depth=101, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')
    ),
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True,
            type='OHEMLoss',
            use_sigmoid=True,
            loss=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
            negatives_per_positive=3,
        )
    ),
)
