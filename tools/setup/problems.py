"""What keeps the plugin from working in this environment, and the command that repairs it.

Two groups of checks: `blockers` stop the import, `advice` is about what works, but not as tested.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise

from installed_packages import (
    OPENMMLAB,
    PROVIDERS,
    build_mmcv_command,
    gpu_names,
    installed,
    module_of,
    nvcc_version,
    ops_cuda_version,
    pip_command,
    release,
    releases,
    requirements,
    torch_cuda_version,
    wanted,
)

ALONE = ('ghm_mmdet.doctor', 'build_mmcv', 'demo.explain')


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and the shell command that repairs it; together they are a line."""

    summary: str
    fix: str

    def __str__(self) -> str:
        return f'{self.summary}; to fix it: {self.fix}'


class EnvironmentProblem(ImportError):
    """The plugin cannot work in this environment; the message is one line and names the repair."""


def require() -> None:
    """Check that the plugin can work here.

    Raises:
        EnvironmentProblem: With the first thing that stops it and its repair. Where nothing catches
            it, the interpreter prints that line alone, without a traceback.
    """
    problem = next(blockers(), None)
    if problem is None:
        return
    _print_without_traceback()
    raise EnvironmentProblem(f'ghm_mmdet cannot be imported: {problem}')


def runs_alone() -> bool:
    """Whether this process is one of the modules of `ALONE`, run by `python -m`.

    Python imports a package before it runs a module of it. The doctor and the build have to start
    where the rest of the package cannot be imported, and the quick look is not to wait for mmdet.
    """
    return any(flag == '-m' and name in ALONE for flag, name in pairwise(sys.orig_argv))


def blockers() -> Iterator[Problem]:
    """Yield what stops the plugin from being imported, a cause before its consequences."""
    missing = [module for module in PROVIDERS if find_spec(module) is None]
    for module in missing:
        yield Problem(f'{module} is not installed', _install_command(module, wanted(module)))
    if missing:
        return
    yield from _openmmlab_conflicts()
    for module in ('numpy', 'torch', 'cv2', 'mmengine', 'mmcv', 'mmcv._ext', 'mmdet'):
        try:
            import_module(module)
        # A binary that does not fit raises anything: ImportError, OSError, AttributeError ...
        except Exception as error:
            yield _import_failure(module, error)
            return


def advice() -> Iterator[Problem]:
    """Yield what works here, but is fragile, slow or not what the packages ask for.

    To be called where there are no `blockers`.
    """
    yield from _several_providers()
    yield from _unmet_requirements()
    yield from _no_pkg_resources()
    yield from _cpu_ops_beside_gpu()


def cuda_build_obstacle(torch_cuda: str | None, nvcc: str | None) -> str | None:
    """Return what has to be done before CUDA operators can be built beside a GPU, None if nothing.

    Args:
        torch_cuda: The CUDA release of torch, such as '13.0'; None for a torch without CUDA.
        nvcc: The release of the CUDA compiler; None where there is none.
    """
    if torch_cuda is None:
        return 'install a torch with CUDA'
    if nvcc is None:
        return f'install nvcc of CUDA {torch_cuda} and set CUDA_HOME'
    if nvcc.split('.')[0] != torch_cuda.split('.')[0]:
        return f'install nvcc of CUDA {torch_cuda} (this one is {nvcc}) and set CUDA_HOME'
    return None


def _print_without_traceback() -> None:
    previous = sys.excepthook

    def hook(kind, error, traceback):
        cause = error
        # mmengine's custom_imports raises an ImportError of its own over this one.
        while isinstance(cause, ImportError) and not isinstance(cause, EnvironmentProblem):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, EnvironmentProblem):
            print(cause, file=sys.stderr)
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook


def _openmmlab_conflicts() -> Iterator[Problem]:
    """What the three packages ask of each other, which their metadata hides in extras."""
    for name in (name for module in OPENMMLAB for name in installed(module)):
        for requirement in requirements(name, with_extras=True):
            asked_of_another = module_of(requirement.name) in OPENMMLAB
            if asked_of_another and releases(requirement.name) and not _met(requirement):
                yield _unmet(name, requirement)


def _import_failure(module: str, error: Exception) -> Problem:
    reason = ' '.join(str(error).split()) or repr(error)
    summary = f'{module} cannot be imported ({reason})'
    if getattr(error, 'name', None) == 'mmcv._ext':
        return Problem(f'mmcv has no compiled operators ({reason})', build_mmcv_command())
    if module == 'mmcv._ext':
        torch = _listed(installed('torch'))
        summary = f'the compiled operators of mmcv do not load with {torch} ({reason})'
        return Problem(summary, build_mmcv_command())
    if isinstance(error, ModuleNotFoundError):
        unmet = next(_unmet_requirements(), None)
        return Problem(summary, unmet.fix if unmet else pip_command('install', error.name))
    if 'numpy' in reason:
        return Problem(summary, _replace_numpy_command())
    if module == 'cv2':
        return Problem(summary, _replace_command(module))
    return Problem(
        summary, pip_command('install', '--force-reinstall', '--no-deps', wanted(module))
    )


def _several_providers() -> Iterator[Problem]:
    for module in PROVIDERS:
        found = installed(module)
        if len(found) > 1:
            summary = f'{_listed(found)} install the same files, {module}'
            yield Problem(summary, _replace_command(module))


def _unmet_requirements() -> Iterator[Problem]:
    """What the packages under the plugin ask of each other, however deep."""
    names = [name for module in PROVIDERS for name in installed(module)]
    for name in names:
        for requirement in requirements(name):
            if not _met(requirement):
                yield _unmet(name, requirement)
            names += [each for each in releases(requirement.name) if each not in names]


def _no_pkg_resources() -> Iterator[Problem]:
    """What MMEngine of OpenMMLab imports without asking for it, when a config inherits."""
    found = release('mmengine')
    if found and find_spec('pkg_resources') is None:
        summary = f'mmengine {found} needs pkg_resources, which newer releases of setuptools lack'
        yield Problem(summary, pip_command('install', 'setuptools<81'))


def _cpu_ops_beside_gpu() -> Iterator[Problem]:
    gpus = gpu_names()
    if not gpus or ops_cuda_version() is not None:
        return
    obstacle = cuda_build_obstacle(torch_cuda_version(), nvcc_version())
    summary = f'mmcv has operators for the CPU alone, beside a GPU ({gpus[0]})'
    fix = build_mmcv_command()
    yield Problem(summary, f'{obstacle}, then {fix}' if obstacle else fix)


def _met(requirement) -> bool:
    found = releases(requirement.name).values()
    return any(requirement.specifier.contains(each, prereleases=True) for each in found)


def _unmet(name: str, requirement) -> Problem:
    found = releases(requirement.name)
    state = f'{_listed(found)} is installed' if found else 'it is not installed'
    needed = f'{requirement.name}{requirement.specifier}'
    module = module_of(requirement.name) or requirement.name
    return Problem(f'{name} needs {needed}, but {state}', _install_command(module, needed))


def _install_command(module: str, requirement: str) -> str:
    if module == 'mmcv':
        return build_mmcv_command(requirement)
    # With their dependencies, some would bring a second OpenCV.
    options = ['--no-deps'] if module == 'cv2' else []
    return pip_command('install', *options, requirement)


def _replace_command(module: str) -> str:
    remove = pip_command('uninstall', '-y', *installed(module))
    return f'{remove} && {_install_command(module, wanted(module))}'


def _replace_numpy_command() -> str:
    asked = (problem.fix for problem in _unmet_requirements() if 'needs numpy' in problem.summary)
    # What names no range and does not load was compiled before numpy 2 came out.
    release = 'numpy<2' if installed('numpy')['numpy'] >= '2' else wanted('numpy')
    return next(asked, pip_command('install', release))


def _listed(found: dict[str, str]) -> str:
    return ' and '.join(f'{name} {release}' for name, release in found.items())
