"""mmcv's CUDA kernels of the sigmoid focal loss, compiled without the rest of mmcv's operators."""
