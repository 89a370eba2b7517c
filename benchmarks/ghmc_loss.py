"""Cost of GHM-C beside mmdet's GHMC, mmdet's focal loss and focal loss in plain PyTorch.

python -m benchmarks.ghmc_loss [--full] [--device cuda]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from mmdet.models.losses import GHMC, FocalLoss
from torch import Tensor

from benchmarks.measure import copy_bandwidth, device_name, interleaved
from benchmarks.table import Row, draw, print_rows, write_csv
from ghm_mmdet.losses import GHMCLoss

CLASSES = 80
RESULTS = Path(__file__).parent / 'results'
TARGET_ANCHORS = {'cpu': 200_000, 'cuda': 400_000}
SCALING_EXAMPLES = (10**5, 10**6, 10**7, 10**8)
SCALING_BINS = (10, 30, 100)
OBJECTS_PER_ANCHOR = 0.001


class PlainFocal(torch.nn.Module):
    """Focal loss as a few whole-tensor operations, gamma 2, alpha 0.25."""

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor, avg_factor: float) -> Tensor:
        target = F.one_hot(labels, CLASSES + 1)[:, :CLASSES].to(logits.dtype)
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
        p = logits.sigmoid()
        missing = p + target - 2 * p * target
        balance = 0.25 * target + 0.75 * (1 - target)
        return (balance * missing.square() * entropy * weight.unsqueeze(1)).sum() / avg_factor


def make_input(anchors: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Logits of a half-trained detector, labels with one object in a thousand anchors, weights."""
    generator = torch.Generator(device).manual_seed(0)
    logits = torch.randn(anchors, CLASSES, generator=generator, device=device) * 1.5 - 4
    labels = torch.randint(0, CLASSES, (anchors,), generator=generator, device=device)
    is_object = torch.rand(anchors, generator=generator, device=device) < OBJECTS_PER_ANCHOR
    labels = labels.where(is_object, CLASSES)
    return logits.to(dtype), labels, torch.ones(anchors, device=device)


def forward_backward(
    loss: torch.nn.Module, logits: Tensor, labels: Tensor, weight: Tensor
) -> Callable[[], None]:
    """A call of the loss with its gradient, which is dropped afterwards."""
    leaf = logits.detach().requires_grad_()

    def call() -> None:
        loss(leaf, labels, weight, avg_factor=100.0).backward()
        leaf.grad = None

    return call


def run(anchors: int, bins: int, dtype: torch.dtype, device: torch.device) -> list[Row]:
    """Rows of all contestants on one input."""
    arguments = make_input(anchors, dtype, device)
    losses = {
        'GHM-C': GHMCLoss(use_sigmoid=True, bins=bins, momentum=0.75),
        'GHM-C exact': GHMCLoss(use_sigmoid=True, density='exact', epsilon=1 / bins),
        'mmdet GHMC': GHMC(bins=bins, momentum=0.75),
        'mmdet FocalLoss': FocalLoss(use_sigmoid=True),
        'plain focal': PlainFocal(),
    }
    if dtype != torch.float32:
        del losses['mmdet GHMC']  # it assigns float32 weights into a tensor of the logits' dtype
    contestants = {
        name: forward_backward(loss.to(device), *arguments) for name, loss in losses.items()
    }
    costs = interleaved(contestants, device)
    size = arguments[0].numel() * arguments[0].element_size()
    rows = [
        Row(
            device=device_name(device),
            operation='GHM-C',
            dtype=str(dtype).removeprefix('torch.'),
            examples=arguments[0].numel(),
            bins=bins if 'GHM' in name else 0,
            contestant=name,
            milliseconds=cost.seconds * 1000,
            ratio=cost.seconds / costs['GHM-C'].seconds,
            memory=cost.bytes / size,
        )
        for name, cost in costs.items()
    ]
    floor = 3 * size / copy_bandwidth(device)
    template = rows[0]
    return [
        *rows,
        Row(
            **{
                **vars(template),
                'bins': 0,
                'contestant': 'floor',
                'milliseconds': floor * 1000,
                'ratio': floor / costs['GHM-C'].seconds,
                'memory': 1.0,
            }
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--full', action='store_true', help='the scaling with N and M too, minutes longer'
    )
    args = parser.parse_args()
    device = torch.device(args.device)
    dtypes = [torch.float32] if device.type == 'cpu' else [torch.float32, torch.bfloat16]
    rows = []
    for dtype in dtypes:
        rows += run(TARGET_ANCHORS[device.type], 30, dtype, device)
        print_rows(rows[-6:])
    if args.full:
        scaling = [
            row
            for examples in SCALING_EXAMPLES
            for bins in SCALING_BINS
            for row in run(examples // CLASSES, bins, torch.float32, device)
        ]
        print_rows(scaling)
        path = write_csv(rows + scaling, RESULTS)
        draw(scaling, path.with_suffix('.png'))
    else:
        path = write_csv(rows, RESULTS)
    print(f'written to {path}')


if __name__ == '__main__':
    main()
