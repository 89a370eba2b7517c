import logging
import subprocess
import sys

from demo.training import drop_own_deprecations
from ghm_mmdet import mm_patches
from tests.setup.sites import REPOSITORY

IMPORT_ALL = 'from mmdet.utils import register_all_modules; register_all_modules()'


def test_importing_mmdet_quietly_leaves_nothing_to_be_said_later():
    script = f'from ghm_mmdet import mm_patches; mm_patches.import_mmdet_quietly(); {IMPORT_ALL}'
    result = subprocess.run(
        [sys.executable, '-c', script], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def test_only_the_known_announcements_are_dropped(monkeypatch, capsys):
    def noisy_import(name: str) -> None:
        print('Could not import OneDL. Skipping OneDL datasets.')
        print(f'{name} says something else')

    monkeypatch.setattr(mm_patches, 'import_module', noisy_import)
    mm_patches.import_mmdet_quietly()
    assert capsys.readouterr().out == (
        'mmdet.datasets says something else\nmmdet.evaluation says something else\n'
    )


def test_only_mmengines_own_deprecations_are_dropped(caplog):
    logger = logging.getLogger('ghm_mmdet.test_quiet')
    drop_own_deprecations(logger)
    logger.warning('"FileClient" will be deprecated in future.')
    logger.warning('FileNotFoundError')
    assert [record.getMessage() for record in caplog.records] == ['FileNotFoundError']
