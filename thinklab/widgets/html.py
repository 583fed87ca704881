"""Style sheets and JavaScript of the widgets, bundled (``module``, ``css``); ``Html``: a view that saves as a page."""

from __future__ import annotations

import re
from functools import cache
from html import escape, unescape
from pathlib import Path

STATIC = Path(__file__).parent / "static"


@cache
def static(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


_IMPORT = re.compile(r'^import \{[^}]*\} from "thinklab/(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=function |const |let |class )", re.MULTILINE)


def module(name: str) -> str:
    """A JavaScript module with its imports inlined: a notebook loads one text, the viewer loads the files."""
    before: list[str] = []
    todo = list(dict.fromkeys(_IMPORT.findall(static(name))))
    while todo:
        file = todo.pop()
        before = [file, *(f for f in before if f != file)]
        todo += _IMPORT.findall(static(file))
    return "".join([*(_EXPORT.sub("", _IMPORT.sub("", static(f))) for f in before), _IMPORT.sub("", static(name))])


def imported(name: str) -> list[str]:
    """The module and all that it imports, by file."""
    return [name, *dict.fromkeys(f for file in _IMPORT.findall(static(name)) for f in imported(file))]


def css(name: str) -> str:
    """The shared colors and the view's own rules."""
    return static("theme.css") + static(name)


def html(body: str, name: str) -> str:
    """``body`` (already escaped) with the style sheet of the view ``name``, as HTML without scripts."""
    return f"<style>{css(name)}</style>{body}"


class Html:
    """HTML for a notebook; ``print`` gives its text, ``save`` writes it as a page.

    Args:
        body: HTML with all external text escaped.
        name: its style sheet in ``static/``.
        title: of the saved page.
    """

    def __init__(self, body: str, name: str, title: str):
        self.body, self.name, self.title = body, name, title

    def to_html(self) -> str:
        return html(self.body, self.name)

    _repr_html_ = to_html

    def save(self, path: str | Path) -> Path:
        """One file, no network."""
        path = Path(path)
        rules = "body { margin: 0; padding: 24px; color-scheme: light dark; background: light-dark(#fff, #14181d) }"
        path.write_text(
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(self.title)}</title>"
            f"<style>{rules}</style><body>{self.to_html()}</body></html>",
            "utf-8",
        )
        return path

    def __repr__(self) -> str:
        text = re.sub(r"</(p|tr|h3|div|li)>|<br>", "\n", self.body)
        return re.sub(r"\n\s*\n+", "\n", unescape(re.sub(r"<[^>]*>", " ", text))).strip()
