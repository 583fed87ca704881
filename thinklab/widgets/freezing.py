"""``Freezing``: a widget that leaves static HTML behind when it closes, for a saved notebook.

Widgets that leave static HTML behind: a widget needs its kernel, and a saved notebook that is opened again has another one.

JupyterLab shows a widget whose kernel is gone as "model not found", also where its output has HTML beside it. So the output is
replaced, while there still is a kernel: when the widget is closed, and when the Lab that made it is.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what it is mixed into; this file needs no widget library
    from ipywidgets import Widget
else:
    Widget = object

_SHOWN: weakref.WeakSet[Freezing] = weakref.WeakSet()


class Freezing(Widget):
    """Mixed into a widget, before its class: what was shown of it becomes ``to_html()`` once it is closed."""

    owner: object = None
    """What it is a view of: a Lab's folder. None: it belongs to no Lab, and is frozen when the last one is closed."""

    @property
    def busy(self) -> bool:
        """Does it do something that must not end with a Lab?"""
        return False

    def to_html(self) -> str:
        """The widget as it stands, as HTML without a script."""
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
        """Shown like any widget, but so that ``close`` finds it again."""
        from IPython.display import HTML, display

        if self._repr_mimebundle_ is None:  # closed
            display(HTML(self.to_html()))
            return
        made = self._repr_mimebundle_()
        if made is not None:
            place = display(made[0], metadata=made[1], raw=True, display_id=True)
            self._places = [*getattr(self, "_places", []), *([place] if place is not None else [])]  # None: outside of IPython
            _SHOWN.add(self)

    def close(self) -> None:
        """End the widget and put static HTML in its place wherever it was shown; that stays in the saved notebook."""
        places, self._places = getattr(self, "_places", []), []
        if places:
            from IPython.display import HTML

            frozen = HTML(self.to_html())
            for place in places:
                place.update(frozen)
        super().close()


def freeze(owner: object) -> None:
    """Close the widgets of ``owner`` that were shown and are not busy; of None: those that belong to no Lab."""
    for view in list(_SHOWN):
        if view.owner == owner and not view.busy:
            _SHOWN.discard(view)
            view.close()
