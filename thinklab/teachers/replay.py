"""The ``replay`` teacher: an earlier run's replies again.

No key, no cost, deterministic.

A reply is found by the question, the student's answer and the behavior (by hash, if both sides have one), so it is returned
only for exactly the same request. Anything else gets ``not-recorded`` and stays unguided. A judge's
verdicts (``judge.jsonl``) are replayed in the same way, by its question and the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thinklab.errors import RunError
from thinklab.teachers.faults import ERRORS
from thinklab.types import Guidance, TeacherReply, TeacherRequest, guidance_from_json

FILES = ("rollouts.jsonl", "guided.jsonl", "judge.jsonl")


class ReplayTeacher:
    """Replies from a run folder, or from the output of ``thinklab guide --out``.

    Args:
        run: the folder (its ``rollouts.jsonl`` and ``judge.jsonl`` are read) or a JSONL file. An incomplete last line is
            ignored.

    Raises:
        RunError: if there is nothing to replay.
    """

    def __init__(self, run: str | Path) -> None:
        self.name = "replay"
        self.path = _file(Path(run))
        self._exact: dict[tuple[str, ...], Guidance] = {}  # with the rollout's id: the same answer may occur twice
        self._known: dict[tuple[str, ...], Guidance] = {}
        self._hashes: dict[tuple[str, ...], set[str]] = {}
        verdicts = self.path.with_name("judge.jsonl")
        beside = [verdicts] if Path(run).is_dir() and verdicts.is_file() and verdicts != self.path else []
        for path in (self.path, *beside):
            for row in _rows(path):
                self._add(row)
        if not self._known:
            raise RunError(f"{self.path}: it contains no guidance, so there is nothing to replay")

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply per request; usage is the recorded one, ``cache_hit`` marks that it cost nothing now."""
        return [self._one(request) for request in requests]

    def _add(self, row: Mapping[str, Any]) -> None:
        if "reply" in row and "judge" in row:  # a line of judge.jsonl
            self._add({"question": row["question"], "response": row["text"], "guidance": _as_guidance(row)})
        if not row.get("guidance"):
            return
        guidance = guidance_from_json(row["guidance"])
        question = row["example"]["question"] if "example" in row else row["question"]
        key = (question, row["student_text"] if "student_text" in row else row["response"], guidance.behavior)
        for hashed in {guidance.behavior_hash, ""}:
            self._exact.setdefault((*key, hashed, guidance.rollout_id), guidance)
            self._known.setdefault((*key, hashed), guidance)
        self._hashes.setdefault(key, set()).add(guidance.behavior_hash)

    def _one(self, request: TeacherRequest) -> TeacherReply:
        key = (request.example.question, request.response, request.behavior)
        hashed = request.behavior_hash if request.behavior_hash in self._hashes.get(key, ()) else ""
        if hashed != request.behavior_hash and "" not in self._hashes.get(key, ("",)):
            return TeacherReply(
                request.id,
                error="not-recorded",
                model="replay",
                detail=f"{self.path.name} has this answer, but the behavior {request.behavior!r} has changed since",
            )
        found = self._exact.get((*key, hashed, request.id)) or self._known.get((*key, hashed))
        if found is None:
            return TeacherReply(
                request.id, error="not-recorded", model="replay", detail=f"{self.path.name} has no request about this answer"
            )
        failed = found.reason in ERRORS and found.status == "rejected"
        return TeacherReply(
            request.id,
            text=found.raw,
            error=found.reason if failed else "",
            model=found.model,
            detail=found.detail if failed else "",
            usage=found.usage,
            latency_s=found.latency_s,
            attempts=found.attempts,
            cache_hit=True,
        )


def _as_guidance(row: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict of a judge in the shape of guidance, so that one table finds both."""
    return {
        "rollout_id": row["id"],
        "behavior": "judge",
        "behavior_hash": "",
        "status": "rejected" if row["error"] else "proposed",
        "raw": row["reply"],
        "reason": row["error"],
        **{k: row[k] for k in ("detail", "model", "usage", "latency_s", "attempts", "cache_hit")},
    }


def _file(path: Path) -> Path:
    if path.is_dir():
        for name in FILES:
            if (path / name).is_file():
                return path / name
        raise RunError(f"{path} contains none of {', '.join(FILES)}: it is not a run folder, or nothing was recorded yet")
    if not path.is_file():
        raise RunError(f"{path} does not exist: pass the folder of an earlier run, or its rollouts.jsonl")
    return path


def _rows(path: Path) -> list[dict[str, Any]]:
    rows, lines = [], path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):  # no line break after it: the writer was interrupted
                break
            raise RunError(f"{path}:{number}:{error.colno}: not valid JSON: {error.msg}") from error
    return rows
