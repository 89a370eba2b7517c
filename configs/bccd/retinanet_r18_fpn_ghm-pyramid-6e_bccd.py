# The same losses with one density over all pyramid levels, as in the paper.
_base_ = './retinanet_r18_fpn_ghm-6e_bccd.py'

model = dict(bbox_head=dict(type='GHMRetinaHead'))
# once an epoch, numbers alone, for studies.study_figures density
custom_hooks = [dict(type='GradientDensityHook', interval=26, figure_interval=0)]
