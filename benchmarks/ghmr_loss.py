"""Cost of GHM-R compared with mmdet's GHMR and SmoothL1Loss, on two inputs as heads hand them over.

python -m benchmarks.ghmr_loss [--device cuda] [--backend triton] [--quick] [--results FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from mmdet.models.losses import GHMR, SmoothL1Loss

from benchmarks.command_line import Options, read_options
from benchmarks.comparison import Comparison
from benchmarks.contestants import Batch, Contestant, first_usable
from benchmarks.table import Row, written
from ghm_mmdet.losses import GHMRLoss

BINS = 10
ALL_BINS = (BINS, 30, 100)
FEW_BOXES = 256
ALL_ANCHORS = {'cpu': 200_000, 'cuda': 400_000}
QUICK_ANCHORS = 2000
POSITIVE = 0.005
DTYPES = {'cpu': (torch.float32,), 'cuda': (torch.float32, torch.bfloat16)}


def make_batch(boxes: int, positive: float, dtype: torch.dtype, device: torch.device) -> Batch:
    """Deltas of boxes; a fraction has weight 1 and the others 0, as AnchorHead passes them.

    The floor reads the weights twice and writes the gradient. Where the weight is not 0 it also
    reads predictions and targets twice. Few boxes have no floor, because launches count there.
    """
    generator = torch.Generator(device).manual_seed(0)
    target = torch.randn(boxes, 4, generator=generator, device=device) * 0.5
    error = torch.randn(boxes, 4, generator=generator, device=device) * 0.1
    drawn = torch.rand(boxes, generator=generator, device=device)
    weight = (drawn < positive).float().unsqueeze(1).repeat(1, 4)
    prediction = (target + error).to(dtype)
    each, once = 2 * weight.nbytes + prediction.nbytes, prediction.nbytes + target.nbytes
    share = f'{positive:.1%} of weight 1' if positive < 1 else 'all of weight 1'
    return Batch(
        label=f'{boxes:,} boxes x 4, {share}',
        prediction=prediction,
        target=target,
        weight=weight,
        floor_bytes=each + 2 * positive * once if boxes > FEW_BOXES else None,
    )


def our_loss(bins: int) -> Contestant:
    return Contestant('GHM-R', partial(GHMRLoss, mu=0.02, bins=bins, momentum=0.7), bins)


def contestants(unit: Contestant, sample: Batch) -> list[Contestant]:
    """All contestants that run here, for every M at which they are measured, with ``unit``."""
    theirs = [
        Contestant('mmdet GHMR', partial(GHMR, mu=0.02, bins=bins, momentum=0.7), bins)
        for bins in ALL_BINS
    ]
    alternatives = [
        [unit],
        *([our_loss(bins)] for bins in ALL_BINS if bins != unit.bins),
        *([each, each.in_float32()] for each in theirs),
        [Contestant('mmdet SmoothL1Loss', partial(SmoothL1Loss, beta=1 / 9))],
    ]
    usable = (first_usable(each, sample) for each in alternatives)
    return [each for each in usable if each is not None]


def run(options: Options) -> list[Row]:
    device = options.machine.device
    anchors = QUICK_ANCHORS if options.quick else ALL_ANCHORS[device.type]
    rows = []
    for dtype in DTYPES[device.type]:
        few = make_batch(FEW_BOXES, 1.0, dtype, device)
        unit = our_loss(BINS)
        everyone = contestants(unit, few)
        comparison = Comparison('GHM-R', unit, options.machine)
        comparison.run(everyone, few)
        comparison.run(everyone, make_batch(anchors, POSITIVE, dtype, device))
        rows += comparison.rows
    return rows


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    options = read_options(__doc__, arguments)
    return written(run(options), options.results)


if __name__ == '__main__':
    main()
