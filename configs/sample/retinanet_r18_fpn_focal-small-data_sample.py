# Focal loss with gamma 1, better than the published 2 here (docs/studies/from-scratch.md): what
# `make demo` compares GHM-C with.
_base_ = './_base_/retinanet_r18_fpn_sample.py'
model = dict(bbox_head=dict(loss_cls=dict(gamma=1.0)))
