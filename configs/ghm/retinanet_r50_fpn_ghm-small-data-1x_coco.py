# What was best on a few hundred images (docs/results.md): one density over the pyramid, and regions
# of the same total gradient in both losses. Put num_classes and your data in, and load_from a
# detector that has been trained on something larger where there is one.
# - mu 0.05: the errors of a detector that has seen little are larger than after COCO's 12 epochs.
# - Loss weight 20: the total gradient of the boxes is that of the published 10 at equal weight.
_base_ = './retinanet_r50_fpn_ghm-pyramid-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_cls=dict(equal='gradient'),
        loss_bbox=dict(mu=0.05, equal='gradient', loss_weight=20.0),
    )
)
