"""How hard each loss of a one-stage detector pulls at the features that its branches share."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.median_error import MedianError


def loss_gradient_norms(model: nn.Module, batches: Iterable[dict]) -> dict[str, float]:
    """L2 norm of each loss's gradient at the neck's outputs, the mean over the batches.

    The balance of classification and boxes: what a loss weight has to keep when another loss takes
    the place of the head's own. Losses are scaled as their moving averages settle to, so that the
    zero from which these start does not count.

    Args:
        model: A one-stage mmdet detector, ``backbone``, ``neck`` and ``bbox_head``. A copy does the
            work.
        batches: What its training dataloader yields.

    Returns:
        Norm by the name of the loss.
    """
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, GHMLoss):
            module.density.momentum = 0  # the counts of the batch itself
        if isinstance(module, MedianError):
            module.momentum = 0
    norms: dict[str, list[float]] = {}
    for batch in batches:
        data = model.data_preprocessor(batch, training=True)
        with torch.no_grad():
            features = model.extract_feat(data['inputs'])
        features = tuple(feature.detach().requires_grad_() for feature in features)
        for name, loss in model.bbox_head.loss(features, data['data_samples']).items():
            if 'loss' in name:
                norms.setdefault(name, []).append(_gradient_norm(loss, features))
    return {name: sum(values) / len(values) for name, values in norms.items()}


def _gradient_norm(loss: Tensor | list[Tensor], features: tuple[Tensor, ...]) -> float:
    total = loss.mean() if isinstance(loss, Tensor) else sum(part.mean() for part in loss)
    gradients = torch.autograd.grad(total, features, retain_graph=True, allow_unused=True)
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    return float(sum(squares)) ** 0.5
