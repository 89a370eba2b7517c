"""What the doctor's table shows."""

import doctor
import pytest
from problems import Problem

from ghm_mmdet.ops import backends, compiling, self_check


def test_doctor_shows_versions_and_operators(capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'advice', list)
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    labels = [line.split()[0] for line in lines[:-2]]
    assert {'python', 'torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmdet', 'GPU'} <= set(labels)
    assert lines[-1] == 'no problems found'


@pytest.mark.parametrize(
    ('variable', 'shown'),
    [
        (None, ('cpp (compiled', 'torch (chunked')),
        ('torch', 'torch (forced by GHM_MMDET_BACKEND'),
        ('reference', 'reference (forced by GHM_MMDET_BACKEND'),
        ('fortran', "GHM_MMDET_BACKEND='fortran': must be one of"),
    ],
)
def test_doctor_shows_the_back_end_and_why(variable, shown, monkeypatch):
    monkeypatch.setattr(backends, '_forced', variable)
    rows = {label: value for label, value in doctor.facts().items() if 'back end' in label}
    assert any(value.startswith(shown) for value in rows.values())


@pytest.mark.parametrize(
    ('obstacle', 'shown'), [(None, 'triton ('), ('no compiler', 'reference (instead of triton: no')]
)
def test_doctor_shows_the_back_end_of_each_gpu(obstacle, shown, monkeypatch):
    monkeypatch.setattr(backends, '_forced', None)
    monkeypatch.setattr(doctor, 'gpu_names', lambda: ['a GPU', 'another'])
    monkeypatch.setattr(self_check, 'triton_obstacle', lambda device: obstacle)
    rows = doctor.facts()
    for device in ('cuda:0', 'cuda:1'):
        assert rows[f'back end {device}'].startswith(shown)


@pytest.mark.parametrize(('has_operators', 'shown'), [(True, 'takes in'), (False, 'below 2.8')])
def test_doctor_shows_what_torch_compile_does(has_operators, shown, monkeypatch):
    monkeypatch.setattr(compiling, 'OPERATORS', has_operators)
    assert shown in doctor.facts()['torch.compile']


def test_advice_is_shown_and_does_not_fail(capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'advice', lambda: [Problem('something is slow', 'a command')])
    assert doctor.main() == 0
    assert capsys.readouterr().out.endswith('problem: something is slow\n    fix: a command\n')
