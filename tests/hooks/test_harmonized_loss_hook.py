"""Accumulated gradients, and NaN in a training: counted, skipped, and ended when it goes on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmdet.models.losses import CrossEntropyLoss
from mmengine._strategy.deepspeed import DeepSpeedOptimWrapper
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn

from ghm_mmdet.hooks import harmonized_loss_hook
from ghm_mmdet.hooks.harmonized_loss_hook import HarmonizedLossHook, NonfiniteTraining
from ghm_mmdet.losses import GHMCLoss

LEVELS = 2
CLASSES = 3


class Levels(BaseModel):
    """A linear head that calls its loss once per level."""

    def __init__(self, **loss):
        super().__init__()
        self.linear = nn.Linear(4, CLASSES)
        self.loss_cls = GHMCLoss(use_sigmoid=True, bins=5, momentum=0.5, **loss)
        self.weights = []

    def forward(self, features, labels, mode='loss'):
        self.weights.append(self.linear.weight.detach().clone())
        calls = zip(torch.cat(features, dim=1), torch.cat(labels, dim=1))
        return {'loss_cls': [self.loss_cls(self.linear(each), label) for each, label in calls]}


class OtherLoss(Levels):
    """The same without a harmonized loss."""

    def __init__(self):
        super().__init__()
        self.loss_cls = CrossEntropyLoss(use_sigmoid=True)


def batches(iterations, poison=()):
    """One sample an iteration; poison names (iteration, level) whose first feature is NaN."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for iteration in range(iterations):
        features = torch.randn(LEVELS, 40, 4, generator=generator)
        for level in (level for at, level in poison if at == iteration):
            features[level, 0, 0] = float('nan')
        labels = torch.randint(0, CLASSES + 1, (LEVELS, 40), generator=generator)
        samples.append(dict(features=features, labels=labels))
    return samples


def train(folder, samples, accumulated=1, hook=None, hooks=1, model=Levels, **loss):
    torch.manual_seed(0)
    runner = Runner(
        model=model(**loss),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=1,
            dataset=samples,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
            accumulative_counts=accumulated,
            clip_grad=dict(max_norm=35),
        ),
        default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='HarmonizedLossHook', **(hook or dict(interval=1)))] * hooks,
        experiment_name=folder.name,
        log_level='ERROR',
        default_scope='mmdet',
        cfg=Config(),
    )
    runner.train()
    return runner


def counts_of(model, sample):
    """R_j of each level of a sample."""
    found = []
    for features, labels in zip(sample['features'], sample['labels']):
        loss = GHMCLoss(use_sigmoid=True, bins=5)
        loss(model.linear(features), labels)
        found.append(loss.statistics.counts.float())
    return found


@pytest.mark.parametrize('accumulated', [1, 2, 3])
def test_the_average_changes_once_per_step_by_all_of_its_counts(tmp_path, accumulated):
    samples = batches(accumulated)
    runner = train(tmp_path, samples, accumulated)
    untrained = Levels()
    untrained.linear.weight.data = runner.model.weights[0]
    torch.manual_seed(0)
    untrained.linear.bias.data = Levels().linear.bias.data
    per_level = zip(*(counts_of(untrained, sample) for sample in samples))
    average = torch.zeros(5)
    for level in per_level:
        summed = torch.stack(level).sum(dim=0)
        average = torch.where(summed > 0, 0.5 * average + 0.5 * summed, average)
    torch.testing.assert_close(runner.model.loss_cls.density.moving_average, average)


def test_the_rest_of_an_epoch_is_a_step_too(tmp_path):
    runner = train(tmp_path, batches(5), accumulated=3)
    changes = [not a.equal(b) for a, b in zip(runner.model.weights, runner.model.weights[1:])]
    assert changes == [False, False, True, False]
    assert runner.model.loss_cls.step.is_last


def test_a_loss_left_out_of_the_last_micro_batch_counts_in_no_later_step():
    loss = GHMCLoss(use_sigmoid=True, bins=5, momentum=0.5)
    logits = torch.linspace(-3, 3, 40)[:, None]
    labels = torch.zeros(40, dtype=torch.long)
    loss.step.begin_iteration(is_last=False)
    loss(logits, labels)
    loss.step.begin_iteration(is_last=True)  # as of a head without positives
    loss.step.begin_iteration(is_last=True)
    loss(logits[:10], labels[:10])
    assert loss.density.moving_average.sum() == 0.5 * 10


@pytest.mark.parametrize('poisoned', [0, 1])
def test_a_poisoned_micro_batch_keeps_the_average_of_its_step(poisoned):
    loss = GHMCLoss(use_sigmoid=True, bins=5, momentum=0.5)
    logits = torch.linspace(-3, 3, 40)[:, None]
    labels = torch.zeros(40, dtype=torch.long)
    for micro_batch in range(2):
        loss.step.begin_iteration(is_last=micro_batch == 1)
        bad = float('nan') if micro_batch == poisoned else 0.0
        loss(logits + bad, labels)
    assert not loss.density.moving_average.any()


@pytest.fixture
def two_optimizers():
    """What the hook looks at of a runner with two layers, each with an optimizer of its own."""
    parts = nn.ModuleDict(dict(one=nn.Linear(2, 1), two=nn.Linear(2, 1)))
    wrappers = {
        name: OptimWrapper(torch.optim.SGD(part.parameters(), lr=1.0))
        for name, part in parts.items()
    }
    parts['loss'] = GHMCLoss(use_sigmoid=True)
    return SimpleNamespace(
        hooks=[], cfg={}, model=parts, iter=0, optim_wrapper=OptimWrapperDict(**wrappers)
    )


def test_several_optimizers_drop_what_is_not_finite(two_optimizers):
    parts, wrappers = two_optimizers.model, two_optimizers.optim_wrapper
    hook = HarmonizedLossHook(skip_nonfinite=True)
    hook.before_train(two_optimizers)
    hook.before_train_iter(two_optimizers, batch_idx=0)
    before = {name: parts[name].weight.detach().clone() for name in ('one', 'two')}
    # large, and the square of it no float32
    for name, gradient in (('one', 3e19), ('two', float('nan'))):
        parts[name].weight.grad = torch.full_like(parts[name].weight, gradient)
        wrappers[name].step()
    assert torch.equal(parts['two'].weight, before['two'])
    assert not torch.equal(parts['one'].weight, before['one'])


@pytest.mark.parametrize('gradient', [1.0, float('nan')])
def test_a_parameter_without_elements_is_no_obstacle(two_optimizers, gradient):
    layer, optimizer = two_optimizers.model['one'], two_optimizers.optim_wrapper['one'].optimizer
    optimizer.add_param_group(dict(params=nn.Parameter(torch.zeros(0))))
    HarmonizedLossHook(skip_nonfinite=True).before_train(two_optimizers)
    for parameter in (layer.weight, optimizer.param_groups[-1]['params'][0]):
        parameter.grad = torch.full_like(parameter, gradient)
    before = layer.weight.detach().clone()
    optimizer.step()
    assert torch.equal(layer.weight, before) == (gradient != 1)


@pytest.mark.parametrize('cut_off', [False, True])
def test_an_optimizer_is_watched_once_and_in_training_only(two_optimizers, cut_off, monkeypatch):
    watched = []
    monkeypatch.setattr(
        harmonized_loss_hook, '_drop_nonfinite_gradients', lambda *arguments: watched.append(1)
    )
    optimizer = two_optimizers.optim_wrapper['one'].optimizer
    hook = HarmonizedLossHook(skip_nonfinite=True)
    hook.before_train(two_optimizers)
    if not cut_off:
        hook.after_train(two_optimizers)
        optimizer.step()
        assert not watched
    hook.before_train(two_optimizers)
    optimizer.step()
    assert len(watched) == 1


@pytest.mark.parametrize('level', range(LEVELS))
def test_skip_loses_the_step_and_nothing_else(tmp_path, level):
    samples = batches(6, poison=[(2, level)])
    runner = train(tmp_path / 'poisoned', samples, hook=dict(interval=2, skip_nonfinite=True))
    weights = runner.model.weights
    assert all(each.isfinite().all() for each in weights)
    assert runner.model.loss_cls.density.moving_average.isfinite().all()
    # SGD's momentum alone moved in the skipped step
    change = [b - a for a, b in zip(weights, weights[1:])]
    torch.testing.assert_close(change[2], 0.9 * change[1])
    logged = runner.message_hub.get_scalar('train/nonfinite_iterations')
    assert logged.current() == 1


@pytest.mark.parametrize(('iteration', 'afresh'), [(0, True), (7, False)])
def test_a_training_that_begins_has_no_average_of_another(iteration, afresh):
    trained, model = Levels(), Levels()
    trained.loss_cls(torch.randn(40, CLASSES), torch.zeros(40, dtype=torch.long))
    model.load_state_dict(trained.state_dict())
    HarmonizedLossHook().before_train(
        SimpleNamespace(hooks=[], model=model, iter=iteration, optim_wrapper=OptimWrapperDict())
    )
    average = model.loss_cls.density.moving_average
    assert bool((average == 0).all()) is afresh


def test_each_micro_batch_of_an_optimizer_that_counts_by_itself_is_a_step():
    """DeepSpeed's wrapper has no ``should_sync``."""
    model = Levels()
    runner = SimpleNamespace(
        hooks=[],
        cfg={},
        model=model,
        iter=0,
        optim_wrapper=DeepSpeedOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0)),
    )
    hook = HarmonizedLossHook()
    hook.before_train(runner)
    seen = []
    for _ in range(2):
        hook.before_train_iter(runner, 0)
        model.loss_cls(torch.randn(40, CLASSES), torch.zeros(40, dtype=torch.long))
        seen.append(model.loss_cls.density.moving_average.clone())
    assert not torch.equal(*seen)


def test_a_finite_training_logs_no_count(tmp_path):
    runner = train(tmp_path, batches(4))
    assert 'train/nonfinite_iterations' not in runner.message_hub.log_scalars


@pytest.mark.parametrize('skips', [False, True])
def test_a_training_that_stays_poisoned_ends(tmp_path, skips):
    samples = batches(12, poison=[(1, 0), *((each, 1) for each in range(3, 12))])
    with pytest.raises(NonfiniteTraining) as ended:
        train(tmp_path, samples, hook=dict(interval=4, patience=5, skip_nonfinite=skips))
    message = str(ended.value)
    assert '\n' not in message
    # without skipping, the weights are NaN from the second iteration on, and with them level 0
    first, level = (4, 1) if skips else (2, 0)
    assert (
        f'loss_cls: its input has NaN or infinity in each of the iterations {first} to ' in message
    )
    assert f'in level {level} ' in message


def test_single_iterations_of_poison_do_not_end_it(tmp_path):
    samples = batches(12, poison=[(each, 0) for each in range(0, 12, 2)])
    runner = train(tmp_path, samples, hook=dict(interval=1, patience=2, skip_nonfinite=True))
    assert runner.message_hub.get_scalar('train/nonfinite_iterations').current() == 6


def test_a_training_without_harmonized_losses_is_left_alone(tmp_path):
    samples = batches(6, poison=[(3, 0)])
    runners = [train(tmp_path / str(n), samples, hooks=n, model=OtherLoss) for n in (0, 1)]
    for plain, hooked in zip(*(runner.model.weights for runner in runners)):
        torch.testing.assert_close(hooked, plain, rtol=0, atol=0, equal_nan=True)
    assert runners[0].message_hub.log_scalars.keys() == runners[1].message_hub.log_scalars.keys()


def test_a_second_hook_is_refused(tmp_path):
    with pytest.raises(ValueError, match='takes one, and the config has another'):
        train(tmp_path, batches(1), hooks=2)


@pytest.mark.parametrize('argument', ['interval', 'patience'])
def test_bad_arguments(argument, tmp_path):
    with pytest.raises(ValueError, match=f'{argument}=0'):
        train(tmp_path, batches(1), hook={argument: 0})
