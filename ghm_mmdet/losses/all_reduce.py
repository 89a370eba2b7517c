"""One density for all ranks of a distributed training.

A density needs only the counts, and counts of ranks can be added. The loss of a rank is its own
examples' share of the mean over all ranks. DistributedDataParallel averages the ranks' gradients,
so each rank's loss is scaled by the number of ranks: the average is then the gradient of the whole
batch.
"""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from ghm_mmdet.ops import RegionSums
from ghm_mmdet.ops.compiling import custom_op


def over_ranks(sums: RegionSums) -> RegionSums:
    """Add up the counts of all ranks in one small all-reduce; the loss sums stay the rank's own.

    Every rank has to call this in the same iteration, with or without examples.

    Args:
        sums: Of this rank.
    """
    regions = sums.counts.numel()
    # float64 holds counts up to 2^53
    mine = torch.cat(
        [
            each.detach().double().reshape(-1)
            for each in (sums.counts, sums.weight_sum, sums.nonfinite)
        ]
    )
    counts, (weight_sum, nonfinite) = sum_over_ranks(mine).split([regions, 2])
    return sums.changed(
        counts=counts.to(sums.counts.dtype),
        weight_sum=weight_sum.to(sums.weight_sum.dtype),
        nonfinite=nonfinite.to(sums.nonfinite.dtype),
    )


# An operator, so that a compiled graph sees one opaque node.
@custom_op('ghm_mmdet::sum_over_ranks', mutates_args=(), schema='(Tensor values) -> Tensor')
def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of a small tensor over all ranks, each of which has to call this."""
    total = values.clone()
    all_reduce(total)
    return total


@sum_over_ranks.register_fake
def _(values):
    return torch.empty_like(values)
