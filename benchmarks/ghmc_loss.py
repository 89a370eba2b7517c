"""Cost of GHM-C compared with mmdet's GHMC, mmdet's focal loss and focal loss in plain PyTorch.

python -m benchmarks.ghmc_loss [--device cuda] [--backend triton] [--quick] [--results FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from mmdet.models.losses import GHMC, FocalLoss

from benchmarks.command_line import Options, read_options
from benchmarks.comparison import Comparison
from benchmarks.contestants import (
    Batch,
    CompiledFocal,
    Contestant,
    MMDetPythonFocal,
    PlainFocal,
    first_usable,
)
from benchmarks.plot import draw
from benchmarks.table import Row, write_csv
from ghm_mmdet.losses import GHMCLoss

CLASSES = 80
BINS = 30
SCALING_BINS = (10, BINS, 100)
SCALING_EXAMPLES = (10**5, 10**6, 10**7, 10**8)
QUICK_EXAMPLES = (800, 8000)
# Anchors of one call, the size of the project's targets.
TARGET_EXAMPLES = {'cpu': 200_000 * CLASSES, 'cuda': 400_000 * CLASSES}
DTYPES = {'cpu': (torch.float32,), 'cuda': (torch.float32, torch.bfloat16)}
OBJECTS_PER_ANCHOR = 0.001
# For the input, its gradient, and the temporaries of making it.
LEAST_MEMORY = 3


def make_batch(examples: int, dtype: torch.dtype, device: torch.device) -> Batch:
    """Logits of a half-trained detector, labels with one object in a thousand anchors."""
    generator = torch.Generator(device).manual_seed(0)
    anchors = examples // CLASSES
    logits = torch.randn(anchors, CLASSES, generator=generator, device=device).mul_(1.5).sub_(4)
    labels = torch.randint(0, CLASSES, (anchors,), generator=generator, device=device)
    is_object = torch.rand(anchors, generator=generator, device=device) < OBJECTS_PER_ANCHOR
    logits = logits.to(dtype)
    return Batch(
        label=f'{anchors:,} anchors x {CLASSES} classes',
        prediction=logits,
        target=labels.where(is_object, CLASSES),
        weight=torch.ones(anchors, device=device),
        floor_bytes=3 * logits.nbytes,  # read for the sums, read for the gradient, write it
    )


def our_loss(bins: int) -> Contestant:
    return Contestant('GHM-C', partial(GHMCLoss, use_sigmoid=True, bins=bins, momentum=0.75), bins)


def contestants(unit: Contestant, sample: Batch) -> list[Contestant]:
    """All contestants that run here, for every M at which they are measured, with ``unit``."""
    exact = partial(GHMCLoss, use_sigmoid=True, bins=BINS, density='exact')
    theirs = [
        Contestant('mmdet GHMC', partial(GHMC, bins=bins, momentum=0.75), bins)
        for bins in SCALING_BINS
    ]
    focal = Contestant('mmdet FocalLoss', partial(FocalLoss, use_sigmoid=True))
    alternatives = [
        [unit],
        *([our_loss(bins)] for bins in SCALING_BINS if bins != unit.bins),
        [Contestant('GHM-C exact', exact, BINS)],
        *([each, each.in_float32()] for each in theirs),
        [focal, focal.in_float32(), Contestant(f'{focal.name} (PyTorch)', MMDetPythonFocal)],
        [Contestant('plain focal', PlainFocal)],
        # on a CPU it would need a compiler, and is not competitive
        *([[Contestant('compiled focal', CompiledFocal)]] if sample.prediction.is_cuda else []),
    ]
    usable = (first_usable(each, sample) for each in alternatives)
    return [each for each in usable if each is not None]


def run(options: Options) -> list[Row]:
    """All rows: the sizes of the scaling with every M, the size of the targets with the usual M."""
    device = options.machine.device
    scaling = QUICK_EXAMPLES if options.quick else SCALING_EXAMPLES
    target = () if options.quick else (TARGET_EXAMPLES[device.type],)
    rows = []
    for dtype in DTYPES[device.type]:
        sizes = sorted({*scaling, *target})
        unit = our_loss(BINS)
        everyone = contestants(unit, make_batch(QUICK_EXAMPLES[0], dtype, device))
        comparison = Comparison('GHM-C', unit, options.machine)
        for examples in sizes:
            needed = LEAST_MEMORY * examples * dtype.itemsize
            if needed > options.machine.available_memory():
                print(f'{examples:,} examples are left out, they need {needed / 2**30:.1f} GiB')
                continue
            chosen = [each for each in everyone if examples in scaling or each.bins in (None, BINS)]
            comparison.run(chosen, make_batch(examples, dtype, device))
            if options.results:  # so that an interrupted run has results
                write_csv(rows + comparison.rows, options.results)
        rows += comparison.rows
    return rows


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    options = read_options(__doc__, arguments)
    rows = run(options)
    if options.results:
        path = write_csv(rows, options.results)
        draw(rows, path.with_suffix('.png'))
        print(f'\nwritten to {path} and {path.with_suffix(".png").name}')
    return rows


if __name__ == '__main__':
    main()
