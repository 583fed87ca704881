"""Views as static HTML: the shared colors, and an object that shows itself in a notebook and can be saved as a page."""

from __future__ import annotations

import re
from functools import cache
from html import escape, unescape
from pathlib import Path

STATIC = Path(__file__).parent / "static"


@cache
def static(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


def css(name: str) -> str:
    """The shared colors and the view's own rules."""
    return static("theme.css") + static(name)


def html(body: str, name: str) -> str:
    """``body`` (already escaped) with the rules of the view ``name`` as a piece of HTML that needs no script."""
    return f"<style>{css(name)}</style>{body}"


class Html:
    """A piece of HTML that a notebook shows; ``print`` gives its text, ``save`` writes it as a page.

    Args:
        body: HTML in which every text from outside is escaped.
        name: its file of rules in ``static/``.
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
