"""``stop_if_needed``: in a notebook, detects packages that pip replaced after the kernel loaded them.

Colab's kernel starts with numpy and others imported. After ``%pip install`` the old module stays in memory while the new files
are on disk, and later failures are hard to diagnose. Imports only the standard library, ``packaging``, and the errors.
"""

from __future__ import annotations

import sys
from importlib import metadata

from packaging.version import InvalidVersion, Version

from thinklab.errors import ThinklabError

WATCHED = {
    "numpy": "numpy",
    "PIL": "pillow",
    "torch": "torch",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "huggingface_hub": "huggingface-hub",
    "trl": "trl",
    "peft": "peft",
    "accelerate": "accelerate",
    "datasets": "datasets",
    "pydantic": "pydantic",
    "plotly": "plotly",
    "ipywidgets": "ipywidgets",
    "bitsandbytes": "bitsandbytes",
    "triton": "triton",
    "unsloth": "unsloth",
    "vllm": "vllm",
}
"""Modules whose ``__version__`` equals that of their package, by package name."""


class RestartNeeded(ThinklabError, RuntimeError):
    """The kernel has loaded packages that are no longer installed."""


def replaced() -> dict[str, tuple[str, str]]:
    """Package name -> (version in memory, version on disk), where the two differ."""
    found = {}
    for module, package in WATCHED.items():
        loaded = getattr(sys.modules.get(module), "__version__", None)
        try:
            there = metadata.version(package)
            if isinstance(loaded, str) and Version(loaded).public != Version(there).public:
                found[package] = (loaded, there)
        except (metadata.PackageNotFoundError, InvalidVersion):
            continue
    return found


def stop_if_needed() -> None:
    """Called by the install cell of every notebook.

    Raises:
        RestartNeeded: lists the replaced packages and stops Run All there.
    """
    if stale := replaced():
        raise RestartNeeded(
            "RESTART THE KERNEL (Runtime > Restart session), then run the notebook from the top. pip replaced packages that are "
            "already loaded: " + "; ".join(f"{name} {old} by {new}" for name, (old, new) in stale.items())
        )
