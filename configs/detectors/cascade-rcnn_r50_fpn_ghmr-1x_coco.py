# Cascade R-CNN with GHM-R on the box heads of all three stages.
#
# The lines to change in another config: custom_imports, roi_head.bbox_head[*].loss_bbox.
# - The box heads are a list, one for each stage. A config cannot merge into a list, only replace
#   it, hence the comprehension.
# - Each stage has a loss of its own, and with it a density and a moving average of its own.
# - mu, bins, momentum and loss weight as in faster-rcnn_r50_fpn_ghmr-1x_coco.py. The weights of the
#   stages, 1, 0.5 and 0.25, come on top, as they do with smooth L1. The later stages divide their
#   deltas by smaller standard deviations (0.1, 0.067 and 0.033), so that one mu serves all.
_base_ = ['mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    roi_head=dict(
        bbox_head=[
            dict(
                stage,
                loss_bbox=dict(type='GHMRLoss', mu=0.2, bins=10, momentum=0.7, loss_weight=1.0),
            )
            for stage in _base_.model.roi_head.bbox_head
        ]
    )
)
