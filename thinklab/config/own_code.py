"""``module:function`` as written in a config: a user's file in the config's folder or in the working directory.

A console script does not look for modules where it was started, and putting that folder on ``sys.path`` for good would let any
file or folder in it shadow a package that is not installed. So the module that is named is loaded from there by name; during
its import the folder is searched last, so that it finds its neighbors but cannot shadow installed packages.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from thinklab.errors import ConfigError

_config_folders: list[Path] = []


def look_beside(config: Path) -> None:
    """From now on, look for functions in this config's folder first, then in those of earlier configs, then in the working directory."""
    folder = config.resolve().parent
    _config_folders[:] = [folder, *(f for f in _config_folders if f != folder)]


def find_function(name: str, what: str) -> Callable[..., Any]:
    """The function called ``module:function``; from an installed module if no user file has that name.

    Args:
        what: what it is for, such as "the rule"; for the error.

    Raises:
        ConfigError: with the folders that were searched, or with file and line of the error inside the module.
    """
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise ConfigError(f"{what} {name!r}: write module:function, such as myrules:f for the function f in myrules.py")
    folders = list(dict.fromkeys([*_config_folders, Path.cwd()]))
    try:
        loaded = _load(module, folders)
    except ConfigError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # a module that the user's module imports
            raise ConfigError(f"{what} {name!r} cannot be imported: {_where(error)}{error}") from error
        looked = ", ".join(map(str, folders))
        raise ConfigError(
            f"{what} {name!r} cannot be imported: there is no module {error.name!r} in {looked}, and none is installed"
        ) from error
    except Exception as error:  # a user's module may raise anything during import
        raise ConfigError(f"{what} {name!r} cannot be imported: {_where(error)}{type(error).__name__}: {error}") from error
    found = getattr(loaded, attribute, None)
    if not callable(found):
        state = "is not a function" if hasattr(loaded, attribute) else "does not exist"
        raise ConfigError(f"{what} {name!r}: {attribute} {state} in {getattr(loaded, '__file__', None) or module}")
    return found


def _load(module: str, folders: list[Path]) -> ModuleType:
    top = module.partition(".")[0]
    importlib.invalidate_caches()  # the file may be only a second old
    for folder in folders:
        spec = PathFinder.find_spec(top, [str(folder)])
        if spec is None or (spec.origin is None and not (folder / Path(*module.split("."))).with_suffix(".py").is_file()):
            continue  # a folder without __init__.py counts if the file is in it
        known = sys.modules.get(top)
        with _searched_last(folder):
            if known is None:
                _execute(top, spec)
            elif _files(known) != _files(spec):
                raise ConfigError(
                    f"{folder / top} cannot be used under the name {top!r}: another module of that name is already "
                    f"loaded ({next(iter(_files(known)), 'built in')}); give the file another name"
                )
            return importlib.import_module(module)
    return importlib.import_module(module)


def _execute(name: str, spec: ModuleSpec) -> None:
    """Like ``import``, for a spec found elsewhere."""
    loaded = sys.modules[name] = module_from_spec(spec)
    try:
        if spec.loader is not None:
            spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise


def _files(module: ModuleType | ModuleSpec) -> set[str]:
    """The file, or the folders of a package without ``__init__.py``."""
    if isinstance(module, ModuleSpec):
        origin, folders = module.origin, module.submodule_search_locations
    else:
        origin, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
    return {str(Path(f).resolve()) for f in ([origin] if origin else folders or ())}


@contextmanager
def _searched_last(folder: Path) -> Iterator[None]:
    sys.path.append(str(folder))
    try:
        yield
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(str(folder))]


def _where(error: BaseException) -> str:
    """``file:line: `` of the place in the user's module, the innermost frame that is not import machinery."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: "
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename and f.filename != __file__]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""


def place_in(error: BaseException, function: Callable[..., Any]) -> str:
    """``file:line: `` of the last line of ``function``'s own file that ``error`` came through; empty where there is none."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{file}:{lines[-1]}: " if lines else ""
