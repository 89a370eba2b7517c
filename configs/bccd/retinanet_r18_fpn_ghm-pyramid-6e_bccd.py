# The same losses with one density over all pyramid levels, as in the paper.
_base_ = './retinanet_r18_fpn_ghm-6e_bccd.py'

model = dict(bbox_head=dict(type='GHMRetinaHead'))
# the hook writes numbers once an epoch, for `studies.study_figures density`, and no figures
custom_hooks = [dict(type='GradientDensityHook', interval=26, figure_interval=0)]
