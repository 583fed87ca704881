"""What the interactive views share: static HTML wherever widgets do not run."""

from __future__ import annotations

from typing import Any

import anywidget


class View(anywidget.AnyWidget):
    """A widget that is static HTML where it cannot run: ``to_html()`` in exports, viewers without widgets, and on ``freeze``."""

    def to_html(self) -> str:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:  # ipywidgets is told to print nothing
            return made
        data, metadata = made if isinstance(made, tuple) else (made, {})
        return {**data, "text/html": self.to_html()}, metadata

    def _ipython_display_(self) -> None:
        """Shown like any widget, but so that ``freeze`` finds it again."""
        from IPython.display import HTML, display

        if self._repr_mimebundle_ is None:  # closed
            display(HTML(self.to_html()))
            return
        made = self._repr_mimebundle_()
        if made is not None:
            self._places = [*getattr(self, "_places", []), display(made[0], metadata=made[1], raw=True, display_id=True)]

    def freeze(self) -> None:
        """Put static HTML in place of the widget wherever it was shown: that stays in the saved notebook and in every export."""
        from IPython.display import HTML

        for place in getattr(self, "_places", []):
            place.update(HTML(self.to_html()))
        self.close()
