"""Items that depend on the seed, the epoch and the index, however they are loaded."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ghm_mmdet.datasets.seeded_loading import Draw, seed_generators, seed_loading


class RandomItems(Dataset):
    """Items with a draw of each global generator; every third image stands upright."""

    def __getitem__(self, index):
        return [index, random.random(), np.random.rand(), torch.rand(()).item()]

    def __len__(self):
        return 12

    def get_data_info(self, index):
        return dict(width=100, height=200 if index % 3 == 0 else 50)


BATCHES = {'plain': BatchSampler, 'by aspect ratio': AspectRatioBatchSampler}


def loader_of(batches='plain', workers=0, seed=0, sampler=DefaultSampler, entropy=(5,)):
    dataset = RandomItems()
    batch_sampler = BATCHES[batches](sampler(dataset, seed=seed), batch_size=4, drop_last=False)
    loader = DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=list,
    )
    seed_loading(loader, *entropy)
    return loader


def epochs(loader, numbers):
    """Batches of these epochs, as MMEngine's loop and its hook go through them."""
    loaded = []
    for epoch in numbers:
        loader.batch_sampler.sampler.set_epoch(epoch)
        loaded.append(list(loader))
    return loaded


@pytest.mark.parametrize('batches', BATCHES)
@pytest.mark.parametrize('workers', [0, 2])
def test_an_epoch_is_the_same_whatever_was_loaded_before_it(batches, workers):
    all_at_once = epochs(loader_of(batches), range(3))
    assert epochs(loader_of(batches, workers), range(3)) == all_at_once
    torch.rand(7)
    assert epochs(loader_of(batches, workers), [2]) == all_at_once[2:]


def test_no_two_items_and_no_two_epochs_draw_the_same():
    items = [item for epoch in epochs(loader_of(), range(3)) for batch in epoch for item in batch]
    for generator in (1, 2, 3):
        assert len({item[generator] for item in items}) == len(items) == 36


@pytest.mark.parametrize('other', [dict(seed=1), dict(entropy=(6,)), dict(entropy=(5, 1))])
def test_other_seeds_draw_otherwise(other):
    first, second = (
        {item[0]: item[1:] for batch in epochs(each, [0])[0] for item in batch}
        for each in (loader_of(), loader_of(**other))
    )
    assert first.keys() == second.keys()
    assert all(first[index] != second[index] for index in first)


@pytest.mark.skipif(
    not hasattr(InfiniteSampler, 'skip'), reason='this MMEngine loads what it skips'
)
def test_a_loop_without_epochs_goes_on_after_a_skip():
    def take(loader, count):
        iterator = iter(loader)
        return [next(iterator) for _ in range(count)]

    whole = take(loader_of(sampler=InfiniteSampler), 8)
    resumed = loader_of(sampler=InfiniteSampler)
    resumed.batch_sampler.sampler.skip(5 * 4)
    assert take(resumed, 3) == whole[5:]


def test_only_a_sampler_that_can_skip_says_so():
    assert not hasattr(loader_of().batch_sampler.sampler, 'skip')


def test_both_places_of_a_plain_loaders_sampler_are_replaced():
    dataset = RandomItems()
    loader = DataLoader(dataset, batch_size=4, sampler=DefaultSampler(dataset, seed=0))
    seed_loading(loader, 0)
    assert loader.sampler is loader.batch_sampler.sampler
    assert loader.dataset is dataset
    assert len(loader) == 3


def test_draws_are_indices_that_can_be_sent_and_copied():
    draw = Draw(3, (1, 2))
    for other in (pickle.loads(pickle.dumps(draw)), copy.deepcopy(draw)):
        assert (other, other.entropy) == (3, (1, 2))
    sampler = loader_of().batch_sampler.sampler
    assert list(pickle.loads(pickle.dumps(sampler))) == list(sampler)


class Pairs(RandomItems):
    """Items of frames of videos."""

    def __getitem__(self, index):
        return index


class PairSampler(Sampler):
    def __iter__(self):
        return iter([(0, 1), (2, 3)])


def test_indices_that_are_no_numbers_are_handed_through():
    loader = DataLoader(Pairs(), batch_size=2, sampler=PairSampler(), collate_fn=list)
    seed_loading(loader, 0)
    assert list(loader) == [[(0, 1), (2, 3)]]


def test_loaders_without_a_sampler_are_refused():
    loader = DataLoader(RandomItems(), batch_sampler=[[0, 1], [2]])
    with pytest.raises(TypeError, match='list has no sampler'):
        seed_loading(loader, 0)


def test_generators_are_seeded_alike():
    def drawn(*entropy):
        seed_generators(*entropy)
        return random.random(), np.random.rand(), torch.rand(()).item()

    assert drawn(1, 2) == drawn(1, 2)
    assert all(a != b for a, b in zip(drawn(1, 2), drawn(2, 1)))
    # 64 and more bits of a seed count
    assert drawn(2**70) != drawn(2**70 + 1)
