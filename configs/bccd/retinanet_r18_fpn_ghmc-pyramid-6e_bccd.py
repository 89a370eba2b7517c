# GHM-C alone, with one density over all pyramid levels; the boxes are trained by L1.
_base_ = './retinanet_r18_fpn_focal-6e_bccd.py'
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(
        type='GHMRetinaHead',
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            loss_weight=1.0,
        ),
    )
)
