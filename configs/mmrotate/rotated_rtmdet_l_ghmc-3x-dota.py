# Rotated RTMDet-l with GHM-C in place of quality focal loss, one density for the pyramid.
#
# The lines to change in another config:
#   custom_imports, default_hooks, bbox_head.type, .head, .ignore_avg_factor, .loss_cls
# - MMRotate looks up a name without a scope in its own registries; this package is in mmdet's.
# - ignore_avg_factor and the settings are those of configs/detectors for RTMDet; on DOTA they
#   were not measured.
_base_ = 'mmrotate::rotated_rtmdet/rotated_rtmdet_l-3x-dota.py'
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)
default_hooks = dict(harmonized_loss=dict(type='mmdet.HarmonizedLossHook'))

model = dict(
    bbox_head=dict(
        type='mmdet.WholePyramidHead',
        head='RotatedRTMDetSepBNHead',
        ignore_avg_factor=True,
        loss_cls=dict(
            _delete_=True,
            type='mmdet.GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            bias_correction=True,
            loss_weight=1.3,
        ),
    )
)
