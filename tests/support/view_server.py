"""The viewer's server on a thread of this process, and a browser that watches what the pages do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinklab.view.serve import beside

WATCH = """
window.wrong = [];
document.addEventListener("securitypolicyviolation", e => window.wrong.push(`CSP ${e.violatedDirective} ${e.blockedURI}`));
window.addEventListener("error", e => window.wrong.push(e.message));
window.addEventListener("unhandledrejection", e => window.wrong.push(String(e.reason)));
"""


@contextmanager
def served(root: Path, desk: Any = None) -> Iterator[str]:
    """The address with its token."""
    with beside(root, 0, desk) as url:
        yield url


@contextmanager
def watched(chromium: Any, theme: str = "light", width: int = 1280) -> Iterator[Any]:
    """A page of its own browser context; ``page.asked`` are the addresses that it asked for."""
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.asked = []
    page.on("request", lambda r: page.asked.append(r.url))
    yield page
    context.close()


def go(page: Any, url: str, address: str, shown: str) -> None:
    """Open the page behind ``#`` and wait until ``shown`` is there."""
    base = url.split("?")[0]
    if not page.url.startswith(base):
        page.goto(url)
    page.evaluate("delete document.body.dataset.ready")
    page.goto(f"{base}{address}")
    page.wait_for_function("a => document.body.dataset.ready?.split('?')[0] === a.split('?')[0]", arg=address)
    page.wait_for_selector(shown)
