"""A loss's own back end."""

import pytest
import torch

from ghm_mmdet.ops import backends
from tests.back_ends import ON_CPU
from tests.losses.kinds import KINDS


@pytest.mark.parametrize('kind', ['labels', 'boxes'])
@pytest.mark.parametrize('name', ON_CPU)
def test_the_argument_wins_over_the_variable(kind, name, monkeypatch):
    load, loaded = backends.load, []
    monkeypatch.setattr(backends, 'load', lambda name: loaded.append(name) or load(name))
    monkeypatch.setenv(backends.VARIABLE, 'triton')
    prediction, arguments = KINDS[kind].call(30)
    prediction.requires_grad_()
    value = KINDS[kind].make(backend=name)(prediction, *arguments)
    value.backward()
    assert loaded == [name] * 2
    monkeypatch.setenv(backends.VARIABLE, 'reference')
    torch.testing.assert_close(value, KINDS[kind].make()(prediction, *arguments))
