# GHM-C on a few hundred images, from pretrained weights: three quarters of the way to regions of
# the same total gradient, with weights that never fall as g grows, one density over the pyramid,
# AdamW, L1 for the boxes. docs/own-data.md has a config for your own data that inherits from this
# one, and docs/results.md says what to expect.
# - Beside it: retinanet_r50_fpn_focal-small-data.py, focal loss under the same schedule.
# - balance: 'small-data' keeps outliers, which many classes with few objects each need; with many
#   wrong labels set balance.outliers='damp', or use tools/correct_labels.py.
# - gamma: the loss falls as the positives are learned, so that it leaves more to the boxes.
# - bins and momentum are for 100 positives an iteration or more; docs/settings.md has the rule.
_base_ = './retinanet_r50_fpn_focal-small-data.py'

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
            gamma=1.0,
        ),
    )
)
