// mmcv's CUDA sources include this name, under which newer releases of PyTorch no longer ship it.
#pragma once
#include <ATen/cuda/Atomic.cuh>
