"""``StudioRun``: the studio's detector on a run: which of the student's answers show the behavior."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from thinklab.behavior.behavior import Behavior
from thinklab.errors import BehaviorError, RunError, ThinklabError
from thinklab.review.item import utf16_spans
from thinklab.run.folder import RunFolder

MOST = 2000
"""Rollouts that are looked at, the last ones of the run: fast enough to follow the typing."""
SHOWN = 25
"""Answers of each kind that are sent at a time."""


def runs_below(folder: Path) -> list[str]:
    """Run folders that are near, newest first."""
    found = [p for pattern in ("*/rollouts.jsonl", "*/*/rollouts.jsonl") for p in folder.glob(pattern)]
    return [str(p.parent.relative_to(folder)) for p in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)][:50]


class StudioRun:
    """The answers of one run, kept, so that the detector can look at them again after each change."""

    def __init__(self) -> None:
        self.folder, self.total = "", 0
        self._answers: list[dict[str, Any]] = []

    def choose(self, folder: str) -> None:
        """
        Raises:
            BehaviorError: there are no rollouts in that folder; in words for the studio.
        """
        self.folder, self.total, self._answers = "", 0, []
        if not folder.strip():
            return
        try:
            run = RunFolder.open(Path(folder))
            kept: deque[dict[str, Any]] = deque(maxlen=MOST)
            total = 0
            for total, r in enumerate(run.read("rollouts"), 1):  # noqa: B007 (the number of lines)
                kept.append(
                    {
                        "step": r.get("step"),
                        "question": r["example"]["question"],
                        "text": r["student_text"],
                        "guided": bool(r.get("guidance")),
                    }
                )
        except ThinklabError as error:
            raise BehaviorError(str(error)) from error
        except (OSError, KeyError, TypeError) as error:
            raise BehaviorError(f"{folder}: its rollouts cannot be read: {error}") from RunError(str(error))
        if not kept:
            raise BehaviorError(f"{folder}: this run has no rollouts yet")
        self.folder, self.total, self._answers = folder, total, list(kept)

    def report(self, behavior: Behavior, more: int = 1) -> dict[str, Any]:
        """
        Args:
            more: how many times ``SHOWN`` answers of each kind.

        Returns:
            ``folder``, ``total`` and ``looked`` (rollouts), ``shown`` (how many show it), ``fires`` and ``silent``: answers with
            step, question, text, why and spans. Empty where no run is chosen; ``error`` where the detector cannot be used.
        """
        if not self.folder:
            return {}
        head = {"folder": self.folder, "total": self.total, "looked": len(self._answers)}
        if behavior.needs_judge:
            return {**head, "error": "this detector asks a judge, which may cost money; thinklab probe asks it about a run"}
        try:
            found = behavior.detect_all([a["text"] for a in self._answers])
        except BehaviorError as error:
            return {**head, "error": str(error)}
        kinds: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for answer, d in zip(reversed(self._answers), reversed(found), strict=True):
            if len(kinds[d.found]) < SHOWN * more:
                kinds[d.found].append({**answer, "why": d.why, "spans": utf16_spans(answer["text"], d.spans)})
        return {**head, "shown": sum(d.found for d in found), "fires": kinds[True], "silent": kinds[False]}
