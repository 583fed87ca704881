"""The server of ``fake_server`` with the batch APIs of Anthropic and of OpenAI.

``outcome(number, body)`` says what becomes of each request: an action of ``fake_server``, ``expired``, ``canceled``, ``lost``, or
an HTTP status. A batch ends at its ``ends_after``-th poll.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_server import TEXTS, Server, _error

CREATED = "2026-11-28T12:00:00Z"


@dataclass
class BatchServer(Server):
    outcome: Callable[[int, dict[str, Any]], str | int] = lambda number, body: "ok"
    ends_after: int = 1
    fails: Callable[[str, str], Any] = lambda method, path: None
    """What to do with a request instead: ``drop``, ``drop-late`` (after the work), or a status."""
    rejected: str = ""
    """Why OpenAI's validation rejects each batch."""
    batches: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: int = 0
    """Requests in all batches."""
    paths: list[str] = field(default_factory=list)

    async def _answer(self, writer, method, path, headers, body) -> bool:
        if not any(part in path for part in ("/batches", "/files")):
            return await super()._answer(writer, method, path, headers, body)
        self.paths.append(f"{method} {path}")
        given = headers.get("authorization", "").removeprefix("bearer ") or headers.get("x-api-key", "")
        if self.key and given != self.key.lower():
            return await self._send(writer, 401, _error(401, "invalid key", True))
        how = self.fails(method, path)
        if how == "drop":
            return False
        if isinstance(how, int):
            return await self._send(writer, how, _error(how, f"test {how}", "/messages/" in path))
        found = self._batch_reply(method, path.partition("?")[0], body)
        if how == "drop-late":
            return False
        if found is None:
            return await self._send(writer, 404, _error(404, "not found", "/messages/" in path))
        if isinstance(found, str):
            return await self._send(writer, 200, found, kind="application/jsonl")
        return await self._send(writer, 200, found)

    def _batch_reply(self, method: str, path: str, body: dict[str, Any]) -> Any:
        anthropic, name = "/messages/" in path, path.rstrip("/").rsplit("/", 1)[-1]
        if method == "POST" and name == "files":
            id = f"file-{len(self.files)}"
            start, end = body["form"].index(b'{"custom_id"'), body["form"].rindex(b"}") + 1
            self.files[id] = body["form"][start:end]
            return {"id": id, "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch", "status": "ok"}
        if method == "POST" and name == "batches":
            requests = body["requests"] if anthropic else self._lines(body["input_file_id"])
            made = {"id": f"batch_{len(self.batches)}", "polls": 0, "metadata": body.get("metadata"), "body": body, "lines": []}
            for request in requests:
                made["lines"].append(self._outcome(request, anthropic))
            made["requests"] = requests
            self.batches.insert(0, made)
            return self._shown(made, anthropic)
        if name == "batches":
            data = [self._shown(b, anthropic) for b in self.batches]
            return {"data": data, "has_more": False, "first_id": None, "last_id": None, "object": "list"}
        if name == "content":
            return self.files[path.split("/")[-2]].decode()
        batch = next((b for b in self.batches if b["id"] in path.split("/")), None)
        if batch is None:
            return None
        if name == "results":
            return "\n".join(json.dumps(line) for line in reversed(batch["lines"]) if line)  # in any order
        batch["polls"] += 1
        return self._shown(batch, anthropic)

    def _lines(self, file: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[file].splitlines()]

    def _outcome(self, request: dict[str, Any], anthropic: bool) -> dict[str, Any] | None:
        body = request["params"] if anthropic else request["body"]
        how = self.outcome(self.asked, body)
        self.asked += 1
        if how == "lost":
            return None
        key = request["custom_id"]
        text = TEXTS.get(str(how), self.text(body)) if how != "refusal" else ""
        if anthropic:
            if how in ("expired", "canceled"):
                return {"custom_id": key, "result": {"type": how}}
            if isinstance(how, int):
                return {"custom_id": key, "result": {"type": "errored", "error": _error(how, f"test {how}", True)}}
            return {"custom_id": key, "result": {"type": "succeeded", "message": self._message(body, text, how)}}
        if how == "expired":
            return {"custom_id": key, "response": None, "error": {"code": "batch_expired", "message": "not in time"}}
        if isinstance(how, int):
            return {"custom_id": key, "response": {"status_code": how, "body": _error(how, f"test {how}", False)}, "error": None}
        reply = self._completion(body, text, how)
        return {"custom_id": key, "response": {"status_code": 200, "body": reply}, "error": None}

    def _shown(self, batch: dict[str, Any], anthropic: bool) -> dict[str, Any]:
        ended, count = batch["polls"] >= self.ends_after, len(batch["requests"])
        if anthropic:
            counts = {"processing": 0 if ended else count, "succeeded": count if ended else 0}
            return {
                "id": batch["id"],
                "type": "message_batch",
                "processing_status": "ended" if ended else "in_progress",
                "request_counts": {"errored": 0, "canceled": 0, "expired": 0, **counts},
                "created_at": batch.get("created", "2126-01-01T00:00:00Z"),
                "expires_at": CREATED,
                "ended_at": None,
                "archived_at": None,
                "cancel_initiated_at": None,
                "results_url": f"{self.url}/v1/messages/batches/{batch['id']}/results" if ended else None,
            }
        shown: dict[str, Any] = {
            "id": batch["id"],
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": batch["body"]["input_file_id"],
            "completion_window": "24h",
            "status": "in_progress",
            "created_at": 4_900_000_000,
            "metadata": batch["metadata"],
            "request_counts": {"total": count, "completed": count if ended else 0, "failed": 0},
        }
        if self.rejected:
            return {**shown, "status": "failed", "errors": {"object": "list", "data": [{"message": self.rejected, "code": "x"}]}}
        if not ended:
            return shown
        good = [line for line in batch["lines"] if line and (line["response"] or {}).get("status_code") == 200]
        bad = [line for line in batch["lines"] if line and line not in good]
        expired = any((line["error"] or {}).get("code") == "batch_expired" for line in bad)
        for kind, lines in (("output", good), ("error", bad)):
            if lines:
                shown[f"{kind}_file_id"] = f"{kind}-{batch['id']}"
                self.files[f"{kind}-{batch['id']}"] = "\n".join(json.dumps(line) for line in reversed(lines)).encode()
        return {**shown, "status": "expired" if expired else "completed"}
