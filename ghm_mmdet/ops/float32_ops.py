"""Direct back end for devices that may have no float64, such as Apple's MPS.

The operations are those of the reference, except that losses and weights are added in
the dtype in which the losses are computed: float32, or float64 for a prediction of float64. A
float32 running sum stops growing once it is 2^24 times its next term, so the losses are added in
chunks, and then the chunks. As no loss is negative, the relative error of a region's sum is below
2^-24 times the size of a chunk: 3e-5 up to 511 regions. This error is in the value of the loss
and not in the gradient, which depends on the counts, and these are integers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import Criterion, working_dtype
from ghm_mmdet.ops import reference
from ghm_mmdet.ops.examples import Examples, RegionSums

CHUNK = 512  # examples

gradient = reference.gradient


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient."""
    dtype = working_dtype(examples.prediction)
    return reference.sums_added_by(_sum_in_chunks, dtype, criterion, examples, edges)


def _sum_in_chunks(values: Tensor, index: Tensor, edges: Tensor) -> Tensor:
    """See :func:`ghm_mmdet.ops.reference.sum_by_index`."""
    regions = edges.numel()
    # larger chunks for more regions, so that the sums take no more memory than the values
    chunk = torch.arange(values.numel(), device=values.device) // max(CHUNK, regions)
    chunks = values.numel() // max(CHUNK, regions) + 1
    sums = values.new_zeros(chunks * regions)
    sums.scatter_add_(0, chunk * regions + index.flatten(), values.flatten())
    return sums.view(chunks, regions).sum(0)[:-1]
