"""Build the documentation site: stage README, docs, changelog, and notebooks in build/pages, build them strictly, check every link.

python tools/make_site.py    # what `make docs` calls, in an environment of its own
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[1]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
CODE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1`*$|(`+)(?!`).+?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "bash"}


def site_path(file: Path) -> str:
    """Where ``file``, a path below the repository's root, is in the site."""
    name = file.as_posix()
    if name == "README.md":
        return "index.md"
    if name == "docs/measurements":
        return "measurements/index.md"
    if file.suffix == ".ipynb":
        return file.with_suffix(".md").as_posix()
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return name if file.suffix == ".md" else f"files/{name}.md"


def with_links(text: str, file: Path, used: Callable[[Path], None] = lambda path: None) -> str:
    """``text`` of ``file`` with its relative links as they are in the site; what is between backticks stays.

    Args:
        used: called with each file that a link leads to, below the root.

    Raises:
        ValueError: for a link that leads to no file.
    """
    here = Path(site_path(file)).parent

    def moved(link: re.Match[str]) -> str:
        target = link[2]
        if re.match(r"[a-z]+:", target):
            return link[0]
        path = Path(os.path.normpath(file.parent / target))
        if not (ROOT / path).exists():
            raise ValueError(f"{file}: the link to {target} leads to no file")
        used(path)
        return f"{link[1]}{os.path.relpath(site_path(path), here)}{link[3] or ''}{link[4]}"

    parts, at = [], 0
    for code in CODE.finditer(text):
        parts += [LINK.sub(moved, text[at : code.start()]), code[0]]
        at = code.end()
    return "".join((*parts, LINK.sub(moved, text[at:])))


def notebook_page(file: Path) -> str:
    """A notebook as Markdown: its texts, and its code in blocks. The committed notebooks have no outputs."""
    cells = json.loads(file.read_text("utf-8"))["cells"]
    return "\n\n".join(
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    )


def code_page(file: Path) -> str:
    """A file of the repository that a page links to."""
    text = file.read_text("utf-8").rstrip()
    return f"# {file.name}\n\n`{file.relative_to(ROOT).as_posix()}` in the repository:\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{text}\n````\n"


def measurements_page() -> str:
    """The list behind a link to the folder ``docs/measurements``."""
    rows = []
    for file in sorted((ROOT / "docs" / "measurements").glob("*.md")):
        title = file.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        rows.append(f"- [{title}]({file.name})")
    return "# Measurements\n\nEach table says how it was measured, and when.\n\n" + "\n".join(rows) + "\n"


def stage(pages: Path = PAGES) -> None:
    """Write every page; a folder of an earlier call is replaced."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.md"))
    texts = {f: f.read_text("utf-8") for f in sorted((ROOT / "docs").rglob("*.md"))}
    texts |= {ROOT / name: (ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")}
    texts |= {f: notebook_page(f) for f in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    linked: set[Path] = set()
    written = {}
    for file, text in texts.items():
        path = file.relative_to(ROOT)
        written[site_path(path)] = with_links(text, path, linked.add)
    written["measurements/index.md"] = measurements_page()
    for path in sorted(linked):
        if site_path(path).startswith("files/"):
            written[site_path(path)] = code_page(ROOT / path)
    for name, text in written.items():
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).write_text(text, "utf-8")


class Page(HTMLParser):
    """Anchors, links, and what a page loads."""

    def __init__(self, file: Path):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[key] for key in ("id", "name") if key in given}
        address = given.get("href" if tag in ("a", "link") else "src", "")
        if address:
            (self.links if tag == "a" else self.loads).append(address)


def faults(site: Path = SITE) -> list[str]:
    """Links of the built pages that lead nowhere, and what they would load from elsewhere: the site works without a network."""
    pages = {file: Page(file) for file in sorted(site.rglob("*.html")) if file.name != "404.html"}  # its paths begin at the root
    found = []
    for file, page in pages.items():
        name = file.relative_to(site).as_posix()
        found += [f"{name}: loads {address}" for address in page.loads if re.match(r"(https?:)?//", address)]
        for link in (*page.links, *page.loads):
            if re.match(r"[a-z]+:|//", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (file.parent / path).resolve() if path else file
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                found.append(f"{name}: {link} leads to no file")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{name}: {link} leads to no heading")
    return found


def build() -> int:
    """Build the staged pages; warnings are errors, those about docstrings as well, which Zensical's strict mode only prints."""
    command = [Path(sys.executable).with_name("zensical"), "build", "--strict", "--clean"]
    shutil.rmtree(SITE, ignore_errors=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    if done.returncode or "griffe:" in done.stdout:
        return done.returncode or 1
    wrong = faults()
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    stage()
    sys.exit(build())
