"""Problems that keep the plugin from working in this environment, and commands that repair them.

There are two groups of checks: `blockers` stop the import, `advice` is about untested combinations.
Only the standard library is imported at the top: the checks run if everything else is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

from installed_packages import (
    OPENMMLAB,
    PROVIDERS,
    build_mmcv_command,
    gpu_names,
    installed,
    nvcc_version,
    ops_cuda_version,
    pip_command,
    torch_cuda_version,
    wanted,
)

CHECKOUT = Path(__file__).resolve().parents[2]

# What installs a module that is not named like its distribution.
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'dateutil': 'python-dateutil',
    'pkg_resources': 'setuptools<81',
    'skimage': 'scikit-image',
    'yaml': 'PyYAML',
}


@dataclass(frozen=True)
class Problem:
    """A fault, and the shell command that repairs it."""

    summary: str
    fix: str


def blockers() -> Iterator[Problem]:
    """Yield the problems that stop the import of the plugin, a cause before its consequences."""
    missing = [module for module in PROVIDERS if find_spec(module) is None]
    for module in missing:
        yield Problem(f'{module} is not installed', _install_command(module, wanted(module)))
    if missing:
        return
    yield from _openmmlab_conflicts()
    for module in ('numpy', 'torch', 'cv2', 'mmengine', 'mmcv', 'mmcv._ext', 'mmdet'):
        try:
            import_module(module)
        # a binary that does not fit raises anything: ImportError, OSError, AttributeError ...
        except Exception as error:
            yield _import_failure(module, error)
            return
    try:
        import_module('ghm_mmdet')
    except Exception as error:
        yield _own_failure(error)


def advice() -> Iterator[Problem]:
    """Yield parts that work, but are fragile or slow; to be called if there are no `blockers`."""
    for module in PROVIDERS:
        found = installed(module)
        if len(found) > 1:
            summary = f'{_listed(found)} install the same files, {module}'
            yield Problem(summary, _replace_command(module))
    if 'mmengine' in installed('mmengine') and find_spec('pkg_resources') is None:
        summary = 'mmengine needs pkg_resources, which newer releases of setuptools lack'
        yield Problem(summary, pip_command('install', 'setuptools<81'))
    gpus = gpu_names()
    if gpus and ops_cuda_version() is None:
        obstacle = cuda_build_obstacle(torch_cuda_version(), nvcc_version())
        fix = build_mmcv_command()
        summary = f'mmcv has operators for the CPU alone, beside a GPU ({gpus[0]})'
        yield Problem(summary, f'{obstacle}, then {fix}' if obstacle else fix)


def cuda_build_obstacle(torch_cuda: str | None, nvcc: str | None) -> str | None:
    """Return the steps that are needed before CUDA operators can be built, None if there are none.

    Args:
        torch_cuda: The CUDA release of torch, such as '13.0'; None for a torch without CUDA.
        nvcc: The release of the CUDA compiler; None if there is none.
    """
    if torch_cuda is None:
        return 'install a torch with CUDA'
    if nvcc is None:
        return f'install nvcc of CUDA {torch_cuda} and set CUDA_HOME'
    if nvcc.split('.')[0] != torch_cuda.split('.')[0]:
        return f'install nvcc of CUDA {torch_cuda} (this one is {nvcc}) and set CUDA_HOME'
    return None


def _openmmlab_conflicts() -> Iterator[Problem]:
    """Yield the releases of mmcv and mmengine that mmdet refuses in the extras of its metadata."""
    from packaging.requirements import Requirement

    for name in installed('mmdet'):
        for requirement in map(Requirement, requires(name) or ()):
            module = next((key for key in OPENMMLAB if requirement.name in PROVIDERS[key]), None)
            found = installed(module) if module else {}
            if not found or any(requirement.specifier.contains(each) for each in found.values()):
                continue
            needed = f'{requirement.name}{requirement.specifier}'
            summary = f'{name} needs {needed}, but {_listed(found)} is installed'
            yield Problem(summary, _install_command(module, needed))


def _import_failure(module: str, error: Exception) -> Problem:
    reason = ' '.join(str(error).split()) or repr(error)
    summary = f'{module} cannot be imported ({reason})'
    if getattr(error, 'name', None) == 'mmcv._ext':
        return Problem(f'mmcv has no compiled operators ({reason})', build_mmcv_command())
    if module == 'mmcv._ext':
        torch = _listed(installed('torch'))
        summary = f'the compiled operators of mmcv do not load with {torch} ({reason})'
        return Problem(summary, build_mmcv_command())
    # the top of a missing module; numpy._core is missing from a numpy of another release
    missing = isinstance(error, ModuleNotFoundError) and (error.name or '').partition('.')[0]
    if missing and missing not in PROVIDERS:
        return Problem(summary, pip_command('install', DISTRIBUTIONS.get(missing, missing)))
    if 'numpy' in reason:
        # a module that does not load with numpy 2 was compiled before its release
        is_new = installed('numpy')['numpy'] >= '2'
        return Problem(summary, pip_command('install', 'numpy<2' if is_new else wanted('numpy')))
    if module == 'cv2':
        return Problem(summary, _replace_command(module))
    if module == 'mmcv':
        # pip alone would install it without its operators
        return Problem(summary, build_mmcv_command())
    fix = pip_command('install', '--force-reinstall', '--no-deps', wanted(module))
    return Problem(summary, fix)


def _own_failure(error: Exception) -> Problem:
    reason = ' '.join(str(error).split()) or repr(error)
    if 'too old' in reason:
        fix = f'{pip_command("install", wanted("torch"))} && {build_mmcv_command()}'
        return Problem(reason, fix)
    fix = pip_command('install', '--force-reinstall', '--no-deps', str(CHECKOUT))
    return Problem(f'ghm_mmdet cannot be imported ({reason})', fix)


def _install_command(module: str, requirement: str) -> str:
    if module == 'mmcv':
        return build_mmcv_command(requirement)
    # with their dependencies, some would bring a second OpenCV
    options = ['--no-deps'] if module == 'cv2' else []
    return pip_command('install', *options, requirement)


def _replace_command(module: str) -> str:
    remove = pip_command('uninstall', '-y', *installed(module))
    return f'{remove} && {_install_command(module, wanted(module))}'


def _listed(found: dict[str, str]) -> str:
    return ' and '.join(f'{name} {release}' for name, release in found.items())
