"""Reading a run's files without importing anything heavy: what reports, tables and the demo need."""
from __future__ import annotations

import json
from typing import Any

from thinklab.run import RunFolder


def read_probe(run: RunFolder) -> dict[str, Any]:
    """``probe.json`` of a run; empty when it has none."""
    file = run.path / "probe.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else {}
