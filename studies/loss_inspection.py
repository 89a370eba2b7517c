"""Loss inspection: the losses of a RetinaNet on each annotated object, and on the background."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmcv.ops import nms
from mmdet.models.dense_heads import AnchorHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

SAME_OBJECT = 0.5  # IoU from which two background boxes are one entry
CANDIDATES = 100  # background anchors of a picture, those with the largest losses


@dataclass(frozen=True)
class InspectedLosses:
    """The losses on one picture; those of an object are means over its anchors, 0 without any.

    Attributes:
        classification: Cross entropy of each annotated object, shape (objects,).
        boxes: L1 loss of its encoded boxes, shape (objects,).
        background: Decoded boxes of background anchors in pixels of the file, shape (entries, 4).
        background_losses: Their cross entropy, shape (entries,).
        background_labels: The class with the highest score of each, shape (entries,).
    """

    classification: Tensor
    boxes: Tensor
    background: Tensor
    background_losses: Tensor
    background_labels: Tensor


@torch.no_grad()
def inspect_losses(model: nn.Module, data: dict) -> list[InspectedLosses]:
    """The losses on a batch, by picture.

    Args:
        model: A detector in eval mode whose ``AnchorHead`` has sigmoid outputs.
        data: What its data preprocessor returns: pictures, and samples with annotations.
    """
    head: AnchorHead = model.bbox_head
    levels = head(model.extract_feat(data['inputs']))
    sizes = [level.shape[-2:] for level in levels[0]]
    anchors = torch.cat(head.prior_generator.grid_priors(sizes, device=levels[0][0].device))
    logits, deltas = (
        torch.cat([_by_anchor(level, channels) for level in outputs], 1)
        for outputs, channels in zip(levels, (head.cls_out_channels, 4))
    )
    samples = data['data_samples']
    return [_of_picture(head, anchors, *each) for each in zip(logits, deltas, samples)]


def _by_anchor(level: Tensor, channels: int) -> Tensor:
    """A level of shape (N, A * channels, H, W) as (N, H * W * A, channels)."""
    return level.permute(0, 2, 3, 1).reshape(len(level), -1, channels)


def _of_picture(
    head: AnchorHead, anchors: Tensor, logits: Tensor, deltas: Tensor, sample: DetDataSample
) -> InspectedLosses:
    """The losses of one picture, of its (anchors, classes) logits and (anchors, 4) deltas."""
    objects, ignored = (
        InstanceData(bboxes=get_box_tensor(each.bboxes), labels=each.labels)
        for each in (sample.gt_instances, sample.ignored_instances)
    )
    assigned = head.assigner.assign(InstanceData(priors=anchors), objects, ignored).gt_inds
    positive, negative = assigned > 0, assigned == 0
    owner = assigned[positive] - 1
    targets = torch.zeros_like(logits)
    targets[positive] = one_hot(objects.labels[owner], logits.shape[1]).to(targets)
    entropy = binary_cross_entropy_with_logits(logits, targets, reduction='none').sum(1)
    encoded = head.bbox_coder.encode(anchors[positive], objects.bboxes[owner])
    distance = (deltas[positive] - encoded).abs().sum(1)

    losses, places = entropy.where(negative, -1).topk(min(CANDIDATES, int(negative.sum())))
    zoom = deltas.new_tensor(sample.scale_factor).repeat(2)
    boxes = head.bbox_coder.decode(anchors[places], deltas[places], sample.img_shape) / zoom
    _, kept = nms(boxes, losses, SAME_OBJECT)
    return InspectedLosses(
        _mean_by_object(entropy[positive], owner, len(objects)),
        _mean_by_object(distance, owner, len(objects)),
        boxes[kept],
        losses[kept],
        logits[places[kept]].argmax(1),
    )


def _mean_by_object(losses: Tensor, owner: Tensor, count: int) -> Tensor:
    """Means of anchors' losses, shape (count,), by the index of the object that has an anchor."""
    total = losses.new_zeros(count).index_add(0, owner, losses)
    return total / owner.bincount(minlength=count).clamp(min=1)
