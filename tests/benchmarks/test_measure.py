"""Peak memory against allocations of known size; runs and their number."""

from __future__ import annotations

import pytest
import torch

from benchmarks import measure
from benchmarks.measure import Cost, Effort, interleaved, peak_memory

CPU = torch.device('cpu')
MIB = 2**20


def touch(mebibytes):
    return torch.ones(mebibytes * MIB // 4)


@pytest.fixture
def measurable():
    if peak_memory(lambda: None, CPU) is None:
        pytest.skip('needs a writable /proc/self/clear_refs')


@pytest.mark.parametrize('size', [32, 96])
def test_peak_memory_is_what_a_call_allocates(measurable, size):
    touch(size)
    peak = peak_memory(lambda: touch(size).sum(), CPU)
    assert peak / MIB == pytest.approx(size, abs=3)


def test_the_peak_counts_and_not_the_end(measurable):
    def call():
        parts = [touch(16) for _ in range(4)]
        parts.clear()
        return touch(16)

    assert peak_memory(call, CPU) / MIB == pytest.approx(64, abs=3)


def test_freed_memory_that_the_allocator_keeps_hides_nothing(measurable):
    """Many small pieces in the heap, and one after them that keeps it from shrinking by itself."""

    def pieces():
        return [torch.ones(MIB // 64) for _ in range(512)]

    kept = pieces()
    kept = kept[-1]
    assert peak_memory(pieces, CPU) / MIB == pytest.approx(32, abs=4)
    assert kept.sum() == MIB // 64


def test_memory_is_not_measured_where_the_system_forbids_it(monkeypatch):
    def refuse(self, text):
        raise PermissionError

    monkeypatch.setattr(measure.Path, 'write_text', refuse)
    assert peak_memory(lambda: None, CPU) is None


def test_calls_take_turns_after_a_call_to_warm_up_and_one_for_the_memory():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in 'ab'}
    costs = interleaved(calls, CPU, Effort(3, 60.0))
    assert order == [*'aabb', *'ab' * 3]
    assert [len(cost.seconds) for cost in costs.values()] == [3, 3]


def test_a_slow_call_is_run_once():
    costs = interleaved({'slow': lambda: None}, CPU, Effort(5, 0.0))
    assert len(costs['slow'].seconds) == 1


def test_what_is_too_large_for_the_gpu_is_left_out(capsys):
    def fail():
        raise torch.cuda.OutOfMemoryError

    costs = interleaved({'large': fail, 'small': lambda: None}, CPU, Effort(1, 0.0), 'title')
    assert list(costs) == ['small']
    assert 'large is left out' in capsys.readouterr().out


def test_spread_is_the_interquartile_range_over_the_median():
    assert Cost((4.0, 1.0, 2.0, 3.0, 5.0), None).spread == pytest.approx((4.5 - 1.5) / 3)
    assert Cost((1.0, 2.0), None).spread is None
