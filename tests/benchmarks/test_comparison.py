"""Who is measured, in place of whom, and who is left out."""

from __future__ import annotations

import pytest
import torch

from benchmarks import comparison
from benchmarks.comparison import Comparison
from benchmarks.contestants import (
    AVG_FACTOR,
    Batch,
    Contestant,
    InFloat32,
    MMDetPythonFocal,
    PlainFocal,
    first_usable,
)
from benchmarks.machine import Machine
from benchmarks.measure import ONCE

MACHINE = Machine(torch.device('cpu'), ONCE)


class SumOfSquares(torch.nn.Module):
    def forward(self, prediction, target, weight, avg_factor):
        return prediction.square().sum()


class Float32Only(SumOfSquares):
    def forward(self, prediction, *args, **kwargs):
        if prediction.dtype != torch.float32:
            raise RuntimeError('not implemented\nfor this dtype')
        return super().forward(prediction, *args, **kwargs)


def batch(anchors=4, dtype=torch.float32, floor_bytes=None):
    prediction = torch.ones(anchors, 3, dtype=dtype)
    return Batch(
        f'{anchors} anchors',
        prediction,
        torch.zeros(anchors, dtype=torch.int64),
        torch.ones(anchors),
        floor_bytes,
    )


UNIT = Contestant('unit', SumOfSquares, 30)
OTHER = Contestant('other', SumOfSquares)
STRICT = Contestant('strict', Float32Only)


def test_the_first_that_works_is_taken_and_its_name_says_what_it_is(capsys):
    alternatives = [STRICT, STRICT.in_float32()]
    assert first_usable(alternatives, batch()) is STRICT
    taken = first_usable(alternatives, batch(dtype=torch.bfloat16))
    assert taken.name == 'strict (float32)'
    assert 'RuntimeError: not implemented for this dtype' in capsys.readouterr().out
    assert first_usable([STRICT], batch(dtype=torch.bfloat16)) is None


def test_ratios_are_those_to_the_unit():
    compared = Comparison('sums', UNIT, MACHINE)
    compared.run([UNIT, OTHER], batch(floor_bytes=24))
    unit, other, floor = compared.rows
    assert (unit.ratio, unit.bins) == (1, 30)
    assert other.ratio == pytest.approx(other.milliseconds / unit.milliseconds)
    assert floor.contestant.startswith('floor at ')
    assert floor.milliseconds == pytest.approx(24 / MACHINE.bandwidth * 1000)


def test_memory_of_small_predictions_is_not_claimed():
    compared = Comparison('sums', UNIT, MACHINE)
    compared.run([UNIT], batch())
    assert compared.rows[0].memory is None


def test_who_took_too_long_is_left_out_of_larger_inputs(monkeypatch, capsys):
    compared = Comparison('sums', UNIT, MACHINE)
    compared.run([UNIT, OTHER], batch())
    monkeypatch.setitem(comparison.LONGEST_CALL, 'cpu', 0.0)
    compared.run([UNIT, OTHER], batch(8))
    assert 'other is left out, a call would take about' in capsys.readouterr().out
    assert [row.input for row in compared.rows] == ['4 anchors'] * 2


def test_who_would_need_too_much_memory_is_left_out(monkeypatch, capsys):
    compared = Comparison('sums', UNIT, MACHINE)
    compared.run([UNIT], batch())
    compared._last[UNIT][1].__dict__['bytes'] = 2**20
    monkeypatch.setattr(Machine, 'available_memory', lambda self: 2**20)
    compared.run([UNIT], batch(8))
    assert 'it would need about' in capsys.readouterr().out


@pytest.mark.parametrize('loss', [PlainFocal(), MMDetPythonFocal()])
def test_stand_ins_are_mmdets_focal_loss(loss):
    from mmdet.models.losses import FocalLoss

    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 7
    weight = (torch.arange(50) % 3).float()
    expected = FocalLoss(use_sigmoid=True)(logits, labels, weight, avg_factor=AVG_FACTOR)
    torch.testing.assert_close(loss(logits, labels, weight, avg_factor=AVG_FACTOR), expected)


def test_a_loss_in_float32_gets_float32_and_gives_a_gradient_in_the_predictions_dtype():
    prediction = torch.ones(4, 3, dtype=torch.bfloat16, requires_grad=True)
    loss = InFloat32(Float32Only())(prediction, None, None, avg_factor=1.0)
    loss.backward()
    assert prediction.grad.dtype == torch.bfloat16
