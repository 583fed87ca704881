"""``file.py:name`` or ``module:name`` in a config: finds, imports, and hashes the user's own Python file (``find``).

A console script does not look for modules where it was started, and putting that folder on ``sys.path`` for good would let any
file or folder in it shadow a package that is not installed. So the module that is named is loaded from there by name; during
its import the folder is searched last, so that it finds its neighbors but cannot shadow installed packages. A file that is named
by its path may have any name: it is loaded under a name made of its path and its content, so an edited file is loaded again.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_config_folders: list[Path] = []


class _Unusable(Exception):
    """Why a file cannot be used under its name."""


_FILE = re.compile(r"(.+\.py):([^:/\\]*)", re.S)
"""``PATH.py:NAME``."""


def look_beside(config: Path) -> None:
    """From now on, look for functions in this config's folder first, then in those of earlier configs, then in the working directory."""
    folder = config.resolve().parent
    _config_folders[:] = [folder, *(f for f in _config_folders if f != folder)]


def file_of(name: str) -> str | None:
    """The path in ``./file.py:name``; None for ``module:name`` and everything else."""
    found = _FILE.fullmatch(name)
    return found[1] if found else None


def completed(name: str, folders: Sequence[Path]) -> str:
    """``./file.py:name`` with the absolute path of the file, from the first of ``folders`` that has it, so that it means the same
    from everywhere; anything else unchanged."""
    file = file_of(name)
    for folder in folders if file is not None else ():
        try:
            if (there := folder / Path(str(file)).expanduser()).is_file():
                return f"{there.resolve()}{name[len(str(file)) :]}"
        except (OSError, ValueError, RuntimeError):  # no valid file name, an unknown ~user
            return name
    return name


def find(name: str, what: str, error: type[Exception]) -> Any:
    """What is called ``name`` in a file (``./file.py:name``) or a module (``module:name``; an installed one if no user file has
    that name).

    Args:
        what: what it is for, such as "the rule"; every message starts with it.

    Raises:
        error: with the folders that were searched, or with file and line of the error inside the module.
    """
    file = file_of(name)
    module, _, attribute = name.rpartition(":") if file is not None else name.partition(":")
    if not all(part.isidentifier() for part in (*(() if file is not None else module.split(".")), attribute)):
        raise error(f"{what} {name!r}: write FILE:NAME, such as ./my.py:f for the function f in my.py, or module:function")
    folders = list(dict.fromkeys([*_config_folders, Path.cwd()]))
    try:
        loaded = _load(module, folders) if file is None else _load_file(file)
    except _Unusable as why:
        raise error(f"{what} {name!r}: {why}") from None
    except ModuleNotFoundError as why:
        if file is not None or why.name is None or not f"{module}.".startswith(f"{why.name}."):  # an import in the user's module
            raise error(f"{what} {name!r} cannot be imported: {_where(why)}{why}") from why
        looked = ", ".join(map(str, folders))
        raise error(
            f"{what} {name!r} cannot be imported: there is no module {why.name!r} in {looked}, and none is installed"
        ) from why
    except Exception as why:  # a user's module may raise anything during import
        raise error(f"{what} {name!r} cannot be imported: {_where(why)}{type(why).__name__}: {why}") from why
    if not hasattr(loaded, attribute):
        close = difflib.get_close_matches(attribute, [n for n in vars(loaded) if not n.startswith("_")], n=1)
        near = f" (did you mean {close[0]!r}?)" if close else ""
        raise error(f"{what} {name!r}: {attribute} does not exist in {getattr(loaded, '__file__', None) or module}{near}")
    return getattr(loaded, attribute)


def find_function(name: str, what: str, error: type[Exception]) -> Callable[..., Any]:
    """``find`` for a function, or another callable.

    Raises:
        error: as ``find``, or if it cannot be called.
    """
    found = find(name, what, error)
    if not callable(found):
        module, _, attribute = name.rpartition(":")
        raise error(f"{what} {name!r}: {attribute} is not a function in {module}")
    return found


def content_hash(name: str) -> str | None:
    """12 hex digits over the content of the user's file that ``name`` refers to; None for what is installed, or where there is no
    such file. Files that it imports are not included."""
    if file_of(name) is not None:
        found = file_of(completed(name, [Path.cwd()]))
    else:
        folders, tail = [*_config_folders, Path.cwd()], Path(*name.partition(":")[0].split("."))
        found = next((str(f) for folder in folders if (f := (folder / tail).with_suffix(".py")).is_file()), None)
    try:
        return None if found is None else sha256(Path(found).read_bytes()).hexdigest()[:12]
    except OSError:
        return None


def _load_file(file: str) -> ModuleType:
    """A relative path is relative to the working directory: those in a config were completed when it was read."""
    path = Path.cwd() / Path(file).expanduser()
    if not path.is_file():
        raise _Unusable(f"there is no file {file}" + ("" if Path(file).expanduser().is_absolute() else f" in {Path.cwd()}"))
    path = path.resolve()
    source = path.read_bytes()
    stem = re.sub(r"\W", "_", path.stem)
    name = f"thinklab_own_{stem}_{sha256(str(path).encode() + source).hexdigest()[:12]}"
    if name not in sys.modules:
        loaded = sys.modules[name] = ModuleType(name)
        loaded.__file__ = str(path)
        try:
            with _searched_last(path.parent):  # not by importlib: its cached bytecode can be that of the file a second ago
                exec(compile(source, str(path), "exec"), loaded.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


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
                raise _Unusable(
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
    code = getattr(function, "__code__", None) or getattr(vars(type(function)).get("__call__"), "__code__", None)
    file = getattr(code, "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{file}:{lines[-1]}: " if lines else ""
