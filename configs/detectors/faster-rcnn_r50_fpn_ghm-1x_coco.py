# Faster R-CNN with GHM-R, and with GHM-C on the box head's softmax as well.
#
# The lines to change in another config: custom_imports, roi_head.bbox_head.loss_cls and .loss_bbox.
# - GHM-R as in faster-rcnn_r50_fpn_ghmr-1x_coco.py.
# - use_sigmoid=False: the box head predicts by softmax over C + 1 channels, background among them;
#   one example is one RoI. Sigmoid GHM-C would train unused scores, and is refused.
# - Loss weight 0.5: the sum of |dL/dx| over the logits is about 1 * loss_weight (2g per RoI with
#   softmax). The head does not divide the loss.
# - 10 regions, not 30: the sampler leaves 512 RoIs an image, up to a quarter of them positive, and
#   fewer examples fill fewer regions.
_base_ = ['mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(
                _delete_=True,
                type='GHMCLoss',
                use_sigmoid=False,
                bins=10,
                momentum=0.75,
                loss_weight=0.5,
            ),
            loss_bbox=dict(
                _delete_=True, type='GHMRLoss', mu=0.2, bins=10, momentum=0.7, loss_weight=1.0
            ),
        )
    )
)
