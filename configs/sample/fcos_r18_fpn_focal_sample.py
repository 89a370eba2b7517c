# FCOS with focal loss, with which the configs of FCOS with GHM-C are compared.
_base_ = './_base_/fcos_r18_fpn_sample.py'
