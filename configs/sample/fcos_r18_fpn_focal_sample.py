# FCOS with focal loss, what the two others are compared with.
_base_ = './_base_/fcos_r18_fpn_sample.py'
