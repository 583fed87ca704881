"""Views for notebooks. Each is a view of records that are on disk; none of them is needed to train.

Importing this package imports no widget library: each view is loaded when it is first used.
"""

from importlib import import_module

_NAMES = {
    "ReviewPane": "review_pane",
    "BehaviorStudio": "behavior_studio",
    "AasExplorer": "aas_explorer",
    "token_view": "token_html",
    "side_by_side": "before_after",
}
__all__ = list(_NAMES)


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(import_module(f"thinklab.widgets.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'thinklab.widgets' has no attribute {name!r}")
