# What is recommended for a few hundred images from scratch with AdamW (docs/settings.md): all
# scores start at 0.5, not at MMDetection's 0.01, which only focal loss needs.
_base_ = './_base_/retinanet_r18_fpn_sample.py'
model = dict(
    bbox_head=dict(
        type='GHMRetinaHead',
        loss_cls=dict(
            _delete_=True,
            type='GHMCLoss',
            use_sigmoid=True,
            bins=30,
            momentum=0.75,
            balance=dict(preset='small-data'),
            loss_weight=0.25,
        ),
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=dict(type='Normal', name='retina_cls', std=0.01, bias_prob=0.5),
        ),
    )
)
