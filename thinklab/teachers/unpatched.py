"""``unpatched``: transformers' own model classes for a while, where Unsloth has patched them.

Unsloth patches the classes themselves, so any other model of the same family in the process runs its code too, without the
setup that its loader does for the student: the cache stays empty and the model writes noise. Unsloth keeps a record of
what it replaced (``_unsloth_pre_patch_originals``), which is restored while another model is loaded and used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def unpatched() -> Iterator[None]:
    """Inside, the classes are transformers' originals; afterward the previous state is restored. Without Unsloth, nothing happens."""
    found: list[tuple[Any, str, Any]] = []
    for name, module in list(sys.modules.items()):
        if not name.startswith("transformers.models.") or "_unsloth_pre_patch_originals" not in getattr(module, "__dict__", {}):
            continue
        in_module, in_classes = vars(module)["_unsloth_pre_patch_originals"]
        originals = {(module, key): value for key, value in in_module.items()} | in_classes
        for (owner, key), original in originals.items():
            found.append((owner, key, vars(owner).get(key, _ABSENT)))
            # an attribute that the class did not have is recorded with a mark of Unsloth's own
            absent = type(original) is object
            _set(owner, key, _ABSENT if absent else original)
    try:
        yield
    finally:
        for owner, key, value in reversed(found):
            _set(owner, key, value)


def _set(owner: Any, key: str, value: Any) -> None:
    if value is not _ABSENT:
        setattr(owner, key, value)
    elif key in vars(owner):
        delattr(owner, key)
