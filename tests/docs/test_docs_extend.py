"""Every block of docs/extend.md does what the page says, in the order of the page.

- ``toml`` and ``python`` with ``# file: NAME`` become that file of a package with the entry points of the page's pyproject;
- ``pycon`` is executed as a doctest: what it prints, and what it raises, is what the page shows.
"""

from __future__ import annotations

import doctest
import re
import sys
import tomllib
from pathlib import Path

import pytest

from thinklab.interop.plugins import names
from thinklab.teachers import protocols

PAGE = Path(__file__).parents[2] / "docs" / "extend.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
FILES = {re.match(r"# file: (\S+)\n", text)[1]: text for kind, text in BLOCKS if kind in ("toml", "python")}
EXAMPLES = [text for kind, text in BLOCKS if kind == "pycon"]
KINDS = ("teachers", "tasks", "students", "detectors")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The page's package as ``pip install`` leaves it: its modules and its entry points."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield groups
    for name in [n for n in sys.modules if n.split(".")[0] == "my_thinklab"]:
        del sys.modules[name]


def test_the_page(package):
    assert set(package) == {f"thinklab.{kind}" for kind in KINDS} and len(EXAMPLES) >= 5
    assert len(FILES) + len(EXAMPLES) == TEXT.count("```") / 2  # no block is left out
    scope = {"__name__": "my_thinklab.example"}
    for text in EXAMPLES:
        test = doctest.DocTestParser().get_doctest(text, scope, PAGE.name, str(PAGE), 0)
        assert test.examples
        runner, said = doctest.DocTestRunner(), []
        runner.run(test, out=said.append, clear_globs=False)
        assert not runner.failures, "".join(said)
        scope = test.globs


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_is_about_twenty_lines(kind):
    code = [line for line in FILES[f"my_thinklab/{kind}.py"].splitlines()[1:] if line.strip()]
    assert len(code) <= 22 and max(map(len, code)) <= 130


def test_the_table_has_all_that_a_teacher_may_offer():
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    shown = re.findall(r"`(\w+)", " ".join(rows))
    assert sorted(shown) == sorted(name for protocol in protocols.OPTIONAL for name, _ in names(protocol))


@pytest.mark.parametrize("link", re.findall(r"\]\(([\w./-]+)\)", TEXT))
def test_links_lead_somewhere(link):
    assert (PAGE.parent / link).is_file()
