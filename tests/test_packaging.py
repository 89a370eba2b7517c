"""What is built of the repository, and that it works where it is installed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
import yaml
from installed_packages import OPENMMLAB, PROVIDERS, TESTED
from packaging.requirements import Requirement

from ghm_mmdet.version import __version__
from tests.configs_compared import without_scope
from tests.setup.sites import REPOSITORY, make_site, run_in_site

SHIPPED = ('configs', 'tools', 'model-index.yml')
NOT_SOURCE = ('.*', '*.egg-info', '__pycache__')
SOURCE = ('.ci', '.github', '.pre-commit-config.yaml')
NOT_SOURCE_AT_THE_TOP = ('build', 'data', 'dist', 'site', 'work_dirs')
CONFIGS = sorted(
    path.relative_to(REPOSITORY / 'configs').as_posix()
    for path in (REPOSITORY / 'configs').rglob('*.py')
    if 'mmrotate' not in path.parts  # whose bases are in MMRotate
)
BUILD = (
    'import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])'
)
INHERIT = """
import json, sys
from functools import lru_cache
from pathlib import Path

import ghm_mmdet
from mmengine.config import Config, utils

# For every base it reads all metafiles of the base's package, mmdet's as well.
utils.load = lru_cache(maxsize=None)(utils.load)
result = {'package': ghm_mmdet.__file__, 'here': {}, 'original': {}}
for name in sys.argv[2:]:
    Path('mine.py').write_text(f'_base_ = "ghm_mmdet::{name}"')
    for key, file in (('here', 'mine.py'), ('original', Path(sys.argv[1], name))):
        result[key][name] = Config.fromfile(file, import_custom_modules=False).to_dict()
print(json.dumps(result))
"""


def build(kind: str, source: Path, out: Path) -> Path:
    """Build an sdist or an editable wheel of a source tree with what is installed; return it."""
    out.mkdir()
    command = [sys.executable, '-c', BUILD, f'build_{kind}', str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where all is built; the compiled back end, which takes a minute, is left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('GHM_MMDET_COMPILE', '0')
        yield tmp_path_factory.mktemp('packaging')


@pytest.fixture(scope='module')
def checkout(folder) -> Path:
    """The repository's files, without what was built in it."""

    def ignore(where: str, names: list[str]) -> set[str]:
        at_the_top = NOT_SOURCE_AT_THE_TOP if Path(where) == REPOSITORY else ()
        return shutil.ignore_patterns(*NOT_SOURCE, *at_the_top)(where, names) - {*SOURCE}

    return Path(shutil.copytree(REPOSITORY, folder / 'checkout', ignore=ignore))


@pytest.fixture(scope='module')
def wheel(folder, checkout) -> Path:
    """The wheel that is built of the sdist, as for an upload."""
    sdist = build('sdist', checkout, folder / 'sdist')
    pip = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-index', '--no-deps']
    out = folder / 'wheel'
    subprocess.run([*pip, '--no-build-isolation', '-w', out, sdist], check=True)
    return next(out.glob('*.whl'))


@pytest.mark.parametrize('compiler', ['false', 'no-such-compiler'])
def test_a_compiler_that_does_not_work_is_done_without(compiler, checkout, tmp_path, monkeypatch):
    monkeypatch.setenv('GHM_MMDET_COMPILE', '1')
    monkeypatch.setenv('CC', compiler)
    monkeypatch.setenv('CXX', compiler)
    source = shutil.copytree(checkout, tmp_path / 'source', symlinks=True)
    built = build('wheel', source, tmp_path / 'wheel')
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    assert 'ghm_mmdet/ops/cpp_ops.py' in names
    assert not any(name.endswith('.so') for name in names)


@pytest.fixture(scope='module')
def other_packages(folder) -> Path:
    """What is installed, without this package."""
    return make_site(folder / 'site', hidden=('ghm_mmdet*', '__editable__*'))


@pytest.fixture(scope='module')
def installed(folder, wheel, other_packages) -> Path:
    """The folder of packages that `pip install .` has filled."""
    pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-index', '--no-deps']
    subprocess.run([*pip, '--target', other_packages, wheel], check=True)
    return other_packages


@pytest.fixture(scope='module')
def developed(folder, checkout, other_packages) -> Path:
    """The root of a checkout that `pip install -e .` has put on the path."""
    build('editable', checkout, folder / 'editable')
    return checkout


def files(root: Path) -> set[str]:
    """Names of the files of a source tree that belong into `.mim`."""
    found = {path for name in SHIPPED for path in (root / name, *(root / name).rglob('*'))}
    names = {path.relative_to(root).as_posix() for path in found if path.is_file()}
    return {name for name in names if '__pycache__' not in name}


def test_wheel_has_the_modules_and_what_openmmlab_looks_for(checkout, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(checkout) for path in checkout.glob('ghm_mmdet/**/*.py')}
    modules = {path.as_posix() for path in modules if '.mim' not in path.parts}
    shipped = {f'ghm_mmdet/.mim/{name}' for name in files(checkout)}
    assert {name for name in names if name.startswith('ghm_mmdet/')} == {
        *modules,
        *shipped,
        'ghm_mmdet/py.typed',
    }
    for script in ('doctor', 'build_mmcv', 'installed_packages', 'problems'):
        assert f'ghm_mmdet/.mim/tools/setup/{script}.py' in names
    # neither demo nor studies
    assert {name.split('/')[0] for name in names} == {
        'ghm_mmdet',
        f'{"-".join(wheel.name.split("-")[:2])}.dist-info',
    }


def test_sdist_is_enough_to_set_up_and_test(folder, checkout, wheel, tmp_path):
    (sdist,) = (folder / 'sdist').iterdir()
    shutil.unpack_archive(sdist, tmp_path)
    (root,) = tmp_path.iterdir()
    for name in ('Makefile', 'CHANGELOG.md', 'requirements/torch.txt', 'tests/conftest.py'):
        assert (root / name).is_file()
    for name in (
        'CITATION.cff',
        'CONTRIBUTING.md',
        '.ci/run',
        '.github/workflows/ci.yml',
        SOURCE[-1],
    ):
        assert (root / name).is_file()
    assert files(root) == files(checkout)


@pytest.mark.parametrize('family', TESTED)
def test_extras_name_the_tested_versions(wheel, family):
    metadata = zipfile.Path(wheel) / f'{"-".join(wheel.name.split("-")[:2])}.dist-info'
    required = [Requirement(line) for line in PathDistribution(metadata).requires]
    extra = [each for each in required if each.marker.evaluate({'extra': family})]
    names = {name: module for module in OPENMMLAB for name in PROVIDERS[module]}
    named = {each.name: str(each.specifier) for each in extra if each.name in names}
    versions = {name: TESTED[family][name] for name in named}
    assert named == {name: f'=={version}' for name, version in versions.items()}
    # pip alone builds mmcv without its operators, or not at all
    assert {names[name] for name in named} == set(OPENMMLAB) - {'mmcv'}
    assert all(each.specifier.contains(TESTED[family].get(each.name, '80')) for each in extra)


@pytest.mark.parametrize('root', ['installed', 'developed'])
def test_configs_elsewhere_inherit_from_every_config(
    root, request, checkout, other_packages, tmp_path
):
    root = request.getfixturevalue(root)
    path = os.pathsep.join([str(root), str(other_packages)])
    originals = checkout / 'configs'
    done = run_in_site(path, '-c', INHERIT, str(originals), *CONFIGS, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert Path(result['package']).parent == root / 'ghm_mmdet'
    assert without_scope(result['here']) == without_scope(result['original'])


def test_the_installed_package_trains_tests_and_reports(small_config, installed, tmp_path):
    mine = small_config.read_text().replace(f'{REPOSITORY}/configs/', 'ghm_mmdet::')
    assert "_base_ = 'ghm_mmdet::" in mine
    small_config.write_text(mine)
    checkpoint = tmp_path / 'work_dirs' / 'small' / 'epoch_1.pth'
    for tool, *arguments in (
        ('train.py', small_config),
        ('test.py', small_config, checkpoint),
        ('analyze_gradients.py', small_config, checkpoint, '--out', 'report'),
    ):
        script = installed / 'ghm_mmdet' / '.mim' / 'tools' / tool
        done = run_in_site(installed, str(script), *map(str, arguments), folder=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    assert checkpoint.is_file()
    assert list((tmp_path / 'report').glob('*.html'))


def test_the_version_is_that_of_the_changelog_of_the_citation_and_of_a_tag():
    headings = re.findall(r'^## (.*)$', (REPOSITORY / 'CHANGELOG.md').read_text(), re.M)
    # changes that wait for their release stand above it
    released = next(each for each in headings if each != 'Unreleased')
    citation = yaml.safe_load((REPOSITORY / 'CITATION.cff').read_text())
    assert released == f'{__version__} - {citation["date-released"].isoformat()}'
    assert citation['version'] == __version__
    tags = subprocess.run(
        ['git', 'tag', '--points-at', 'HEAD'], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert set(tags.stdout.split()) <= {f'v{__version__}'}


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_tools_take_what_mim_passes(installed, tool, tmp_path):
    # MIM asks for the help, and passes --gpus where that names it, which no tool since 2.0 has.
    script = installed / 'ghm_mmdet' / '.mim' / 'tools' / tool
    done = run_in_site(installed, str(script), '-h', folder=tmp_path)
    assert done.returncode == 0
    assert '--launcher' in done.stdout
    assert '--gpus' not in done.stdout


def test_the_doctor_of_an_installed_package_finds_its_back_end(installed, tmp_path):
    script = installed / 'ghm_mmdet' / '.mim' / 'tools' / 'setup' / 'doctor.py'
    done = run_in_site(installed, str(script), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert 'back end cpu     torch (' in done.stdout


def test_without_a_checkout_the_import_leads_to_the_build_of_mmcv(installed, tmp_path):
    site = make_site(tmp_path / 'site', hidden=('mmcv', 'ghm_mmdet*', '__editable__*'))
    (site / 'ghm_mmdet').symlink_to(installed / 'ghm_mmdet')
    failed = run_in_site(site, '-c', 'import ghm_mmdet', folder=tmp_path)
    _, *doctor = shlex.split(failed.stderr.splitlines()[-1].partition('for the repair run: ')[2])
    shown = run_in_site(site, *doctor, folder=tmp_path)
    build = shown.stdout.splitlines()[-1].partition('fix: ')[2]
    _, script, requirement = shlex.split(build)
    folder_of_scripts = installed / 'ghm_mmdet' / '.mim' / 'tools' / 'setup'
    assert Path(script).resolve() == (folder_of_scripts / 'build_mmcv.py').resolve()
    assert 'mmcv==' in requirement
    assert run_in_site(site, script, '-h', folder=tmp_path).returncode == 0


def test_mim_finds_a_config_by_its_name_alone():
    names = [Path(name).name for name in CONFIGS]
    assert len(set(names)) == len(names)


def test_editable_install_links_and_keeps_what_is_there(checkout, developed, folder):
    links = [checkout / 'ghm_mmdet' / '.mim' / name for name in SHIPPED]
    assert all(link.is_symlink() and not link.readlink().is_absolute() for link in links)
    assert [link.resolve() for link in links] == [(checkout / name).resolve() for name in SHIPPED]
    links[0].unlink()
    links[0].mkdir()
    (links[0] / 'mine.py').touch()
    build('editable', checkout, folder / 'again')
    assert [path.name for path in links[0].iterdir()] == ['mine.py']
