"""Anthropic's Message Batches as a ``BatchService``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anthropic

from thinklab.teachers.batch_records import Submitted
from thinklab.teachers.batches import BatchProgress, Items
from thinklab.teachers.faults import FREE, Fault, from_sdk, from_status
from thinklab.types import TeacherReply, TeacherRequest

STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
SPARE_S = 60.0
"""Two clocks may differ by as much."""


class AnthropicBatches:
    """
    Args:
        arguments: of ``messages.create`` for a request.
        read: the reply in a message.
        unstructured: whether a request was rejected because of its schema, and is to be asked in words.
        timeout_s: of one call.
    """

    def __init__(
        self,
        client: Any,
        arguments: Callable[[TeacherRequest], dict[str, Any]],
        read: Callable[[Any, TeacherRequest], TeacherReply],
        unstructured: Callable[[str], bool],
    ) -> None:
        self._client, self._arguments, self._read, self._unstructured = client, arguments, read, unstructured

    async def submit(self, items: Items, token: str) -> str:
        """The id of the new batch."""
        requests, headers = [], None
        for key, request in items:
            given = self._arguments(request)
            headers = given.pop("extra_headers", None)
            body = given.pop("extra_body", {})
            requests.append({"custom_id": key, "params": {**given, **body}})
        try:
            batch = await self._client.messages.batches.create(requests=requests, extra_headers=headers)
            return str(batch.id)
        except Exception as error:
            raise from_sdk(error, anthropic) from None

    async def find(self, batch: Submitted) -> str:
        """The service takes no name for a batch: the only one of that size since then, whose keys are checked when collected."""
        found: list[str] = []
        try:
            async for other in self._client.messages.batches.list(limit=100):
                if other.created_at.timestamp() < batch.at - SPARE_S:
                    break  # the newest come first
                counts = other.request_counts
                count = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
                found += [str(other.id)] if count == batch.count else []
        except Exception as error:
            raise from_sdk(error, anthropic) from None
        return found[0] if len(found) == 1 else ""

    async def progress(self, id: str) -> BatchProgress:
        try:
            batch = await self._client.messages.batches.retrieve(id)
            counts = batch.request_counts
            done = counts.succeeded + counts.errored + counts.canceled + counts.expired
            return BatchProgress(batch.processing_status == "ended", done)
        except Exception as error:
            raise from_sdk(error, anthropic) from None

    async def collect(self, id: str, requests: Mapping[str, TeacherRequest]) -> dict[str, TeacherReply | Fault]:
        """What became of each request."""
        found: dict[str, TeacherReply | Fault] = {}
        try:
            async for line in await self._client.messages.batches.results(id):
                if (request := requests.get(line.custom_id)) is not None:
                    found[line.custom_id] = self._outcome(line.result, request)
        except Exception as error:
            raise from_sdk(error, anthropic) from None
        return found

    def _outcome(self, result: Any, request: TeacherRequest) -> TeacherReply | Fault:
        kind = getattr(result, "type", None)
        if kind == "succeeded":
            try:
                return self._read(result.message, request)
            except Fault as fault:
                return fault
        if kind == "expired":
            return Fault("expired", "the batch ended before the service reached this request", again=True, usage=FREE)
        if kind == "canceled":
            return Fault("canceled", "the batch was canceled before the service reached this request", usage=FREE)
        inner = getattr(getattr(result, "error", None), "error", None)
        said = str(getattr(inner, "message", "") or "no reason given")
        status = STATUS.get(str(getattr(inner, "type", "")), 500)
        rejected = from_status(status, {"error": {"type": str(getattr(inner, "type", "")), "message": said}})
        if self._unstructured(said):
            rejected.again = True
        return rejected
