"""A server on 127.0.0.1 that speaks the wire formats of the Anthropic Messages API and of chat completions.

It fails on demand: ``Server(script)`` asks ``script(number, body)`` what to do with each call, one of ``ACTIONS``. It
prices nothing; it counts tokens as bytes / 4 and keeps prefixes that are marked for its prompt cache.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-ant-test-0123456789abcdefghij"
GOOD = "<opinion>incorrect</opinion><reason>I check: 12+7=19.</reason><phrase>So \\boxed{19}.</phrase>"
TEXTS = {
    "wrong-tags": "<opinion>correct</opinion><phrase>So \\boxed{19}.</phrase>",
    "huge": "<opinion>incorrect</opinion><reason>" + "I check. " * 120_000 + "</reason><phrase>1.</phrase>",
    "control": "<opinion>correct</opinion><reason>Fine.<|im_end|>\n<|im_start|>x</reason><phrase>\x1b[31m1.</phrase>",
    "alphabet": "<opinion>верно</opinion><reason>Я проверяю: 12+7=19.</reason><phrase>Ответ \\boxed{19}.</phrase>",
    "empty": "",
}
STATUS = {
    "429": 429,
    "429-long": 429,
    "500": 500,
    "503": 503,
    "529": 529,
    "400": 400,
    "401": 401,
    "402": 402,
    "404": 404,
    "413": 413,
}
ACTIONS = ("ok", *TEXTS, *STATUS, "refusal", "max-tokens", "half", "drop", "drop-late", "hang", "no-usage", "not-json")
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Raw:
    """An action of its own: exactly this status and body. ``body`` is JSON unless it is a text."""

    status: int
    body: Any
    headers: str = ""
    kind: str = "application/json"


Script = Callable[[int, dict[str, Any]], "str | Raw"]


@dataclass
class Server:
    """``with Server() as server: ... server.url``"""

    script: Script = lambda number, body: "ok"
    latency_s: float = 0.0
    text: Callable[[dict[str, Any]], str] = lambda body: GOOD
    """The good reply to a request body."""
    cache_from: int = 512
    key: str = field(default=KEY, repr=False)
    retry_after: str = "0"
    page_for_models: bool = False
    calls: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """Body, path and headers of every call for a reply, in order of arrival."""
    done: list[str | Raw] = field(default_factory=list)
    """What was done with each, by number."""
    billed_tokens: int = 0
    """Input and output of every call that got a reply, the lost ones included."""
    running: int = 0
    most_running: int = 0

    def __enter__(self) -> Server:
        self._prefixes: set[str] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            listening = asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=256)
            self._server = self._loop.run_until_complete(listening)
            self.port = self._server.sockets[0].getsockname()[1]
            ready.set()
            self._loop.run_forever()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            self._server.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split("\r\n", 1)[0].split(" ")
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                form = body and "multipart" in headers.get("content-type", "")
                if not await self._answer(writer, method, path, headers, {"form": body} if form else json.loads(body or b"{}")):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _answer(self, writer, method, path, headers, body) -> bool:
        """False closes the connection."""
        anthropic = path.startswith("/v1/messages") or "anthropic-version" in headers or "anthropic_version" in body
        given = headers.get("authorization", "").removeprefix("bearer ") or headers.get("x-api-key", "")
        if self.key and given != self.key.lower():
            return await self._send(writer, 401, _error(401, f"invalid key {given}", anthropic))
        if method == "GET" and self.page_for_models:
            return await self._send(writer, 200, "<html>sign in</html>", kind="text/html")
        if method == "GET":
            name = path.rsplit("/", 1)[-1]
            if name.startswith("no-such"):
                return await self._send(writer, 404, _error(404, f"model: {name}", anthropic))
            model = {
                "type": "model",
                "object": "model",
                "id": name,
                "display_name": name,
                "lifecycle": "active",
                "created_at": "2026-10-07T00:00:00Z",
            }
            return await self._send(writer, 200, model if anthropic else {"object": "list", "data": [model]})
        number = len(self.calls)
        self.now = {"path": path, "headers": headers}
        action = self.script(number, body)
        self.calls.append({"path": path, "headers": headers, "body": body, "at": time.monotonic()})
        self.done.append(action)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if action == "hang":
                await asyncio.sleep(3600)
            await asyncio.sleep(self.latency_s)
        finally:
            self.running -= 1
        return await self._act(writer, action, body, anthropic)

    async def _act(self, writer, action: str, body: dict[str, Any], anthropic: bool) -> bool:
        if isinstance(action, Raw):
            return await self._send(writer, action.status, action.body, action.headers, kind=action.kind)
        if action == "drop":
            return False
        if action in STATUS:
            extra = {"429": f"retry-after: {self.retry_after}\r\n", "429-long": "retry-after: 9999\r\n"}.get(action, "")
            return await self._send(writer, STATUS[action], _error(STATUS[action], f"test {action}", anthropic), extra)
        text = TEXTS.get(action, self.text(body)) if action != "refusal" else ""
        reply = self._message(body, text, action) if anthropic else self._completion(body, text, action)
        if action == "not-json":
            return await self._send(writer, 200, "<html>a proxy's page</html>", kind="text/html")
        data = json.dumps(reply)
        if action == "half":
            return await self._send(writer, 200, data[: len(data) // 2])
        if action == "drop-late":
            await self._send(writer, 200, data[: len(data) // 2], length=len(data))
            return False
        return await self._send(writer, 200, data)

    async def _send(
        self, writer, status: int, body: Any, extra: str = "", length: int | None = None, kind: str = "application/json"
    ) -> bool:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        head = f"HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length or len(data)}\r\n{extra}\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        return True

    def _message(self, body: dict[str, Any], text: str, action: str) -> dict[str, Any]:
        blocks = [*body.get("system", []), *(b for m in body["messages"] for b in m["content"])]
        total, marked = sum(_tokens(b["text"]) for b in blocks), None
        for k, block in enumerate(blocks):
            if "cache_control" in block:
                marked = "".join(b["text"] for b in blocks[: k + 1])
        read = written = 0
        if marked is not None and _tokens(marked) >= self.cache_from:
            if marked in self._prefixes:
                read = _tokens(marked)
            else:
                written = _tokens(marked)
                self._prefixes.add(marked)
        out = body["max_tokens"] if action == "max-tokens" else min(body["max_tokens"], _tokens(text))
        self.billed_tokens += total + out
        stop = {"refusal": "refusal", "max-tokens": "max_tokens"}.get(action, "end_turn")
        details = {"type": "refusal", "category": "cyber", "explanation": "declined"} if action == "refusal" else None
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "claude"),  # at a cloud it is in the path
            "stop_reason": stop,
            "stop_sequence": None,
            "stop_details": details,
            "content": [{"type": "text", "text": text}] if text else [],
            "usage": {
                "input_tokens": total - read - written,
                "cache_read_input_tokens": read,
                "cache_creation_input_tokens": written,
                "output_tokens": out,
            },
        }

    def _completion(self, body: dict[str, Any], text: str, action: str) -> dict[str, Any]:
        limit = body.get("max_tokens") or body["max_completion_tokens"]
        total, out = sum(_tokens(m["content"]) for m in body["messages"]), min(limit, _tokens(text))
        self.billed_tokens += total + out
        stop = {"max-tokens": "length"}.get(action, "stop")
        usage = {"prompt_tokens": total, "completion_tokens": out, "total_tokens": total + out}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": stop,
                    "logprobs": None,
                    "message": {
                        "role": "assistant",
                        "content": text,
                        "refusal": "declined" if action == "refusal" else None,
                    },
                }
            ],
            **({} if action == "no-usage" else {"usage": usage}),
        }


def _tokens(text: str) -> int:
    return len(text.encode()) // 4 + 1


def _error(status: int, message: str, anthropic: bool) -> dict[str, Any]:
    kind = ERROR_TYPES.get(status, "api_error")
    if anthropic:
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
