# RetinaNet with GHM-C and GHM-R at the settings behind the published 37.0 AP.
_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)

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
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
