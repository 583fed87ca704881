"""The documentation site: every page is in its navigation, every link of a page leads to a file, and CI builds it strictly.

The build itself is `make docs`, in an environment of its own; here its parts that need no generator are checked.
"""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.conftest import ROOT
from tools import make_site as site

CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
WANTED = [
    "Start",
    "Write a behavior",
    "Choose a teacher",
    "Train your model",
    "Read the results",
    "Scale out",
    "Evidence",
    "Extend",
    "Reference",
]


def in_nav(part) -> list[str]:
    if isinstance(part, str):
        return [part]
    return [name for inner in (part.values() if isinstance(part, dict) else part) for name in in_nav(inner)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "pages"
    site.stage(folder)
    return folder


def test_the_navigation_follows_what_a_reader_wants():
    assert [next(iter(part)) for part in CONFIG["nav"]] == WANTED


def test_every_page_is_in_the_navigation_and_there(pages):
    named = in_nav(CONFIG["nav"])
    written = {f.relative_to(pages).as_posix() for f in pages.rglob("*.md")}
    linked = {name for name in written if name.startswith(("files/", "measurements/"))} - {"measurements/index.md"}
    assert len(set(named)) == len(named) and set(named) == written - linked, "each page has its place in zensical.toml"
    assert len(linked) > 20


def test_pages_that_are_not_in_the_navigation_can_be_reached(pages):
    index = (pages / "measurements" / "index.md").read_text("utf-8")
    for file in sorted((ROOT / "docs" / "measurements").glob("*.md")):
        assert f"({file.name})" in index


def test_links_are_those_of_the_site(pages):
    """``stage`` raises for a link that leads nowhere; here: what it makes of the others."""
    home = (pages / "index.md").read_text("utf-8")
    assert "](docs/" not in home and "](how-thinktuning-works.md)" in home and "](notebooks/00-start-here.md)" in home
    for file in sorted(pages.rglob("*.md")):
        text = re.sub(site.CODE, "", file.read_text("utf-8"))
        for target in (m[2] for m in site.LINK.finditer(text)):
            assert re.match(r"[a-z]+:", target) or (file.parent / target).is_file(), f"{file}: {target}"


def test_a_link_that_leads_nowhere_is_an_error_and_code_is_left_alone():
    here = ROOT.__class__("docs/runs.md")
    assert site.with_links("`[a](b.md)` [x](lab.md#y) [z](https://a.b/c)", here) == "`[a](b.md)` [x](lab.md#y) [z](https://a.b/c)"
    assert site.with_links("[x](../README.md) [n](../notebooks/00-start-here.ipynb)", here) == (
        "[x](index.md) [n](notebooks/00-start-here.md)"
    )
    with pytest.raises(ValueError, match=r"docs/runs.md: the link to nothing.md leads to no file"):
        site.with_links("[x](nothing.md)", here)


def test_the_check_of_built_pages_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">ok</a><a href="b.html#gone">1</a><a href="c.html">2</a><h2 id="here"></h2><a href="#here">ok</a>'
        '<script src="https://cdn.example/x.js"></script><a href="https://example.org">ok</a>'
    )
    (tmp_path / "b.html").write_text('<h2 id="there"></h2><img src="gone.png">')
    assert site.faults(tmp_path) == [
        "a.html: loads https://cdn.example/x.js",
        "a.html: b.html#gone leads to no heading",
        "a.html: c.html leads to no file",
        "b.html: gone.png leads to no file",
    ]


def test_nothing_is_loaded_from_elsewhere_and_ci_builds_strictly():
    assert CONFIG["theme"]["font"] is False and not CONFIG.get("extra_javascript")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^docs:.*\n\t\$\(DOCS\)/bin/python tools/make_site\.py$", makefile, re.MULTILINE)
    assert '"build", "--strict"' in (ROOT / "tools" / "make_site.py").read_text("utf-8")
    for file in (".ci/run", ".github/workflows/ci.yml"):
        assert re.search(r"^\s*(- run: )?make .*\bdocs( .*)?$", (ROOT / file).read_text("utf-8"), re.MULTILINE), file
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert any(wanted.startswith("zensical==") for wanted in extras["docs"])
