"""Every file and every dotted name of thinklab that a page, a comment, or a docstring mentions exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PATH = re.compile(r"(?<![\w./-])thinklab/[\w./-]*\w")
DOTTED = re.compile(r"(?<![\w./@-])thinklab(?:\.[A-Za-z_]\w*)+")
ELSEWHERE = {
    "thinklab/data": "in the wheel only: pyproject.toml puts behaviors and examples there",
    "thinklab.json": "a file in every checkpoint",
    "thinklab/dom.js": "an address in the viewer's import map, not a file",
    "thinklab/app.js": "an address in the viewer's import map, not a file",
    "thinklab.detectors": "an entry point group",
    "thinklab.behavior_packs": "an entry point group",
    "thinklab.tasks": "an entry point group, and a folder",
    "thinklab.teachers": "an entry point group, and a folder",
    "thinklab.students": "an entry point group, and a folder",
}
"""Names that look like one of the package's and are something else."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    *sorted((ROOT / "thinklab").rglob("*.py")),
    *sorted((ROOT / "tools").glob("*.py")),
    *sorted((ROOT / "examples").rglob("*")),
]
FILES = [f for f in (*PAGES, *SOURCES) if f.suffix in (".md", ".py", ".yaml")]


def exists(dotted: str) -> bool:
    """True for a module, or for what can be reached from one by attributes."""
    parts, k = dotted.split("."), 0
    while k < len(parts) and is_module(parts[: k + 1]):
        k += 1
    found = importlib.import_module(".".join(parts[:k]))
    for name in parts[k:]:
        if not hasattr(found, name):
            return name in getattr(found, "__annotations__", ()) or name in getattr(found, "__dataclass_fields__", ())
        found = getattr(found, name)
    return True


def is_module(parts: list[str]) -> bool:
    place = ROOT.joinpath(*parts)
    return (place / "__init__.py").exists() or place.with_suffix(".py").exists()


def is_tracked(place: Path) -> bool:
    """A file, or a folder with more in it than the bytecode that a moved package leaves behind."""
    return place.is_file() or any(f.is_file() and "__pycache__" not in f.parts for f in place.rglob("*"))


def missing(text: str) -> list[str]:
    """The names in ``text`` that lead nowhere."""
    paths = {m.group() for m in PATH.finditer(text)}
    dotted = {m.group() for m in DOTTED.finditer(text)}
    return sorted(
        [p for p in paths if p not in ELSEWHERE and not is_tracked(ROOT / p)]
        + [d for d in dotted if d not in ELSEWHERE and not exists(d)]
    )


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_what_is_named_exists(file: Path) -> None:
    assert missing(file.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("see ``thinklab/baselines``", ["thinklab/baselines"]),
        ("`thinklab/baselines/sft.py`", ["thinklab/baselines/sft.py"]),
        ("returns `thinklab.teachers.money.Estimate`", ["thinklab.teachers.money.Estimate"]),
        ("`thinklab.recorder`", ["thinklab.recorder"]),
        ("`thinklab.Lab`, `thinklab.run.folder.RunFolder.open`, `thinklab/trainer.py`, `thinklab/guide`", []),
        ("my_thinklab.nothing, run/thinklab/nothing, thinklab train", []),
    ],
)
def test_a_name_that_leads_nowhere_is_found(text: str, found: list[str]) -> None:
    assert missing(text) == found
