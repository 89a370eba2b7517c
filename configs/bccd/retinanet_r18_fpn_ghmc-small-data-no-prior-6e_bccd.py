# What is recommended for a few hundred images with AdamW: all scores start at 0.5, not at
# MMDetection's 0.01, which only focal loss needs.
_base_ = './retinanet_r18_fpn_ghmc-small-data-6e_bccd.py'

model = dict(
    bbox_head=dict(
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=dict(type='Normal', name='retina_cls', std=0.01, bias_prob=0.5),
        )
    )
)
