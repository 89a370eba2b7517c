"""The benchmarks on tiny inputs: every contestant has a row, on every input."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from benchmarks import fixed_cost, ghmc_loss, ghmr_loss, training_step
from benchmarks.table import read_csv
from ghm_mmdet.ops import backends


@pytest.fixture(autouse=True)
def imports_are_no_garbage() -> Iterator[None]:
    """Each measurement collects garbage first; what is imported is not to be searched for it."""
    gc.freeze()
    yield
    gc.unfreeze()


def run(script, folder):
    rows = script.main(['--device', 'cpu', '--quick', '--results', str(folder)])
    assert all(row.milliseconds > 0 for row in rows)
    (path,) = folder.glob('*.csv')
    assert [row.contestant for row in read_csv(path)] == [row.contestant for row in rows]
    return rows


def test_ghmc_loss(tmp_path):
    rows = run(ghmc_loss, tmp_path)
    names = Counter(row.contestant.split(' at ')[0] for row in rows)
    inputs, bins = len(ghmc_loss.QUICK_EXAMPLES), len(ghmc_loss.SCALING_BINS)
    assert names == {
        'GHM-C': inputs * bins,
        'mmdet GHMC': inputs * bins,
        'GHM-C exact': inputs,
        'mmdet FocalLoss': inputs,
        'plain focal': inputs,
        'floor': inputs,
    }
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == ['.csv', '.png']


def test_ghmr_loss(tmp_path):
    rows = run(ghmr_loss, tmp_path)
    few = {row.contestant for row in rows if row.examples == 4 * ghmr_loss.FEW_BOXES}
    anchors = {row.contestant for row in rows if row.examples == 4 * ghmr_loss.QUICK_ANCHORS}
    assert few == {'GHM-R', 'mmdet GHMR', 'mmdet SmoothL1Loss'}
    assert {name.split(' at ')[0] for name in anchors - few} == {'floor'}
    assert few < anchors


def test_fixed_cost(tmp_path):
    threads = torch.get_num_threads()
    rows = run(fixed_cost, tmp_path)
    assert [row.contestant for row in rows] == [
        'GHM-C',
        'GHM-C small-data',
        'mmdet FocalLoss',
        'GHM-C + GHM-R, pyramid',
        'GHM-C + GHM-R, per level',
        'focal + L1',
    ]
    assert torch.get_num_threads() == threads


def test_training_step(tmp_path):
    rows = run(training_step, tmp_path)
    assert [row.contestant for row in rows] == [
        'GHM whole pyramid',
        'GHM per level',
        'focal + L1',
        'mmdet GHM',
        'GHM, watched by the hook',
        'and drawn',
        "the hook's pass alone",
    ]


def test_the_floor_of_ghmc_is_three_times_the_logits():
    batch = ghmc_loss.make_batch(8000, torch.bfloat16, torch.device('cpu'))
    assert batch.floor_bytes == 3 * 8000 * 2


def test_the_floor_of_ghmr_counts_every_byte_that_has_to_move():
    """Weights twice, predictions and targets twice where the weight is not 0, the gradient once."""
    batch = ghmr_loss.make_batch(1000, 0.25, torch.float32, torch.device('cpu'))
    assert batch.floor_bytes == 1000 * 4 * 4 * (2 + 1 + 2 * 0.25 * 2)


@pytest.mark.parametrize(
    'losses', [training_step.FOCAL, training_step.MMDET_GHM], ids=['focal', 'mmdet']
)
def test_the_detectors_differ_in_their_losses_alone(losses):
    setting, device = training_step.QUICK['cpu'], torch.device('cpu')
    one, other = (
        training_step.make_model(setting, config, change, device)
        for config, change in [(training_step.PYRAMID, {}), (training_step.LEVELS, losses)]
    )
    assert type(one.bbox_head.loss_cls) is not type(other.bbox_head.loss_cls)
    for ours, theirs in zip(one.parameters(), other.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_step_without_a_real_update_is_noticed():
    step = training_step.Step(
        training_step.QUICK['cpu'], torch.device('cpu'), training_step.LEVELS, {}
    )
    step.check()
    with torch.no_grad():
        step._model.bbox_head.retina_cls.bias.fill_(float('nan'))
    with pytest.raises(ArithmeticError, match='the loss is nan'):
        step.check()


def test_the_back_end_that_is_asked_for_is_in_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, '_forced', 'torch')
    rows = ghmr_loss.main(['--device', 'cpu', '--quick', '--backend', 'reference'])
    assert {row.backend for row in rows} == {'reference'}


def test_quick_runs_leave_the_results_alone():
    assert ghmr_loss.read_options('', ['--device', 'cpu', '--quick']).results is None


def test_a_missing_cuda_device_is_an_error(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        ghmr_loss.main(['--device', 'cuda'])
    assert 'torch sees no CUDA device' in capsys.readouterr().err
