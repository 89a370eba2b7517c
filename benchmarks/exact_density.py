"""Exact against unit-region density on a trained detector's own examples.

python -m benchmarks.exact_density CONFIG CHECKPOINT
"""

from __future__ import annotations

import argparse
import tempfile

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor

from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.method.density import region_edges, region_index, valid_length

BINS = 30
EXAMPLES = 1_000_000


def collect(config: str, checkpoint: str) -> tuple[Tensor, Tensor]:
    """Logits and labels of all valid anchors over enough training batches for ``EXAMPLES``."""
    cfg = Config.fromfile(config)
    cfg.update(load_from=checkpoint, log_level='ERROR', work_dir=tempfile.mkdtemp())
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    model, calls = runner.model, []

    def record(_loss, arguments):
        logits, labels, weight = arguments[:3]
        calls.append((logits[weight > 0], labels[weight > 0]))

    model.bbox_head.loss_cls.register_forward_pre_hook(record)
    with torch.no_grad():
        for batch in runner.train_dataloader:
            model(**model.data_preprocessor(batch, training=True), mode='loss')
            if sum(logits.numel() for logits, _ in calls) >= EXAMPLES:
                break
    logits, labels = (torch.cat(parts) for parts in zip(*calls))
    return logits, labels


def exact_gradient_density(gradient_norm: Tensor, epsilon: float) -> Tensor:
    """GD(g_i) (paper, "Gradient Density") for each of N examples, by sorting, O(N log N).

    This is the definition itself, with which the tests of ``ExactDensity`` compare it.

    Args:
        gradient_norm: g, shape (N,), float32 or float64.
        epsilon: Width of the window, in (0, 1].

    Returns:
        Shape (N,): examples with g_i - eps/2 <= g_k < g_i + eps/2, over the window's valid length.
    """
    ordered = gradient_norm.sort().values
    below_upper = torch.searchsorted(ordered, gradient_norm + epsilon / 2)
    below_lower = torch.searchsorted(ordered, gradient_norm - epsilon / 2)
    return (below_upper - below_lower) / valid_length(gradient_norm, epsilon)


def definition(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of loss / GD per region in float64: unit regions and sorting; and the counts."""
    target = F.one_hot(labels, logits.size(1) + 1)[:, :-1].double()
    norm = (logits.double().sigmoid() - target).abs().flatten()
    loss = F.binary_cross_entropy_with_logits(logits.double(), target, reduction='none').flatten()
    region = region_index(norm, region_edges(BINS))
    counts = torch.bincount(region, minlength=BINS)
    exact = exact_gradient_density(norm, 1 / BINS)
    sums = [
        torch.zeros(BINS, dtype=torch.float64).index_add_(0, region, loss / density)
        for density in (counts[region] * BINS, exact)
    ]
    return sums[0], sums[1], counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    args = parser.parse_args()
    logits, labels = collect(args.config, args.checkpoint)
    exact = GHMCLoss(use_sigmoid=True, bins=BINS, density='exact')(logits, labels).item()
    print(f'{logits.numel():,} examples; exact density, fine histogram: {exact:.5f}')
    for form in ('paper', 'mmdet'):
        unit = GHMCLoss(use_sigmoid=True, bins=BINS, density=form)(logits, labels).item()
        print(f'{BINS} regions, density {form!r}: {unit:.5f}, exact is {exact / unit - 1:+.1%}')
    by_region, by_sorting, counts = definition(logits, labels)
    print(f'exact density, sorted in float64: {by_sorting.sum():.5f}')
    print('region  examples  unit    exact')
    for region, count in enumerate(counts.tolist()):
        if count:
            print(f'{region:6} {count:9,}  {by_region[region]:.4f}  {by_sorting[region]:.4f}')


if __name__ == '__main__':
    main()
