"""An unpickler of data only, for torch below 2.6, whose own cannot load a runner's checkpoints.

A pickle is a program that calls the functions and classes that it names. This unpickler allows only
names on a list.
"""

from __future__ import annotations

import codecs
import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, BinaryIO, ClassVar

import torch

BUILTINS = {
    **{f'builtins.{kind.__name__}': kind for kind in (set, complex, bytearray)},
    'collections.Counter': Counter,
    '_codecs.encode': codecs.encode,
}
"""Types that torch 2.6 allows beside its own, and earlier versions do not."""


def use_for_weights_only(allowed: Mapping[str, Callable]) -> None:
    """Let ``torch.load(..., weights_only=True)`` read pickles with this unpickler.

    Args:
        allowed: Functions and classes that a pickle may call, by their names in files, in addition
            to the functions and classes that torch allows.
    """
    original = torch.serialization._weights_only_unpickler
    known = {**original._get_allowed_globals(), **BUILTINS, **allowed}
    added = getattr(torch.serialization, 'get_safe_globals', list)

    def is_listed(value: object) -> bool:
        return any(value is each for each in (*known.values(), *added()))

    # the unpickler in Python, because in the one in C these methods cannot be overridden
    class Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
        dispatch: ClassVar = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

        def load_build(self) -> None:
            kind = type(self.stack[-2])
            if not is_listed(kind):
                raise pickle.UnpicklingError(f'BUILD would change a {kind.__name__}')
            super().load_build()

        def load_reduce(self) -> None:
            called = self.stack[-2]
            if not is_listed(called):
                raise pickle.UnpicklingError(f'REDUCE would call {type(called).__name__!r}')
            super().load_reduce()

        def load_instance(self) -> None:
            raise pickle.UnpicklingError('an instruction that Python 3 does not write')

        dispatch.update({pickle.BUILD[0]: load_build, pickle.REDUCE[0]: load_reduce})
        dispatch.update(dict.fromkeys([pickle.INST[0], pickle.OBJ[0]], load_instance))

        def find_class(self, module: str, name: str) -> Any:
            # torch writes the names of Python 2
            module, name = NAME_MAPPING.get((module, name), (module, name))
            full = f'{IMPORT_MAPPING.get(module, module)}.{name}'
            by_user = {f'{each.__module__}.{each.__qualname__}': each for each in added()}
            if full not in known and full not in by_user:
                raise pickle.UnpicklingError(f'GLOBAL {full} is not among what a checkpoint holds')
            return known.get(full) or by_user[full]

    def load(file: BinaryIO, **arguments: Any) -> Any:
        return Unpickler(file, **arguments).load()

    replacement = ModuleType(original.__name__)
    vars(replacement).update({**vars(original), 'Unpickler': Unpickler, 'load': load})
    torch.serialization._weights_only_unpickler = replacement
    is_program = torch.serialization._is_torchscript_zip

    def refuse_program(archive: Any) -> bool:
        if is_program(archive):
            raise pickle.UnpicklingError(
                'a TorchScript archive is a program: load it with torch.jit.load if you trust it'
            )
        return False

    torch.serialization._is_torchscript_zip = refuse_program
