"""The GPU's own time of a call, kernel by kernel."""

import pytest
import torch

from benchmarks import device_time


def test_without_a_gpu_there_is_nothing_to_measure(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit, match='no CUDA device'):
        device_time.main([])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_the_gpu_is_busy_with_the_kernels():
    times = device_time.kernel_times(1000, 4, 10)
    assert {'few_regions_kernel', 'harmonize_kernel', 'gradient_kernel'} <= set(times)
