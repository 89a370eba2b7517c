"""Loading checkpoints of MMEngine's runner with torch's safety on."""

import pickle
import zipfile
from collections import Counter, OrderedDict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import OneCycleLR
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import CheckpointLoader, Runner

from ghm_mmdet.cli.checkpoint import check_checkpoint
from ghm_mmdet.mm_patches import SAFE_ONLY, UNSAFE_TOO, guard_checkpoints

AVERAGED_MODELS = ('StochasticWeightAverage', 'ExponentialMovingAverage', 'MomentumAnnealingEMA')


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """What the guard sets is undone."""
    for name in (SAFE_ONLY, UNSAFE_TOO):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)


@pytest.fixture
def checkpoint(small_config, run_tool, tmp_path):
    """What a training run leaves, its best epoch noted."""
    options = ('default_hooks.checkpoint.save_best=auto', 'default_hooks.checkpoint.interval=1')
    done = run_tool('train.py', small_config, '--work-dir', 'run', '--cfg-options', *options)
    assert done.returncode == 0, done.stderr[-3000:]
    return tmp_path / 'run' / 'epoch_1.pth'


def test_a_real_checkpoint_is_loaded_whole(checkpoint):
    safe = torch.load(checkpoint, weights_only=True)
    everything = torch.load(checkpoint, weights_only=False)
    assert safe.keys() == everything.keys() >= {'state_dict', 'optimizer', 'message_hub', 'meta'}
    histories = everything['message_hub']['log_scalars']
    assert 'train/loss' in histories
    for name, history in histories.items():
        restored = safe['message_hub']['log_scalars'][name]
        np.testing.assert_array_equal(restored.data, history.data)
        assert restored.statistics('max') == history.max()
    # MMEngine's own loading may set and clear such a list.
    CheckpointLoader.load_checkpoint(str(checkpoint))
    torch.load(checkpoint, weights_only=True)


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ('owner', 'name'),
    [
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, '__subclasses__'),
        (np.ndarray, 'tofile'),
        (OneCycleParamScheduler, 'build_iter_from_epoch'),
        (OneCycleParamScheduler, 'min'),
        (HistoryBuffer, '_annealing_cos'),
    ],
)
def test_getattr_of_anything_but_a_statistic_is_refused(tmp_path, owner, name):
    torch.save(Call(getattr, owner, name), tmp_path / 'bad.pth')
    with pytest.raises(pickle.UnpicklingError, match=name):
        torch.load(tmp_path / 'bad.pth', weights_only=True)


SCHEDULES = {
    'ConstantParamScheduler': {},
    'CosineAnnealingParamScheduler': dict(T_max=5),
    'CosineRestartParamScheduler': dict(periods=[2, 3], restart_weights=[1, 0.5], eta_min=0.01),
    'ExponentialParamScheduler': dict(gamma=0.9),
    'LinearParamScheduler': {},
    'MultiStepParamScheduler': dict(milestones=[2]),
    'OneCycleParamScheduler': dict(eta_max=0.1, total_steps=10),
    'PolyParamScheduler': {},
    'ReduceOnPlateauParamScheduler': dict(monitor='loss'),
    'StepParamScheduler': dict(step_size=2),
}


@pytest.mark.parametrize('name', sorted(PARAM_SCHEDULERS.module_dict))
def test_the_state_of_every_schedule(name, tmp_path):
    kind = PARAM_SCHEDULERS.get(name)
    (base,) = [each for each in SCHEDULES if issubclass(kind, PARAM_SCHEDULERS.get(each))]
    arguments = dict(SCHEDULES[base], **(dict(param_name='lr') if name == base else {}))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    schedule = kind(optimizer, **arguments)
    for _ in range(3):
        optimizer.step()
        schedule.step({'loss': 1.0}) if 'Plateau' in name else schedule.step()
    state = schedule.state_dict()
    path = tmp_path / 'epoch_3.pth'
    torch.save(dict(param_schedulers=[state]), path)
    guard_checkpoints(False)
    check_checkpoint(str(path), '--resume')
    loaded = torch.load(path, weights_only=True)['param_schedulers'][0]
    assert loaded == state
    fresh = kind(optimizer, **arguments)
    fresh.load_state_dict(loaded)
    assert fresh.state_dict() == state


def test_both_ways_of_annealing(tmp_path):
    for strategy in ('cos', 'linear'):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        schedule = OneCycleLR(optimizer, eta_max=0.1, total_steps=9, anneal_strategy=strategy)
        torch.save(schedule.state_dict(), tmp_path / 'schedule.pth')
        loaded = torch.load(tmp_path / 'schedule.pth', weights_only=True)
        assert loaded['anneal_func'] is schedule.anneal_func


PALETTE = np.array([[220, 20, 60], [119, 11, 32]], dtype=np.uint8)
VALUES = [
    *(PALETTE.astype(kind) for kind in ('bool', 'int8', 'uint16', 'float16', 'complex64', 'str')),
    *(np.bool_(True), np.uint8(3), np.float32(0.5), np.str_('name')),
    *(b'', np.zeros((0, 3)), np.str_(''), datetime(2026, 1, 2, tzinfo=timezone.utc)),
    *(slice(1, 9, 2), range(3), frozenset({1, 2}), {1, 2}, Counter('aab'), OrderedDict(a=1)),
    *(datetime(2026, 1, 2, 3, 4), timedelta(days=1), Path('data'), ConfigDict(a=dict(b=[1]))),
]


@pytest.mark.parametrize('value', [PALETTE, *VALUES], ids=repr)
def test_what_a_data_set_or_a_hook_may_have_written(tmp_path, value):
    path = tmp_path / 'epoch_1.pth'
    content = dict(
        meta=dict(dataset_meta=dict(classes=('a', 'b'), palette=value)),
        message_hub=dict(log_scalars={}, runtime_info={'mine': value}, resumed_keys={}),
    )
    torch.save(content, path)
    guard_checkpoints(False)
    check_checkpoint(str(path), '--resume')
    loaded = torch.load(path, weights_only=True)
    for found in (loaded['meta']['dataset_meta']['palette'], loaded['message_hub']['runtime_info']):
        found = found['mine'] if isinstance(found, dict) and 'mine' in found else found
        assert type(found) is type(value)
        np.testing.assert_equal(found, value)


@pytest.mark.parametrize('kind', sorted(AVERAGED_MODELS))
def test_averaged_models_of_the_hook(tmp_path, kind):
    runner = Runner(
        model=Linear(),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=1,
            dataset=[torch.ones(2), torch.zeros(2)],
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[dict(type='EMAHook', ema_type=kind, update_buffers=True)],
        default_hooks=dict(checkpoint=dict(type='AtomicCheckpointHook', interval=1)),
        experiment_name=f'{kind}_{tmp_path.name}',
    )
    runner.train()
    guard_checkpoints(False)
    check_checkpoint(str(tmp_path / 'epoch_1.pth'), '--resume')
    loaded = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert loaded['ema_state_dict'].keys() >= {'module.layer.weight'}


class Linear(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode):
        return {'loss': self.layer(torch.stack(list(inputs))).sum()}


@pytest.mark.parametrize('core', ['core', '_core'])
def test_arrays_and_scalars_of_either_numpy(tmp_path, core):
    content = {'array': np.arange(3.0), 'count': np.arange(3), 'scalar': np.float64(0.5)}
    torch.save(content, tmp_path / 'here.pth')
    here = zipfile.ZipFile(tmp_path / 'here.pth')
    there = zipfile.ZipFile(tmp_path / 'there.pth', 'w')
    with here, there:
        for name in here.namelist():
            data = here.read(name).replace(b'numpy._core.', b'numpy.core.')
            there.writestr(name, data.replace(b'numpy.core.', b'numpy.%s.' % core.encode()))
    loaded = torch.load(tmp_path / 'there.pth', weights_only=True)
    np.testing.assert_array_equal(loaded['array'], content['array'])
    np.testing.assert_array_equal(loaded['count'], content['count'])
    assert loaded['scalar'] == 0.5


def test_a_torchscript_archive_is_no_data(tmp_path):
    """It is a program, which torch below 2.6 would run."""
    path = tmp_path / 'program.pth'
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match='TorchScript'):
        torch.load(path, weights_only=True)


PROGRAMS = {
    # a BUILD with a pair assigns attributes: here, the defaults of what rebuilds tensors
    'changes a function': (
        b'ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__Ns\x86b.'
    ),
    'calls a value': b'X\x01\x00\x00\x00a)R.',
    'calls what it built': b'ccollections\nOrderedDict\n)R)R.',
    'makes an instance': b'(icollections\nOrderedDict\n.',
    'makes an object': b'(ccollections\nOrderedDict\no.',
}


@pytest.mark.parametrize('program', PROGRAMS)
def test_what_is_not_data_is_refused(tmp_path, program):
    path = tmp_path / 'program.pth'
    torch.save(0, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in parts.items():
            is_pickle = name.endswith('data.pkl')
            archive.writestr(name, b'\x80\x02' + PROGRAMS[program] if is_pickle else content)
    before = torch._utils._rebuild_tensor_v2.__defaults__
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before
