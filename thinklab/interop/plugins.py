"""``check_shape``: are the names and signatures of a plugin object those of its protocol? When it is loaded.

A ``Protocol`` declares what thinklab may call; ``isinstance`` tells what an object offers of it. This check catches a
misspelled method, which would otherwise silently never be called.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

CLOSE = 0.8
"""Similarity (difflib) from which an undeclared name counts as a misspelled one."""
_NOTHING = object()


def check_shape(
    thing: object, what: str, error: type[Exception], required: type | None = None, optional: Sequence[type] = ()
) -> None:
    """Refuse ``thing`` when it lacks a name of ``required``, offers a part of an ``optional`` protocol, declares a name with
    another shape (a property instead of a method, other parameters, ``async``), or has a method that looks like a misspelled one.

    Args:
        what: the object in words, such as ``the teacher 'parrot'``; every message starts with it.
        required, optional: protocols, or classes that ``thing`` inherits from.

    Raises:
        error: one line that says what to change.
    """
    if inspect.isclass(thing):
        raise error(f"{what} is the class {thing.__name__}, not an object: call it, {thing.__name__}(...)")
    what = f"{what} ({type(thing).__module__}.{type(thing).__qualname__})"
    declared = {name: (protocol, shape) for protocol in (required, *optional) if protocol for name, shape in names(protocol)}
    given = {name for name, (protocol, _) in declared.items() if _gives(thing, name, protocol)}
    own = [name for name in _methods(thing) if name not in declared]
    for name in (n for n in declared if n not in given):
        for near in own:
            if _alike(near, name):
                raise error(
                    f"{what} has {near!r}, which thinklab never calls: did you mean {name!r}? Rename it, or begin its name "
                    "with an underscore if it is something else"
                )
    if required is not None:
        for name, shape in names(required):
            if not hasattr(thing, name):
                raise error(f"{what} has no {_shown(name, shape)}, which is required")
    for protocol in optional:
        parts = [name for name, _ in names(protocol)]
        if (missing := [n for n in parts if n not in given]) and len(missing) < len(parts):
            have = next(n for n in parts if n in given)
            raise error(f"{what} has {have!r} but no {missing[0]!r}: {protocol.__name__} needs {' and '.join(parts)}")
    for name, (_, shape) in declared.items():
        if name in given:
            _check_name(thing, name, shape, what, error)


def names(protocol: type) -> list[tuple[str, Any]]:
    """(name, function, property, or annotation) of all that ``protocol`` itself declares in public, and its ``__call__``."""
    found = {name: kind for name, kind in vars(protocol).get("__annotations__", {}).items() if not name.startswith("_")}
    found |= {
        name: value
        for name, value in vars(protocol).items()
        if (inspect.isfunction(value) or isinstance(value, property)) and (not name.startswith("_") or name == "__call__")
    }
    return list(found.items())


def check_call(function: Any, called: str, given: Iterable[str], what: str, error: type[Exception]) -> None:
    """Reject a ``function`` that cannot be called with the positional arguments in ``given``.

    Raises:
        error: with both signatures.
    """
    if not callable(function):
        raise error(f"{what}: {called!r} is {function!r:.40}; it must be a method")
    given = list(given)
    if inspect.iscoroutinefunction(function):
        raise error(f"{what}: {called!r} is async; thinklab calls {called}({', '.join(given)}) and needs the result at once")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # functions written in C have no signature
        return
    try:
        signature.bind(*given)
    except TypeError as why:
        raise error(f"{what}: {called}{signature} cannot be called as {called}({', '.join(given)}): {why}") from None


def _check_name(thing: object, name: str, shape: Any, what: str, error: type[Exception]) -> None:
    there = inspect.getattr_static(thing, name, _NOTHING)
    computed = isinstance(there, property | cached_property)
    if not inspect.isfunction(shape):  # a value
        if inspect.isroutine(there) and not str(shape).startswith("Callable"):
            raise error(f"{what}: {name!r} is a method; it must be a value: add @property above it")
        if not computed and shape in ("str", str) and not isinstance(value := getattr(thing, name), str):
            raise error(f"{what}: {name!r} is {value!r:.40}; it must be a text")
        return
    if computed:
        raise error(f"{what}: {name!r} is a property; it must be a method: remove @property")
    function = thing if name == "__call__" else getattr(thing, name)
    called = _called(name)
    for arguments in _calls(shape):
        check_call(function, called, arguments, what, error)


def _called(name: str) -> str:
    return "guide" if name == "__call__" else name


def _calls(declared: Callable[..., Any]) -> list[list[str]]:
    """The arguments of the shortest and of the longest call that ``declared`` allows."""
    parameters = list(inspect.signature(declared).parameters.values())[1:]
    needed = [p.name for p in parameters if p.default is p.empty]
    every = [p.name for p in parameters]
    return [needed] if needed == every else [needed, every]


def _gives(thing: object, name: str, declaring: type) -> bool:
    """True where ``thing`` or a class of its own has ``name``; what it only inherits from ``declaring`` does not count."""
    if name == "__call__":
        return callable(thing)
    classes = [c for c in type(thing).__mro__ if c is not declaring]
    if name in getattr(thing, "__dict__", {}) or any(name in vars(c) for c in classes):
        return True
    return declaring not in type(thing).__mro__ and hasattr(thing, name)  # an object that delegates to another one


def _methods(thing: object) -> list[str]:
    """Public methods and properties of its class."""
    found = ((name, inspect.getattr_static(type(thing), name)) for name in dir(type(thing)) if not name.startswith("_"))
    return [
        name
        for name, value in found
        if inspect.isroutine(value) or isinstance(value, property | cached_property | staticmethod | classmethod)
    ]


def _alike(a: str, b: str) -> bool:
    a, b = (x.replace("_", "").lower() for x in (a, b))
    return difflib.SequenceMatcher(None, a, b).ratio() >= CLOSE


def _shown(name: str, shape: Any) -> str:
    if not inspect.isfunction(shape):
        return repr(name)
    return f"{_called(name)}({', '.join(_calls(shape)[-1])})"
