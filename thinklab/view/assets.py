"""The viewer's JavaScript modules, style sheets, plotly.js, the HTML page, and its security policy.

Modules import each other by name (``thinklab/dom.js``), which an import map resolves to addresses: of this server, or, in an
exported folder, into ``data:`` URLs, because browsers cannot load modules from files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from thinklab.widgets import html as widget_html

STATIC = Path(__file__).parent / "static"
SHARED = {f"thinklab/{name}": name for name in widget_html.imported("review_pane.js")}
"""Modules of the notebook widgets, by import name."""
STYLES = ("theme.css", "review_pane.css", "rich_text.css", "tokens.css")
"""Style sheets of the widgets; ``view.css`` comes after them."""


@cache
def modules() -> dict[str, str]:
    """The source of every module by its name."""
    own = {f"thinklab/{path.name}": path.read_text("utf-8") for path in sorted(STATIC.glob("*.js")) if path.name != "theme.js"}
    return {**own, **{name: widget_html.static(file) for name, file in SHARED.items()}}


@cache
def style() -> str:
    return "".join(map(widget_html.static, STYLES)) + (STATIC / "view.css").read_text("utf-8")


@cache
def plotly() -> str:
    """plotly.js, the same copy as in the reports."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


@cache
def _maps_style() -> str:
    """plotly.js adds the style element of its maps unless one with this id exists; the policy would block it."""
    found = re.search(r'getElementById\("([0-9a-f]{64})"\)', plotly())
    return f'<meta id="{found[1]}">\n' if found else ""


def served() -> dict[str, tuple[str, str]]:
    """All static files of the server: media type and text by path."""
    files = {f"/static/{name}": ("text/javascript", text) for name, text in modules().items()}
    return {
        **files,
        "/static/theme.js": ("text/javascript", (STATIC / "theme.js").read_text("utf-8")),
        "/static/view.css": ("text/css", style()),
    }


def page(addresses: Mapping[str, str], base: str = "/static/", head: str = "") -> tuple[str, str]:
    """The one HTML page, and the CSP source of its import map.

    Args:
        addresses: of every module, by its name.
        base: the location of ``view.css`` and ``theme.js``.
        head: additional elements.
    """
    imports = json.dumps({"imports": dict(addresses)})
    text = (STATIC / "page.html").read_text("utf-8")
    text = (
        text.replace("__BASE__", base)
        .replace("__HEAD__", _maps_style() + head)
        .replace("__IMPORTS__", imports)
        .replace("__APP__", addresses["thinklab/app.js"])
    )
    return text, f"'sha256-{base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()}'"


def policy(imports: str) -> str:
    """The server's Content-Security-Policy: scripts and styles only from this server, none inline except the import map, no other network access."""
    return (
        f"default-src 'none'; script-src 'self' {imports}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
