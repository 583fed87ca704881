"""Views for notebooks. Each is a view of records on disk; none is needed for training.

Importing this package imports no widget library: each view is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thinklab.errors import WidgetsMissing

if TYPE_CHECKING:  # a type checker does not run __getattr__
    from thinklab.widgets.aas_explorer import AasExplorer as AasExplorer
    from thinklab.widgets.before_after import side_by_side as side_by_side
    from thinklab.widgets.behavior_studio import BehaviorStudio as BehaviorStudio
    from thinklab.widgets.review_pane import ReviewPane as ReviewPane
    from thinklab.widgets.token_html import token_view as token_view

LIBRARIES = ("anywidget", "ipywidgets", "traitlets")
"""They come with the extra ``notebook``."""
_NAMES = {
    "ReviewPane": "review_pane",
    "BehaviorStudio": "behavior_studio",
    "AasExplorer": "aas_explorer",
    "token_view": "token_html",
    "side_by_side": "before_after",
}
__all__ = ["AasExplorer", "BehaviorStudio", "ReviewPane", "side_by_side", "token_view"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'thinklab.widgets' has no attribute {name!r}")
    try:
        return getattr(import_module(f"thinklab.widgets.{_NAMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        raise WidgetsMissing(
            f"{name} needs {error.name}, which is not installed: pip install 'thinklab[notebook]' (on Colab: 'thinklab[widgets]'), "
            "then restart the kernel. Without it, lab.queue has every call of the review, and thinklab train --review opens it in "
            "a browser"
        ) from error
