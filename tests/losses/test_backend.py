"""The back end that is forced: by the variable, and inside of ``use_backend``."""

import subprocess
import sys

import pytest
import torch

from ghm_mmdet.ops import backends, use_backend
from tests.back_ends import ON_CPU
from tests.losses.kinds import KINDS
from tests.processes import environment


@pytest.mark.parametrize('kind', ['labels', 'boxes'])
@pytest.mark.parametrize('name', ON_CPU)
def test_one_back_end_computes_a_call_and_its_backward_pass(kind, name, monkeypatch):
    load, loaded = backends.load, []
    monkeypatch.setattr(backends, 'load', lambda name: loaded.append(name) or load(name))
    prediction, arguments = KINDS[kind].call(30)
    prediction.requires_grad_()
    with use_backend(name):
        value = KINDS[kind].make()(prediction, *arguments)
    with use_backend('triton'):
        value.backward()
    assert loaded == [name]
    with use_backend('reference'):
        torch.testing.assert_close(value, KINDS[kind].make()(prediction, *arguments))


def test_the_last_one_forced_wins_and_leaves_no_trace():
    before = backends.forced()
    with use_backend('torch'):
        with use_backend('reference'):
            assert backends.forced() == 'reference'
        assert backends.forced() == 'torch'
    assert backends.forced() == before


def test_the_variable_is_read_when_the_package_is_imported():
    code = 'from ghm_mmdet.ops import backends; print(backends.forced())'
    variables = {**environment(), backends.VARIABLE: 'reference'}
    done = subprocess.run(
        [sys.executable, '-c', code], env=variables, capture_output=True, text=True
    )
    assert done.stdout.strip() == 'reference', done.stderr[-2000:]


def test_an_unknown_one_is_refused():
    with pytest.raises(ValueError, match=r"^use_backend='fortran': must be one of"):
        use_backend('fortran').__enter__()
