"""Loading checkpoints of MMEngine's runner with torch's safety on."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

import ghm_mmdet.checkpoint_globals  # noqa: F401


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
    [(HistoryBuffer, '__init__'), (HistoryBuffer, '__subclasses__'), (np.ndarray, 'tofile')],
)
def test_getattr_of_anything_but_a_statistic_is_refused(tmp_path, owner, name):
    torch.save(Call(getattr, owner, name), tmp_path / 'bad.pth')
    with pytest.raises(pickle.UnpicklingError, match=name):
        torch.load(tmp_path / 'bad.pth', weights_only=True)


@pytest.mark.parametrize('core', ['core', '_core'])
def test_arrays_and_scalars_of_either_numpy(tmp_path, core):
    content = {'array': np.arange(3.0), 'count': np.arange(3), 'scalar': np.float64(0.5)}
    torch.save(content, tmp_path / 'here.pth')
    with (
        zipfile.ZipFile(tmp_path / 'here.pth') as here,
        zipfile.ZipFile(tmp_path / 'there.pth', 'w') as there,
    ):
        for name in here.namelist():
            data = here.read(name).replace(b'numpy._core.', b'numpy.core.')
            there.writestr(name, data.replace(b'numpy.core.', b'numpy.%s.' % core.encode()))
    loaded = torch.load(tmp_path / 'there.pth', weights_only=True)
    np.testing.assert_array_equal(loaded['array'], content['array'])
    np.testing.assert_array_equal(loaded['count'], content['count'])
    assert loaded['scalar'] == 0.5
