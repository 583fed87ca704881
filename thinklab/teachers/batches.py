"""``Batcher``, ``BatchService``: requests by a service's batch API: submitted together, slower, at a lower price.

The service's id of a batch is on disk before anything waits for it (``batch_records``). So a command that was interrupted or killed
collects the same batch when it is run again, and pays for it once. Replies go through the same cache, caps, and accounting as
any other reply; requests that expired or failed are submitted again, at most ``ROUNDS`` times.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from thinklab.teachers.batch_records import BatchRecords, Submitted
from thinklab.teachers.faults import FREE, Fault, Retry
from thinklab.teachers.money import Amount, CapKeeper, CapReached
from thinklab.types import TeacherReply, TeacherRequest, Usage

ROUNDS = 3
MOST_REQUESTS, MOST_BYTES = 10_000, 100_000_000
"""In one batch; both services allow more of each."""
POLLS_THAT_MAY_FAIL = 20
Items = Sequence[tuple[str, TeacherRequest]]


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is."""

    ended: bool
    done: int = 0
    failed: str = ""
    """Why the service rejected the batch as a whole."""


class BatchService(Protocol):
    """A service's batch API. Every method raises ``Fault``, and nothing else."""

    async def submit(self, items: Items, token: str) -> str:
        """Submits requests, each under its key, and returns the service's id of the batch."""
        ...

    async def find(self, batch: Submitted) -> str:
        """The id of a batch whose submission was interrupted; empty if the service has none."""
        ...

    async def progress(self, id: str) -> BatchProgress: ...

    async def collect(self, id: str, requests: Mapping[str, TeacherRequest]) -> dict[str, TeacherReply | Fault]:
        """By key, what became of those of ``requests`` that are in the batch."""
        ...


@runtime_checkable
class HasBatches(Protocol):
    """A backend whose service has a batch API; None: not this one."""

    batches: BatchService | None


class Account(Protocol):
    """What a ``RemoteTeacher`` does with each reply."""

    def worst(self, request: TeacherRequest) -> Amount:
        """The maximum cost."""
        ...

    def received(self, key: str, reply: TeacherReply) -> TeacherReply:
        """Checks, counts, and caches a reply.

        Raises:
            Fault: if it is to be asked for again.
        """
        ...

    def failed(self, request: TeacherRequest, fault: Fault, attempts: int) -> TeacherReply:
        """The reply that says why there is none."""
        ...


@dataclass
class Batcher:
    """Asks for replies in batches.

    Args:
        retry: for single calls, such as the submission of a batch.
        fresh: do not collect what earlier commands have submitted.
    """

    service: BatchService
    records: BatchRecords
    cap: CapKeeper
    account: Account
    model: str
    retry: Retry
    poll_s: float
    fresh: bool = False
    _reserved: dict[str, Amount] = field(default_factory=dict)
    _tries: Counter[str] = field(default_factory=Counter)
    """How often each request was submitted."""

    async def ask(self, pending: Mapping[str, TeacherRequest]) -> dict[str, TeacherReply]:
        """One reply for each request, by key.

        Raises:
            Fault: if the service can never answer; batches that are under way are collected by the next call.
        """
        replies: dict[str, TeacherReply] = {}
        try:
            batches = {} if self.fresh else await self._earlier(pending)
            while len(replies) < len(pending):
                waiting = {key for keys in batches.values() for key in keys}
                new = {key: r for key, r in pending.items() if key not in waiting and key not in replies}
                batches |= await self._submit(new, replies)
                for id, keys in batches.items():
                    await self._results(id, {key: pending[key] for key in keys}, replies)
                batches = {}
            return replies
        finally:
            for amount in self._reserved.values():  # an interrupt: what is billed is counted when it is collected
                self.cap.release(amount)

    async def _earlier(self, pending: Mapping[str, TeacherRequest]) -> dict[str, list[str]]:
        """The batches of earlier commands that have some of the requests."""
        found: dict[str, list[str]] = {}
        for batch, keys in self.records.holding(pending).items():
            id = batch.id or await self.service.find(batch)
            if not id:  # it was never accepted
                self.records.forget(keys)
                continue
            if not batch.id:
                self.records.submitted(batch.token, id)
            for key in keys:
                self._reserved[key] = self.cap.commit(self.account.worst(pending[key]))
                self._tries[key] = 1
            found[id] = keys
            _say(f"batch {id}: submitted earlier; it has {len(keys)} of the {len(pending)} requests")
        return found

    async def _submit(self, pending: Mapping[str, TeacherRequest], replies: dict[str, TeacherReply]) -> dict[str, list[str]]:
        """Submits what fits under the caps; the rest waits until these have settled."""
        admitted: list[tuple[str, TeacherRequest]] = []
        for key, request in pending.items():
            worst = self.account.worst(request)
            try:
                if self.cap.reserve_now(worst):
                    self._reserved[key] = worst
                    admitted.append((key, request))
            except CapReached as why:
                replies[key] = self.account.failed(request, Fault("cap", str(why), usage=FREE), self._tries[key])
        found: dict[str, list[str]] = {}
        for items in _parts(admitted):
            keys = [key for key, _ in items]
            batch = self.records.plan(secrets.token_hex(8), self.model, keys)
            id = await self._accepted(items, batch)
            self.records.submitted(batch.token, id)
            self._tries.update(keys)
            found[id] = keys
            _say(f"batch {id}: {len(items)} requests submitted; recorded in {self.records.path}")
        return found

    async def _accepted(self, items: Items, batch: Submitted) -> str:
        """The id of a new batch.

        Raises:
            Fault: fatal, if the service does not accept it.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.service.submit(items, batch.token)
            except Fault as fault:
                unsure = fault.usage is None and fault.again  # the answer was lost: perhaps it was accepted
                if unsure and (id := await self.service.find(batch)):
                    return id
                if (wait := self.retry.wait_s(attempt, fault)) is None:
                    if not unsure:
                        self.records.forget([key for key, _ in items])
                    fault.fatal, fault.detail = True, f"the batch was not accepted: {fault.detail}"
                    raise
                await asyncio.sleep(wait)

    async def _results(self, id: str, wanted: Mapping[str, TeacherRequest], replies: dict[str, TeacherReply]) -> None:
        """Waits for a batch and fills ``replies``; a request that is to be submitted again stays without one."""
        gone = not await self._ended(id)
        found = {} if gone else await self._collected(id, wanted)
        outcomes: Counter[str] = Counter()
        for key, request in wanted.items():
            try:
                result = found.get(key) or Fault(
                    "server", f"the batch {id} has no result for this request", again=True, usage=FREE
                )
                if isinstance(result, Fault):
                    raise result
                usage = result.usage if result.usage != Usage() else None  # without a count, the worst case
                self.cap.settle(self._reserved.pop(key), usage)
                replies[key] = self.account.received(key, result)
                outcomes["answered"] += 1
            except Fault as fault:
                if key in self._reserved:
                    self.cap.settle(self._reserved.pop(key), fault.usage)
                if fault.fatal:
                    raise
                self.records.forget([key])
                again = fault.again and self._tries[key] < ROUNDS
                outcomes[f"{fault.error}{' (again)' if again else ''}"] += 1
                if not again:
                    replies[key] = self.account.failed(request, fault, self._tries[key])
        said = ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items()))
        _say(f"batch {id}: {'is not known any more' if gone else 'ended'}: {said}")

    async def _collected(self, id: str, wanted: Mapping[str, TeacherRequest]) -> dict[str, TeacherReply | Fault]:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.service.collect(id, wanted)
            except Fault as fault:
                if (wait := self.retry.wait_s(attempt, fault)) is None:
                    fault.fatal = True
                    fault.detail = f"the batch {id} cannot be read ({fault.detail}); run the same command again to collect it"
                    raise
                await asyncio.sleep(wait)

    async def _ended(self, id: str) -> bool:
        """Waits for the end of a batch; False if the service does not know it any more.

        Raises:
            Fault: fatal, if the service rejected it or cannot be asked.
        """
        failures, told = 0, -1
        while True:
            try:
                found = await self.service.progress(id)
                failures = 0
            except Fault as fault:
                if fault.error == "model":  # HTTP 404: its results are gone
                    return False
                failures += 1
                if not fault.again or failures > POLLS_THAT_MAY_FAIL:
                    fault.fatal = True
                    fault.detail = (
                        f"the batch {id} cannot be asked about ({fault.detail}); run the same command again to collect it"
                    )
                    raise
                await asyncio.sleep(self.poll_s)
                continue
            if found.failed:
                raise Fault("server", f"the service rejected the batch {id}: {found.failed}", fatal=True, usage=FREE)
            if found.ended:
                return True
            if found.done != told:
                told = found.done
                _say(f"batch {id}: waiting, {told} done; it goes on if this command is stopped")
            await asyncio.sleep(self.poll_s)


def _parts(items: Items) -> list[Items]:
    """The requests in groups that a batch can hold."""
    parts: list[list[tuple[str, TeacherRequest]]] = []
    size = 0
    for key, request in items:
        length = sum(len(m["content"].encode("utf-8", "replace")) for m in request.messages) + 2000
        if not parts or len(parts[-1]) >= MOST_REQUESTS or size + length > MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append((key, request))
        size += length
    return list(parts)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
