"""Makes the augmentation of each item depend on the seed, the epoch and the item only.

A data loader's workers draw from generators that go on from image to image, and nothing saves
their state. Here the sampler hands out its indices with their place in the order, and the
generators are seeded by them for each item of the data set.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ghm_mmdet.datasets.findings import DataError
from ghm_mmdet.datasets.image_files import is_undecodable


def seed_generators(*entropy: int) -> None:
    """Seed Python's, NumPy's and torch's global generators with non-negative numbers."""
    words = np.random.SeedSequence(entropy).generate_state(8)
    np.random.seed(words[:4])
    random.seed(words[4:6].tobytes())
    torch.manual_seed(int(words[6:].view(np.uint64)[0]) >> 1)


class Draw(int):
    """The index of an item, with the numbers that seed its augmentation."""

    entropy: tuple[int, ...]

    def __new__(cls, index: int, entropy: tuple[int, ...]) -> Draw:
        draw = super().__new__(cls, index)
        draw.entropy = entropy
        return draw

    def __reduce__(self) -> tuple:
        return Draw, (int(self), self.entropy)


class DrawSampler(Sampler):
    """Wraps a sampler and turns its integer indices into draws.

    Args:
        sampler: Gives the order, of an epoch (``set_epoch``) or without an end (``skip``).
        entropy: Numbers that the seeds of all draws begin with.
    """

    def __init__(self, sampler: Sampler, entropy: tuple[int, ...]) -> None:
        self.sampler = sampler
        self.entropy = entropy
        self._skipped = 0

    def __iter__(self) -> Iterator[Draw]:
        epoch = getattr(self.sampler, 'epoch', 0)
        for place, index in enumerate(self.sampler, start=self._skipped):
            # mmdet's samplers of videos give pairs
            is_number = isinstance(index, Integral)
            yield Draw(index, (*self.entropy, epoch, place, index)) if is_number else index

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> object:
        # while it is copied, names are looked up before it has a sampler
        if name == 'sampler':
            raise AttributeError(name)
        return getattr(self.sampler, name)

    @property
    def skip(self) -> Callable[[int], None]:
        """The sampler's own ``skip``, which loops without epochs call, counted."""
        skip = self.sampler.skip

        def skip_and_count(num_samples: int) -> None:
            skip(num_samples)
            self._skipped = num_samples

        return skip_and_count


class SeededItems:
    """Makes each item of a data set with generators that its draw has seeded.

    It is installed as the data set's ``__getitems__``: the data loader calls it, and hooks still
    find and change the original data set.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[Draw | object]) -> list:
        return [self._item(index) for index in indices]

    def _item(self, index: Draw | object) -> object:
        if isinstance(index, Draw):
            seed_generators(*index.entropy)
            index = int(index)
        try:
            return self.dataset[index]
        except Exception as error:
            if not (isinstance(error, OSError) or is_undecodable(error)):
                raise
            text = ' '.join(str(error).split())
            raise DataError(f'{self._name(index)}: cannot be loaded: {text}') from error

    def _name(self, index: object) -> str:
        try:
            return self.dataset.get_data_info(index)['img_path']
        except (AttributeError, KeyError, TypeError):
            return f'item {index}'


def seed_loading(loader: DataLoader, *entropy: int) -> None:
    """Make each item that a data loader loads a function of the seed, the epoch and the item.

    Args:
        loader: It must not have begun to load; changed in place.
        *entropy: Non-negative numbers, among them the seed, and with several ranks the rank.

    Raises:
        TypeError: Its batches are not made from the indices of one sampler.
        AttributeError: Its data set takes no attributes, for example because it is a list.
    """
    batches = loader.batch_sampler
    if not isinstance(getattr(batches, 'sampler', None), Sampler):
        raise TypeError(f'{type(batches).__name__} has no sampler that indices could be taken from')
    loader.dataset.__getitems__ = SeededItems(loader.dataset)
    own = batches.sampler is loader.sampler
    batches.sampler = DrawSampler(batches.sampler, entropy)
    if own:
        # DataLoader refuses an assignment, but the loop reads the sampler here, too
        vars(loader)['sampler'] = batches.sampler
