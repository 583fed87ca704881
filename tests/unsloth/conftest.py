"""Fixtures of the tests under ``tests.support.unsloth_emulation``; one of each in a process."""

import sys

if "tests.support.unsloth_emulation" in sys.modules:
    from tests.unsloth.emulated import either, folder, student, trained  # noqa: F401
