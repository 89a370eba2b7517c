# What is recommended for a few hundred images (docs/results.md): GHM-C three quarters of the way to
# regions of the same total gradient, with weights that never fall as g grows, one density over the
# pyramid, and L1 for the boxes. Put num_classes and your data in, and load_from a detector that has
# been trained on something larger where there is one.
# - outliers: 'keep' is what many classes with few objects each need; with many wrong labels 'damp',
#   or tools/correct_labels.py.
# - loss_weight: 1 goes with SGD, as here; with AdamW 0.25 was better (docs/settings.md).
# - bins and momentum are for 100 positives an iteration or more; docs/settings.md has the rule.
_base_ = './retinanet_r50_fpn_ghm-pyramid-1x_coco.py'

model = dict(
    bbox_head=dict(
        loss_cls=dict(equal='gradient', tempering=0.75, outliers='keep', loss_weight=1.0),
        loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0),
    )
)
