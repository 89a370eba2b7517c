# RTMDet-l with GHM-C in place of quality focal loss, one density for the pyramid.
#
# The lines to change in another config:
#   custom_imports, bbox_head.type, .head, .ignore_avg_factor, .loss_cls
# - head is the type that the config had: RTMDetSepBNHead, or RTMDetHead.
# - The head hands over (label, score) and divides each level's loss, after it has returned, by the
#   sum of the scores, which grows with the batch and its objects. GHM-C is a mean already:
#   ignore_avg_factor leaves the division out, and the loss weight holds for any batch size.
#   Without WholePyramidHead the loss weight has to be about that sum times as large.
# - Loss weight: GHM-C of weight 1 has 0.8 times the gradient of quality focal loss at the features,
#   relative to the gradient of the box loss (docs/heads.md: 0.79 against 0.99, on a small model).
# - bias_correction, because AdamW remembers a first gradient that is 4 times too large.
# - loss_bbox stays: RTMDet regresses decoded boxes, for which GHM-R is not meant.
_base_ = ['mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py', '../_base_/reliable_runtime.py']
default_hooks = dict(_base_.reliable_hooks)
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        type='WholePyramidHead',
        head='RTMDetSepBNHead',
        ignore_avg_factor=True,
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            bias_correction=True,
            loss_weight=1.3,
        ),
    )
)
