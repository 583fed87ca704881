"""What all widgets share: their files, and static HTML wherever widgets do not run."""
from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import anywidget

STATIC = Path(__file__).parent / "static"


@cache
def static(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


def css(name: str) -> str:
    """The shared colours and the view's own rules."""
    return static("theme.css") + static(name)


def html(body: str, name: str) -> str:
    """``body`` (already escaped) with the rules of the view ``name`` as a piece of HTML that needs no script."""
    return f"<style>{css(name)}</style>{body}"


class View(anywidget.AnyWidget):
    """A widget that is static HTML where it cannot run: ``to_html()`` in exports, viewers without widgets, and on ``freeze``."""

    def to_html(self) -> str:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:            # ipywidgets is told to print nothing
            return made
        data, metadata = made if isinstance(made, tuple) else (made, {})
        return {**data, "text/html": self.to_html()}, metadata

    def show(self) -> None:
        """Display it so that ``freeze`` can find it again."""
        from IPython.display import display
        self._shown = display(self, display_id=True)

    def freeze(self) -> None:
        """Put static HTML in place of what ``show`` displayed: it stays in the saved notebook and in every export."""
        if getattr(self, "_shown", None) is not None:
            from IPython.display import HTML
            self._shown.update(HTML(self.to_html()))
        self.close()
