"""Real questions stand beside the project, not in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture
def real():
    """``real("gsm8k/test.jsonl")``: the path of a file of real questions; skips where it is missing."""

    def find(name: str) -> Path:
        file = DATA / name
        if not file.exists():
            pytest.skip(f"needs the real questions in ../shared/data/{name}, which are not part of the project")
        return file

    return find


@pytest.fixture
def real_rows(real):
    """The rows of a file of real questions."""
    return lambda name: [json.loads(line) for line in real(name).read_text(encoding="utf-8").splitlines()]
