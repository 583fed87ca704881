"""The ``human`` teacher: requests as lines of one file, and the replies that you write into another.

    teacher-inbox/requests.jsonl    one line per answer to comment on, written by thinklab, without duplicates
    teacher-inbox/replies.jsonl     one line per comment, written by you, in any order

Each of your lines contains the ``id`` of the request and either the fields

    {"id": "3f9c0a7d21e4", "opinion": "incorrect", "reason": "Wait, ...", "phrase": "So \\\\boxed{7}."}

or the whole reply as ``{"id": ..., "reply": "<opinion>..."}``. A run does not block: a request without a comment gets the
error ``waiting`` and stays unguided; your comment is used the next time the same request occurs. A later
line for the same id replaces an earlier one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thinklab.errors import ConfigError, TeacherError
from thinklab.interop.strict_json import loads
from thinklab.types import TeacherReply, TeacherRequest

FIELDS = ("opinion", "reason", "phrase")


class HumanTeacher:
    """Reads a person's comments from a folder.

    Args:
        folder: the folder of both files; created if missing.
        wait_s: how long a batch waits for missing comments; 0: no wait.
        poll_s: seconds between checks of the file while waiting.

    Raises:
        ConfigError: for a negative time.
    """

    def __init__(self, folder: str | Path = "teacher-inbox", wait_s: float = 0.0, poll_s: float = 1.0) -> None:
        if wait_s < 0 or poll_s <= 0:
            raise ConfigError(f"wait_s must be at least 0 and poll_s above 0, not {wait_s} and {poll_s}")
        self.name = "human"
        self.requests_file, self.replies_file = Path(folder) / "requests.jsonl", Path(folder) / "replies.jsonl"
        self.wait_s, self.poll_s = wait_s, poll_s

    def check(self) -> None:
        """Reads the existing comments.

        Raises:
            TeacherError: naming the first invalid line.
        """
        self._replies()

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """The existing comments; ``waiting`` for the others, which are on disk before this returns.

        Raises:
            TeacherError: for an invalid line in the replies file.
        """
        ids = [request_id(r) for r in requests]
        self._post(dict(zip(ids, requests, strict=True)))
        until = time.monotonic() + self.wait_s
        while True:
            found = self._replies()
            if all(i in found for i in ids) or time.monotonic() >= until:
                break
            time.sleep(min(self.poll_s, max(0.0, until - time.monotonic())))
        return [self._as_reply(r, i, found.get(i)) for r, i in zip(requests, ids, strict=True)]

    def summary(self) -> str:
        """Instructions, while requests are waiting."""
        count = len(self.waiting())
        return (
            f"{count} answers are waiting for your comments in {self.requests_file}; write them to {self.replies_file} and run again"
            if count
            else ("no answer is waiting for a comment")
        )

    def brief(self) -> str:
        """For a progress line."""
        return f"teacher: {len(self.waiting())} wait for you in {self.requests_file.parent}"

    def waiting(self) -> list[str]:
        """Ids of the requests without a comment, oldest first."""
        found = self._replies()
        return [row["id"] for row in _read(self.requests_file) if row["id"] not in found]

    def _as_reply(self, request: TeacherRequest, ident: str, text: str | None) -> TeacherReply:
        if text is None:
            return TeacherReply(
                request.id,
                error="waiting",
                detail=f"request {ident} has no line in {self.replies_file} yet",
                model="human",
                attempts=0,
            )
        if not text.strip():
            return TeacherReply(request.id, error="mute", detail=f"the comment on {ident} is empty", model="human")
        return TeacherReply(request.id, text, model="human")

    def _post(self, requests: Mapping[str, TeacherRequest]) -> None:
        known = {row["id"] for row in _read(self.requests_file)}
        lines = [
            json.dumps(
                {"id": i, "behavior": r.behavior, "question": r.example.question, "response": r.response}, ensure_ascii=False
            )
            + "\n"
            for i, r in requests.items()
            if i not in known
        ]
        if lines:
            self.requests_file.parent.mkdir(parents=True, exist_ok=True)
            with self.requests_file.open("a", encoding="utf-8") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(file.fileno())

    def _replies(self) -> dict[str, str]:
        """Reply text by request id."""
        return {row["id"]: _text(row, self.replies_file) for row in _read(self.replies_file)}


def request_id(request: TeacherRequest) -> str:
    """Short id of the request: the same question, answer, and behavior have the same id in every run."""
    what = json.dumps([request.example.question, request.response, request.behavior, request.behavior_hash])
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def _text(row: Mapping[str, Any], path: Path) -> str:
    if isinstance(row.get("reply"), str):
        return row["reply"]
    if not any(row.get(f) for f in FIELDS):
        return ""
    missing = [f for f in FIELDS if not isinstance(row.get(f), str)]
    if missing:
        raise TeacherError(
            f"{path}: the comment on {row['id']!r} has no text for {', '.join(missing)}; give opinion, reason and phrase, or "
            "the whole reply as 'reply'"
        )
    return "".join(f"<{f}>{row[f].strip()}</{f}>" for f in FIELDS)


def _read(path: Path) -> list[dict[str, Any]]:
    """Every line; a line without a line break may be incomplete and is ignored."""
    if not path.exists():
        return []
    rows, lines = [], path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise TeacherError(f"{path}:{number}:{error.colno}: not valid JSON: {error.msg}") from error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise TeacherError(f"{path}:{number}: expected an object with an 'id' from requests.jsonl")
        rows.append(row)
    return rows
