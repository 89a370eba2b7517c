"""Measures the GPU's own time in a call of GHM-C, by kernel; the rest of the time is the host's.

python -m benchmarks.device_time [--anchors 400000] [--classes 80] [--bins 30]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from operator import itemgetter

import torch
from torch.profiler import ProfilerActivity, profile

from ghm_mmdet.losses import GHMCLoss

CALLS = 10


def kernel_times(anchors: int, classes: int, bins: int) -> dict[str, float]:
    """Microseconds per call of each kernel, forward and backward, the longest first."""
    loss = GHMCLoss(use_sigmoid=True, bins=bins, momentum=0.75).cuda()
    logits = torch.randn(anchors, classes, device='cuda').mul_(1.5).sub_(4.6).requires_grad_()
    labels = torch.full((anchors,), classes, device='cuda')
    for _ in range(CALLS):
        loss(logits, labels).backward()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(CALLS):
            logits.grad = None
            loss(logits, labels).backward()
        torch.cuda.synchronize()
    events = profiler.key_averages()
    times = {event.key: event.self_device_time_total / CALLS for event in events}
    # the events include calls of the runtime, without time on the device
    return dict(sorted(filter(itemgetter(1), times.items()), key=itemgetter(1), reverse=True))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (('anchors', 400_000), ('classes', 80), ('bins', 30)):
        parser.add_argument(f'--{name}', type=int, default=default, help='(%(default)s)')
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.exit('no CUDA device: there is nothing to measure')
    print(torch.cuda.get_device_name())
    for name, microseconds in kernel_times(**vars(args)).items():
        print(f'{microseconds:9.1f} us  {name[:80]}')


if __name__ == '__main__':
    main()
