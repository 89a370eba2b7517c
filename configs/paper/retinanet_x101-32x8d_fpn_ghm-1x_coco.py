# The single model of the test-dev table. The schedule is that of the other configs; the paper's is
# not known to us. The backbone's weights were trained on BGR images with a mean of their own.
_base_ = '../ghm/retinanet_r50_fpn_ghm-1x_coco.py'

model = dict(
    data_preprocessor=dict(
        mean=[103.530, 116.280, 123.675], std=[57.375, 57.120, 58.395], bgr_to_rgb=False
    ),
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        base_width=8,
        norm_cfg=dict(type='BN', requires_grad=False),
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnext101_32x8d'),
    ),
)

# tools/test.py writes test-dev.bbox.json for COCO's evaluation server, which alone has the labels.
test_dataloader = dict(
    dataset=dict(
        ann_file='annotations/image_info_test-dev2017.json', data_prefix=dict(img='test2017/')
    )
)
test_evaluator = dict(
    ann_file='data/coco/annotations/image_info_test-dev2017.json',
    format_only=True,
    outfile_prefix='work_dirs/test-dev',
)
