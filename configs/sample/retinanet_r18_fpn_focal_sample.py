# The baseline that RetinaNet is known with: focal loss and L1.
_base_ = './_base_/retinanet_r18_fpn_sample.py'
