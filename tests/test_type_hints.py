"""Type hints of the public API: complete, and names that exist."""

import inspect
import typing
from importlib import import_module

import pytest

PACKAGES = [
    import_module(f'ghm_mmdet.{name}')
    for name in ('criteria', 'data', 'heads', 'hooks', 'losses', 'ops')
]
DENSITY = import_module('ghm_mmdet.density')
EXPORTED = [getattr(package, name) for package in PACKAGES for name in package.__all__] + [
    value
    for name, value in vars(DENSITY).items()
    if not name.startswith('_') and getattr(value, '__module__', None) == DENSITY.__name__
]


def own_functions(exported):
    """What a function or class offers to its users, without what it has from other packages."""
    if inspect.isfunction(exported):
        return [exported]
    if not inspect.isclass(exported):
        return []
    classes = [each for each in exported.__mro__ if each.__module__.startswith('ghm_mmdet.')]
    members = [member for each in classes for member in vars(each).values()]
    functions = [getattr(member, 'fget', getattr(member, '__func__', member)) for member in members]
    return [
        each
        for each in functions
        if inspect.isfunction(each)
        and each.__module__.startswith('ghm_mmdet.')
        and (each.__name__ == '__init__' or not each.__name__.startswith('_'))
    ]


FUNCTIONS = sorted(
    {function for exported in EXPORTED for function in own_functions(exported)},
    key=lambda function: function.__qualname__,
)


@pytest.mark.parametrize('function', FUNCTIONS, ids=lambda each: each.__qualname__)
def test_every_argument_and_the_result_have_a_type(function):
    hints = typing.get_type_hints(function)
    arguments = [name for name in inspect.signature(function).parameters if name != 'self']
    missing = {*arguments, 'return'} - hints.keys() - {'cls'}
    assert not missing
