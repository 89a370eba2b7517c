"""An unpickler of data alone, for torch below 2.6, whose own builds no checkpoint of a runner.

A pickle is a program that calls what it names. Here it names what is on a list, and nothing else.
"""

from __future__ import annotations

import codecs
import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, BinaryIO

import torch

BUILTINS = {
    **{f'builtins.{kind.__name__}': kind for kind in (set, complex, bytearray)},
    'collections.Counter': Counter,
    '_codecs.encode': codecs.encode,
}
"""What torch 2.6 allows beside its own types, and its predecessors do not."""


def use_for_weights_only(allowed: Mapping[str, Callable]) -> None:
    """Let ``torch.load(..., weights_only=True)`` read pickles with this unpickler.

    Args:
        allowed: What a pickle may call, by the names that files have for it, beside what torch
            allows by itself.
    """
    original = torch.serialization._weights_only_unpickler
    known = {**original._get_allowed_globals(), **BUILTINS, **allowed}
    added = getattr(torch.serialization, 'get_safe_globals', list)

    class Unpickler(pickle.Unpickler):
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
