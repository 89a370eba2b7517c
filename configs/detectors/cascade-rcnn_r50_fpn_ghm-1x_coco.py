# Cascade R-CNN with GHM-R, and with GHM-C on the softmax of the box heads of all three stages.
#
# The lines to change in another config:
#   custom_imports, roi_head.bbox_head[*].loss_cls, .loss_bbox
# - GHM-R as in cascade-rcnn_r50_fpn_ghmr-1x_coco.py, GHM-C as in
#   faster-rcnn_r50_fpn_ghm-1x_coco.py.
# - Each stage has losses of its own, and with them densities and moving averages of its own.
_base_ = './cascade-rcnn_r50_fpn_ghmr-1x_coco.py'

model = dict(
    roi_head=dict(
        bbox_head=[
            dict(
                stage,
                loss_cls=dict(
                    type='GHMCLoss', use_sigmoid=False, bins=10, momentum=0.75, loss_weight=0.5
                ),
            )
            for stage in _base_.model.roi_head.bbox_head
        ]
    )
)
