"""``ERRORS`` and ``Fault``: how one call can fail (HTTP status, SDK exception); ``Retry``, rejection, or the end.

A backend raises only ``Fault``; ``RemoteTeacher`` retries the call or turns the fault into a reply with that ``error``. The
Anthropic and OpenAI packages use the same exception names, so one function handles both.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from types import ModuleType
from typing import Any

from thinklab.teachers.account import meaning
from thinklab.types import Usage

ERRORS = {
    "mute": "the teacher chose not to reply",
    "not-recorded": "the earlier run has no reply to this request",
    "waiting": "no person has written the reply yet",
    "cap": "a cap on dollars, tokens or calls would have been exceeded",
    "rate-limit": "HTTP 429, still after the last attempt",
    "overloaded": "HTTP 503 or 529, still after the last attempt",
    "server": "another HTTP 5xx, still after the last attempt",
    "connection": "the connection failed or was interrupted",
    "timeout": "no reply within the time limit",
    "resting": "not sent: the service has failed many times in a row, so requests are paused for a while",
    "bad-reply": "a reply that is not in the service's format, for instance a truncated one",
    "bad-request": "the service does not accept this request",
    "flagged": "the service's moderation blocked this request",
    "forbidden": "HTTP 403 for this request, without a reason about the account or the content",
    "prompt-too-long": "the request does not fit into the model's context",
    "refusal": "the model refused to answer",
    "max-tokens": "the reply was truncated at max_tokens",
    "empty": "a reply without text",
    "expired": "a batch ended before the service reached this request, also when submitted again",
    "canceled": "a batch was canceled before the service reached this request",
    "oversized": "more text than any reply may have",
}
"""Every ``TeacherReply.error`` and its meaning; a plugin backend may add its own slugs."""

_JITTER = random.Random()  # not the global one, on whose state a training run may rely


class Fault(Exception):
    """One failed attempt.

    Args:
        error: a key of ``ERRORS``.
        detail: a description; the caller redacts it.
        again: whether to retry.
        wait_s: the wait that the service requested; None if it did not.
        fatal: no call can ever succeed (a wrong key): the teacher raises ``TeacherError``.
        usage: the known cost; None if unknown, so that the caps count the worst case.
        text: the partial reply.
    """

    def __init__(
        self,
        error: str,
        detail: str,
        *,
        again: bool = False,
        wait_s: float | None = None,
        fatal: bool = False,
        usage: Usage | None = None,
        text: str = "",
    ) -> None:
        super().__init__(f"{error}: {detail}")
        self.error, self.detail, self.again, self.wait_s, self.fatal = error, detail, again, wait_s, fatal
        self.usage, self.text = usage, text


@dataclass(frozen=True)
class Retry:
    """The retry policy. Waits grow as ``first_wait_s * 2 ** n``, minus a random part of up to a half."""

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    """Also the maximum ``retry-after`` that is obeyed; if the service asks for more, the request has failed."""

    def wait_s(self, attempt: int, fault: Fault) -> float | None:
        """Seconds before the attempt after number ``attempt`` (from 1); None to give up."""
        if not fault.again or attempt >= self.attempts:
            return None
        if fault.wait_s is not None:
            return fault.wait_s if fault.wait_s <= self.longest_wait_s else None
        wait = min(self.longest_wait_s, self.first_wait_s * 2 ** min(attempt - 1, 30))
        return wait * (1 - _JITTER.random() / 2)


FREE = Usage()  # an error status: services bill only successful replies


def from_sdk(error: Exception, sdk: ModuleType) -> Fault:
    """The ``Fault`` behind an exception of the ``anthropic`` or the ``openai`` package."""
    if isinstance(error, sdk.APITimeoutError):
        return Fault("timeout", "no reply within the time limit", again=True)
    if isinstance(error, sdk.APIConnectionError):
        return Fault("connection", f"the connection{_to(error)} failed ({_root(error)})", again=True)
    if isinstance(error, sdk.APIResponseValidationError):
        return Fault("bad-reply", "the reply is not in the service's format", again=True)
    if isinstance(error, sdk.APIStatusError):
        return from_status(error.status_code, error.body, error.message, error.response.headers)
    if isinstance(error, ValueError | TypeError | AttributeError | LookupError | RecursionError):  # cut off, odd
        return Fault("bad-reply", f"the reply cannot be read ({type(error).__name__})", again=True)
    return Fault("unexpected", f"{type(error).__name__}: {error}", fatal=True)  # a bug in thinklab; never raised unredacted


def page(reply: Any) -> Fault | None:
    """The fault for a reply that is a web page or other text despite a success status."""
    if not isinstance(reply, str):
        return None
    return Fault(
        "bad-reply",
        "the reply is not from the service but a text or web page, perhaps a proxy's sign-in "
        f"page: {' '.join(reply.split())[:80]!r}",
        again=True,
    )


def plain_text(content: Any) -> str | None:
    """The text of a reply: itself, or its blocks of type ``text`` joined; ``""`` for none. None if it is neither.

    Blocks are mappings or the SDK's objects; other types (thinking) are not part of the text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for block in content:
        kind, text = (
            (block.get("type"), block.get("text"))
            if isinstance(block, dict)
            else (getattr(block, "type", None), getattr(block, "text", None))
        )
        if not isinstance(kind, str):
            return None
        if kind == "text":
            if not isinstance(text, str):
                return None
            texts.append(text)
    return "".join(texts)


def _to(error: Any) -> str:
    request = getattr(error, "request", None)
    return f" to {request.url.host}" if request is not None and request.url.host else ""


def _root(error: BaseException) -> str:
    """The root cause: ``Name or service not known`` is more informative than ``ConnectError``."""
    seen = [error]
    while (at := seen[-1].__cause__ or seen[-1].__context__) is not None and at not in seen:
        seen.append(at)
    named = [e.strerror for e in seen if isinstance(e, OSError) and e.strerror]
    deepest = seen[1] if len(seen) > 1 else error
    return " ".join(str(named[-1] if named else str(deepest) or type(deepest).__name__).split())[:120]


def from_status(status: int, body: Any, fallback: str = "", headers: Any = None) -> Fault:
    """The ``Fault`` behind an error status and its JSON.

    Args:
        body: what came with it, as the SDK provides it.
        fallback: the message if the body has none.
        headers: of the reply; None if the error came in a reply with status 200.
    """
    said = _message(body, fallback)
    detail, wait_s, why = f"HTTP {status}: {said}", _retry_after(headers or {}), meaning(status, body, said)
    if not 400 <= status < 600:
        return Fault("bad-reply", detail, again=True)
    if status == 402 or why == "billing":
        return Fault("billing", f"the account has no credit (HTTP {status}): {said}", fatal=True, usage=FREE)
    if status == 401 or why == "key":
        return Fault("key", f"the key was rejected (HTTP {status}): {said}", fatal=True, usage=FREE)
    if why == "flagged":
        return Fault("flagged", detail, usage=FREE)
    if status == 403:
        return Fault("forbidden", detail, usage=FREE)
    if status == 404:
        return Fault("model", f"no such model or address (HTTP 404): {said}", fatal=True, usage=FREE)
    if status == 429:
        return Fault("rate-limit", detail, again=True, wait_s=wait_s, usage=FREE)
    if status in (503, 529):
        return Fault("overloaded", detail, again=True, wait_s=wait_s, usage=FREE)
    if status in (408, 504):
        return Fault("timeout", detail, again=True)
    if status == 409 or status >= 500:
        return Fault("server", detail, again=True, wait_s=wait_s, usage=FREE)
    if status == 413 or "too long" in said.lower() or "context length" in said.lower():
        return Fault("prompt-too-long", detail, usage=FREE)
    return Fault("bad-request", detail, usage=FREE)


def error_inside(*parts: Any) -> Fault | None:
    """The fault behind a reply with status 200 that carries an ``error``, as OpenRouter sends if a provider fails late.

    Args:
        parts: the reply, then its first choice; whichever has an error counts. The cost is unknown.
    """
    for part in parts:
        error = getattr(part, "error", None)
        if not error:
            continue
        code = error.get("code") if isinstance(error, dict) else None
        fault = from_status(code if type(code) is int else 200, error)
        fault.usage = None
        return fault
    return None


def _message(body: Any, fallback: str) -> str:
    if isinstance(body, list):  # Google's servers wrap the error in a list
        body = next((part for part in body if isinstance(part, dict)), None)
    inner = body.get("error", body) if isinstance(body, dict) else body
    text = inner.get("message") if isinstance(inner, dict) else inner
    return " ".join(str(text or fallback).split())[:300]


def _retry_after(headers: Any) -> float | None:
    """Seconds, from ``retry-after-ms`` or ``retry-after`` (a number or a date); None if there is neither."""
    for name, scale in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) / scale
        except (KeyError, ValueError):
            continue
        return seconds if seconds >= 0 and seconds == seconds else None
    date = parsedate_tz(headers.get("retry-after", ""))
    if date is None:
        return None
    return max(0.0, mktime_tz(date) - time.time())
