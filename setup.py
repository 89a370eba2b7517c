"""What the build adds to pyproject.toml.

First, the compiled back end for the CPU. It is left out where torch is not there while the package
is built, as in pip's isolated builds, where no compiler is that works, and where
GHM_MMDET_COMPILE=0 says so: the package works without it.

Second, the files that OpenMMLab's tools look for in a package. MMEngine and MIM read a package's
configs, tools and model index from its folder `.mim`. Here they stand at the top of the repository,
so a wheel gets copies, and an editable install gets links.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MIM = Path('ghm_mmdet', '.mim')
CONTENT = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Builds the package with its folder `.mim`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            link_content()
            return
        for target, source in self._mim_files().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return sorted({*super().get_outputs(include_bytecode), *self._mim_files()})

    def get_output_mapping(self) -> dict[str, str]:
        return {**super().get_output_mapping(), **self._mim_files()}

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._mim_files().values()]

    def _mim_files(self) -> dict[str, str]:
        """Source of every file, by where it goes."""
        sources = (
            path
            for name in CONTENT
            for path in (Path(name), *Path(name).rglob('*'))
            if path.is_file() and path.parent.name != '__pycache__'
        )
        return {str(Path(self.build_lib, MIM, path)): str(path) for path in sorted(sources)}


def link_content() -> None:
    """Link what is not there yet; what is there may be the user's."""
    MIM.mkdir(exist_ok=True)
    for name in CONTENT:
        link = MIM / name
        if not os.path.lexists(link):
            link.symlink_to(Path('..', '..', name))


def compiled_back_end() -> dict:
    """Arguments of ``setup`` for ``ghm_mmdet.ops._cpu``; none without torch."""
    if os.environ.get('GHM_MMDET_COMPILE') == '0':
        return {}
    try:
        from torch.utils.cpp_extension import BuildExtension, CppExtension
    except ImportError:
        return {}
    # the latter two: loops with a square root or a comparison become vectors
    flags = ['-O3', '-fopenmp', '-fno-math-errno', '-fno-trapping-math']
    extension = CppExtension(
        'ghm_mmdet.ops._cpu',
        ['ghm_mmdet/ops/csrc/operators.cpp'],
        depends=[str(path) for path in Path('ghm_mmdet/ops/csrc').glob('*.h')],
        extra_compile_args=flags,
        optional=True,
    )

    # without ninja, whose errors setuptools does not take for those of an optional extension
    class OptionalBuild(BuildExtension.with_options(use_ninja=False)):
        def build_extensions(self) -> None:
            # torch looks at the compiler first, and raises where it finds none that it takes
            try:
                super().build_extensions()
            except Exception as error:
                print(f'ghm_mmdet: the compiled back end is left out: {error}')

    return {'ext_modules': [extension], 'cmdclass': {'build_ext': OptionalBuild}}


compiled = compiled_back_end()
setup(
    license='Apache-2.0',
    ext_modules=compiled.get('ext_modules', []),
    cmdclass={'build_py': BuildWithMim, **compiled.get('cmdclass', {})},
)
