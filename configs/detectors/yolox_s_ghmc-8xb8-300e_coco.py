# YOLOX-s with GHM-C on the objectness, its dense term.
#
# The lines to change in another config: custom_imports, bbox_head.loss_obj.
# - loss_cls stays: YOLOX calls it with the positives alone, so there is no background to harmonize.
#   loss_obj sees every location of the batch once, as one class: it is where GHM-C belongs.
# - reduction='sum', because the head divides what comes back by the number of positives: that makes
#   N / positives times the mean, N being the number of locations of the batch. So the loss weight
#   is about twice the share of positive locations, whatever the batch size. SimOTA picks up to 10
#   locations per object: with 84 of the 8,400 of a 640 x 640 image that share is 1%, an estimate
#   for COCO with mosaic that was not measured there.
# - bias_correction: without it the first weights would be 4 times too large.
# - loss_bbox stays: YOLOX regresses decoded boxes, for which GHM-R is not meant.
_base_ = ['mmdet::yolox/yolox_s_8xb8-300e_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        loss_obj=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            bias_correction=True,
            reduction='sum',
            loss_weight=0.02,
        )
    )
)
