# The hooks that make a training reliable (docs/reliability.md), for any config to inherit:
#
#   _base_ = ['mmdet::atss/atss_r50_fpn_1x_coco.py', 'ghm_mmdet::_base_/reliable_runtime.py']
#   default_hooks = dict(_base_.reliable_hooks)
#
# - The second line is needed because MMEngine lets no two bases have the same key, and every config
#   of MMDetection has default_hooks. The checkpoint hook keeps the arguments that it has there.
# - All of them are in default_hooks, because a config's custom_hooks replace those of its base.
custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)
reliable_hooks = dict(
    checkpoint=dict(type='AtomicCheckpointHook'),
    broken_picture=dict(type='BrokenPictureHook'),
    exact_resume=dict(type='ExactResumeHook'),
    harmonized_loss=dict(type='HarmonizedLossHook'),
)
