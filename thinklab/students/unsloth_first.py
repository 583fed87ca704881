"""``import_first``: imports Unsloth before transformers, TRL, and PEFT, which it patches.

This module imports nothing else.

``thinklab train`` and ``Lab`` call ``import_first`` as soon as they know the student's kind and before they load the trainer.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from thinklab.errors import StudentError

PATCHED = ("trl", "peft", "transformers")


def import_first(kind: str | None) -> None:
    """Import Unsloth now when ``kind`` is ``unsloth``; otherwise do nothing.

    Raises:
        StudentError: when Unsloth is not installed or finds no GPU, or a library that it patches was imported before it.
    """
    if kind != "unsloth" or "unsloth" in sys.modules:
        return
    early = [name for name in PATCHED if name in sys.modules]
    if early:
        raise StudentError(
            f"{', '.join(early)} was imported before Unsloth, which must patch it. Restart Python (in a notebook: "
            "the kernel) and make `import unsloth` the first line"
        )
    try:
        importlib.import_module("unsloth")
    except ImportError as error:
        raise StudentError(
            f"student.kind unsloth needs Unsloth ({error}): pip install 'thinklab[unsloth]' on a machine with an "
            "NVIDIA GPU, or use student.kind=transformers student.quantize=nf4"
        ) from error
    except NotImplementedError as error:  # raised by Unsloth if it finds no GPU
        raise StudentError(
            f"Unsloth does not work on this machine: {str(error).splitlines()[0]} Use student.kind=transformers on this "
            "machine, or --profile tiny"
        ) from error


def import_first_for(run: Path) -> None:
    """The same for a run folder, according to its ``config.yaml``; a folder without one is reported elsewhere."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        resolved = YAML(typ="safe").load((Path(run) / "config.yaml").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError):
        return
    for key in ("config", "student", "kind"):
        resolved = resolved.get(key) if isinstance(resolved, dict) else None
    import_first(resolved if isinstance(resolved, str) else None)
