"""``OpenAIBatches``: OpenAI's batch API (Azure too) as a ``BatchService``: a file of requests, a file of replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from thinklab.teachers.batch_records import Submitted
from thinklab.teachers.batches import BatchProgress, Items
from thinklab.teachers.faults import FREE, Fault, from_sdk, from_status
from thinklab.types import TeacherReply, TeacherRequest

ENDPOINT = "/v1/chat/completions"
NAME = "thinklab"
"""The key of the metadata by which a batch is found again."""
OPEN = ("validating", "in_progress", "finalizing", "cancelling")


class OpenAIBatches:
    """
    Args:
        headers: of each call.
        arguments: of ``chat.completions.create`` for a request.
        read: the reply in a completion.
        unstructured: whether a request was rejected because of its schema, and is to be asked in words.
    """

    def __init__(
        self,
        client: Any,
        headers: Mapping[str, Any],
        arguments: Callable[[TeacherRequest], dict[str, Any]],
        read: Callable[[Any, TeacherRequest], TeacherReply],
        unstructured: Callable[[str], bool],
    ) -> None:
        self._client, self._headers = client, headers
        self._arguments, self._read, self._unstructured = arguments, read, unstructured

    async def submit(self, items: Items, token: str) -> str:
        """The id of the new batch."""
        lines = []
        for key, request in items:
            given = self._arguments(request)
            body = {**given, **given.pop("extra_body", {})}
            body.pop("extra_body", None)
            lines.append(json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}))
        data = ("\n".join(lines) + "\n").encode()
        try:
            file = await self._client.files.create(
                file=(f"thinklab-{token}.jsonl", data), purpose="batch", extra_headers=self._headers
            )
            batch = await self._client.batches.create(
                input_file_id=file.id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={NAME: token},
                extra_headers=self._headers,
            )
            return str(batch.id)
        except Exception as error:
            raise _fault(error) from None

    async def find(self, batch: Submitted) -> str:
        """By its name in the metadata."""
        try:
            async for other in self._client.batches.list(limit=100, extra_headers=self._headers):
                if other.created_at < batch.at - 3600:
                    break  # the newest come first
                if (other.metadata or {}).get(NAME) == batch.token:
                    return str(other.id)
        except Exception as error:
            raise _fault(error) from None
        return ""

    async def progress(self, id: str) -> BatchProgress:
        try:
            batch = await self._client.batches.retrieve(id, extra_headers=self._headers)
            counts = batch.request_counts
            done = counts.completed + counts.failed if counts else 0
            if batch.status == "failed":
                said = "; ".join(str(e.message) for e in (batch.errors.data if batch.errors else None) or [])
                return BatchProgress(True, done, said or "no reason given")
            return BatchProgress(batch.status not in OPEN, done)
        except Exception as error:
            raise _fault(error) from None

    async def collect(self, id: str, requests: Mapping[str, TeacherRequest]) -> dict[str, TeacherReply | Fault]:
        """What became of each request: in the file of replies, in that of errors, or in none if the batch expired or was canceled."""
        found: dict[str, TeacherReply | Fault] = {}
        try:
            batch = await self._client.batches.retrieve(id, extra_headers=self._headers)
            for file in (batch.output_file_id, batch.error_file_id):
                if file:
                    content = await self._client.files.content(file, extra_headers=self._headers)
                    for line in _lines(content.text):
                        if (request := requests.get(str(line.get("custom_id")))) is not None:
                            found[str(line["custom_id"])] = self._outcome(line, request)
        except Exception as error:
            raise _fault(error) from None
        if batch.status in ("expired", "cancelled"):
            again = batch.status == "expired"
            why = "expired" if again else "canceled"
            for key in requests.keys() - found.keys():
                found[key] = Fault(why, f"the batch {why} before the service reached this request", again=again, usage=FREE)
        return found

    def _outcome(self, line: Mapping[str, Any], request: TeacherRequest) -> TeacherReply | Fault:
        response, error = line.get("response"), line.get("error")
        if isinstance(error, dict) and error:
            code = str(error.get("code"))
            if code == "batch_expired":
                return Fault("expired", str(error.get("message")), again=True, usage=FREE)
            if code in ("batch_cancelled", "batch_canceled"):
                return Fault("canceled", str(error.get("message")), usage=FREE)
            return from_status(500, {"error": error})
        if not isinstance(response, dict) or not isinstance(response.get("body"), dict):
            return Fault("bad-reply", "the batch has a line without a reply", again=True)
        status, body = response.get("status_code"), response["body"]
        if status != 200:
            fault = from_status(status if isinstance(status, int) else 500, body)
            if self._unstructured(fault.detail):
                fault.again = True
            return fault
        try:
            return self._read(ChatCompletion.construct(**body), request)
        except Fault as fault:
            return fault


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue  # a truncated one: its request counts as lost
        if isinstance(found, dict):
            yield found


def _fault(error: Exception) -> Fault:
    fault = from_sdk(error, openai)
    if fault.error == "model":
        fault.detail += "; does the service have a batch API?"
    return fault
