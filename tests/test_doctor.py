import pytest

from ghm_mmdet import doctor
from ghm_mmdet.environment import Problem
from tests.sites import BROKEN, make_site, run_in_site


@pytest.mark.parametrize('name', ['torch is missing', 'mmdet is missing', 'no libGL'])
def test_doctor_runs_where_the_plugin_cannot_be_imported(name, tmp_path):
    hidden, stubs, summary, fix = BROKEN[name]
    site = make_site(tmp_path / 'site', hidden, stubs)
    result = run_in_site(site, '-m', 'ghm_mmdet.doctor')
    assert result.returncode == 1
    assert result.stderr == ''
    problem, repair = result.stdout.splitlines()[-2:]
    assert problem.startswith('problem: ')
    assert summary in problem
    assert fix in repair


def test_doctor_shows_versions_and_operators(capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'advice', list)
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    labels = [line.split()[0] for line in lines[:-2]]
    assert {'python', 'torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmdet', 'GPU'} <= set(labels)
    assert lines[-1] == 'no problems found'


def test_advice_is_shown_and_does_not_fail(capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'advice', lambda: [Problem('something is slow', 'a command')])
    assert doctor.main() == 0
    assert capsys.readouterr().out.endswith('problem: something is slow\n    fix: a command\n')
