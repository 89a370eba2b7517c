"""Passes a detector over a data set and collects gradient norms and suspicious annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from ghm_mmdet.datasets.tolerant_loading import MARK
from ghm_mmdet.diagnosis.loss_reader import loss_readers
from ghm_mmdet.diagnosis.recorder import LossRecord, LossRecorder

from .label_errors import (
    Suspect,
    annotated_suspects,
    badly_placed_suspects,
    unannotated_suspects,
    unseen_suspects,
    worst,
)


@dataclass
class Survey:
    """The results of a pass.

    Attributes:
        records: Of each loss's calls, by its name.
        annotated: The annotated objects with the largest gradient norms, largest first.
        unannotated: The same for detections where nothing is annotated.
        badly_placed: The same for annotated objects that the model sees beside their box.
        unseen: The same for annotated objects where the model sees nothing.
        images: Number of pictures.
        objects: Number of annotated objects.
    """

    records: dict[str, LossRecord] = field(default_factory=dict)
    annotated: list[Suspect] = field(default_factory=list)
    unannotated: list[Suspect] = field(default_factory=list)
    badly_placed: list[Suspect] = field(default_factory=list)
    unseen: list[Suspect] = field(default_factory=list)
    images: int = 0
    objects: int = 0


@torch.no_grad()
def survey(
    model: nn.Module,
    batches: Iterable[dict],
    num_classes: int,
    bins: int,
    mu: float,
    keep: int,
) -> Survey:
    """Run a data set through a detector, whatever losses it was trained with.

    Args:
        model: An mmdet detector; it is put into eval mode and its state does not change.
        batches: Of a dataloader, with boxes resized with the pictures.
        num_classes: C.
        bins: M, regions of [0, 1].
        mu: Of authentic smooth L1, for box losses without a mu.
        keep: Length of each list of suspects.
    """
    model.eval()
    found = Survey()
    with LossRecorder(loss_readers(model, bins, mu)) as recorder:
        for batch in decodable(batches):
            recorder.start_iteration()
            data = model.data_preprocessor(batch, training=False)
            # alone, not its parts: DETRs hand their head what a loss needs in training only
            model.training = True
            model(**data, mode='loss')
            model.training = False
            for sample in model(**data, mode='predict'):
                annotated = annotated_suspects(sample, num_classes)
                lists = {
                    'annotated': annotated,
                    'unannotated': unannotated_suspects(sample),
                    'badly_placed': badly_placed_suspects(sample),
                    'unseen': unseen_suspects(sample, num_classes),
                }
                for name, suspects in lists.items():
                    setattr(found, name, worst(getattr(found, name) + suspects, keep))
                found.images += 1
                found.objects += len(annotated)
    found.records = recorder.records()
    return found


def decodable(batches: Iterable[dict[str, list]]) -> Iterator[dict[str, list]]:
    """Batches of a test without the items whose own picture is undecodable, where any are left."""
    for batch in batches:
        kept = [place for place, sample in enumerate(batch['data_samples']) if MARK not in sample]
        if kept:
            yield {key: [values[place] for place in kept] for key, values in batch.items()}
