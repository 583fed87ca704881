"""``View``: the base class of the anywidget views: static HTML wherever widgets do not run."""

from __future__ import annotations

import anywidget

from thinklab.widgets.freezing import Freezing


class View(Freezing, anywidget.AnyWidget):
    """A widget that is static HTML where it cannot run: ``to_html()`` in exports, viewers without widgets, and once closed."""
