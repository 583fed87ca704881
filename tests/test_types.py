"""Types for those who use thinklab: what README, docs, notebooks and examples import is checked strictly and has types outside, too."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.conftest import ROOT

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
STRICT = next(part["module"] for part in CONFIG["overrides"] if part.get("disallow_untyped_defs"))
FACES = [f for f in sorted((ROOT / "thinklab").rglob("__init__.py")) if "def __getattr__" in f.read_text("utf-8")]


def texts():
    """Everything that a user reads and copies from."""
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        yield from re.findall(r"```python\n(.*?)```", file.read_text("utf-8"), re.DOTALL)
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield from ("".join(c["source"]) for c in json.loads(file.read_text("utf-8"))["cells"] if c["cell_type"] == "code")
    yield from (file.read_text("utf-8") for file in sorted((ROOT / "examples").rglob("*.py")))


def shown() -> set[tuple[str, str]]:
    """``(module, name)`` of every ``from thinklab... import`` in ``texts``."""
    lines = [match for text in texts() for match in re.findall(r"^\s*from (thinklab[\w.]*) import ([\w, ]+)", text, re.MULTILINE)]
    return {(module, name.strip()) for module, names in lines for name in names.split(",")}


def home(module: str, name: str) -> str:
    """The module that defines what ``from module import name`` gives."""
    found = getattr(importlib.import_module(module), name)
    if inspect.ismodule(found):
        return found.__name__
    where = getattr(found, "__module__", module)  # a constant stands in the module that it is imported from
    return where if where.startswith("thinklab") else module


def test_what_users_are_shown_is_checked_strictly():
    import thinklab

    used = shown() | {("thinklab", name) for name in thinklab.__all__}
    assert len(used) > 20
    assert not ({home(module, name) for module, name in used} | {module for module, _ in used}) - set(STRICT)


@pytest.mark.parametrize("name", STRICT)
def test_every_module_that_is_checked_strictly_exists(name):
    assert importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("face", FACES, ids=lambda f: str(f.parent.relative_to(ROOT)))
def test_a_name_that_is_loaded_on_first_use_has_its_type(face):
    """A type checker does not run ``__getattr__``: without the import beside it the name would be ``Any``."""
    tree = ast.parse(face.read_text("utf-8"))
    hidden = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    named = {a.asname for block in hidden for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    module = importlib.import_module(".".join(face.parent.relative_to(ROOT).parts))
    lazy = {name for name in getattr(module, "__all__", ()) if name not in vars(module)}
    assert lazy <= named | {"__version__"}


def test_the_wheel_says_that_it_has_types(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "thinklab/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_lint_checks_types_wherever_lint_is_called():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert re.search(r"\bmypy\b", recipe[1])
    for file in (".ci/run", ".github/workflows/ci.yml"):
        assert re.search(r"^\s*(- run: )?make .*\blint( .*)?$", (ROOT / file).read_text("utf-8"), re.MULTILINE), file
    assert "bin/mypy" in (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert any(re.match(r"mypy>=[\d.]+,<\d", wanted) for wanted in project["optional-dependencies"]["dev"])
