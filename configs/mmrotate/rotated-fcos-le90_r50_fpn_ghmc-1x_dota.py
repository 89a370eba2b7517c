# Rotated FCOS with GHM-C in place of focal loss. docs/heads.md shows why a plain swap does badly.
#
# The lines to change in another config: custom_imports, default_hooks, bbox_head.loss_cls.
# - MMRotate looks up a name without a scope in its own registries; this package is in mmdet's.
# - The settings are those of configs/detectors for FCOS; on DOTA they were not measured.
_base_ = 'mmrotate::rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota.py'
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)
default_hooks = dict(harmonized_loss=dict(type='mmdet.HarmonizedLossHook'))

model = dict(
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True,
            type='mmdet.GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            balance=dict(equal='gradient', tempering=0.75),
            loss_weight=0.6,
        ),
    )
)
