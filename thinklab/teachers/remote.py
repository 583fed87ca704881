"""``RemoteTeacher``: cache, limits, caps, retries, and accounts around a ``Backend`` that makes one call.

From the outside in: the answer is marked as data (``safety``); known replies come from the ``cache``; duplicates within a
batch are sent once; ``limits`` admit a call; ``money`` reserves its worst case; the call
is made under a time limit; its fault is classified (``faults``) and perhaps retried. A backend only turns
a request into a call, and the service's answer into a ``TeacherReply`` or a ``Fault``.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers import loop
from thinklab.teachers.backend import Backend, MarksUnknown, facts_of
from thinklab.teachers.batch_records import BatchRecords
from thinklab.teachers.batches import MOST_REQUESTS, Batcher, HasBatches
from thinklab.teachers.breaker import Breaker, Resting
from thinklab.teachers.cache import ReplyCache, default_path, key_of
from thinklab.teachers.faults import Fault
from thinklab.teachers.limits import Gate
from thinklab.teachers.measure import add, likely_tokens, most_tokens, prefix_of, reported, shot_tokens
from thinklab.teachers.money import Amount, CapKeeper, CapReached, CostEstimate
from thinklab.teachers.options import RemoteOptions
from thinklab.teachers.prices import PICO, dollars, price_from_config
from thinklab.teachers.safety import shielded
from thinklab.teachers.thinking import ONLY_THINKING, without_thinking
from thinklab.types import TeacherReply, TeacherRequest, Usage

T = TypeVar("T")
FORBIDDEN_IN_A_ROW = 16
"""Replies with status 403 in a row after which a service that did answer before counts as refusing access."""
WARM_S = 240.0  # a service keeps a prefix for 5 minutes after its last use; one is spare


Prefix = tuple[tuple[str, str], ...]
"""Role and text of every message but the last."""


class RemoteTeacher:
    """A ``Teacher`` made of a ``Backend`` and the shared parts. See ``RemoteOptions`` for its options."""

    def __init__(self, backend: Backend, options: RemoteOptions | None = None) -> None:
        options = options or RemoteOptions()
        known = facts_of(backend, options.prices)
        self.name, self.backend, self.options = backend.name, backend, options
        price = known.price if options.price is None else price_from_config(options.price)
        if options.batch and not (isinstance(backend, HasBatches) and backend.batches is not None):
            raise ConfigError(f"the teacher {backend.name!r} has no batches: leave batch out, or use anthropic or openai")
        if price and options.batch:
            known_there = "in a batch" if price.batch else "the full price: none is known for a batch"
            price = replace(price.in_batch(), source=", ".join(part for part in (price.source, known_there) if part))
        self.cap = CapKeeper(options.caps, price)
        self.faults: Counter[str] = Counter()
        """Failed attempts by reason; most succeed on the next attempt."""
        self.outcomes: Counter[str] = Counter()
        """Replies by error; ``ok`` for usable ones, ``cached`` for those that cost nothing."""
        self.used = Usage()
        """Tokens of all replies that were paid for."""
        self._cache_from = known.cache_from or (backend.cache_from_unknown if isinstance(backend, MarksUnknown) else None)
        self._gate: Gate | None = None
        self._cache = None
        if options.cache is not False:
            self._cache = ReplyCache(default_path() if options.cache is True else options.cache)
        self._answered, self._refused_in_a_row = False, 0
        self._breaker = Breaker(options.rest_after)
        self._flights: dict[str, asyncio.Future[TeacherReply]] = {}
        self._warm_until: dict[Prefix, float] = {}
        self._warming: dict[Prefix, asyncio.Event] = {}

    def __repr__(self) -> str:
        return f"<{self.name} teacher, {self.backend.model}>"

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """Waits for ``submit``.

        Raises:
            TeacherError: if no call can ever succeed.
        """
        return loop.run(self._guarded(self._batch(list(requests))))

    def again(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """Like ``reply``, but calls the service even if the cache has a reply; the cached one is kept.

        Raises:
            TeacherError: if no call can ever succeed.
        """
        return loop.run(self._guarded(self._batch(list(requests), fresh=True)))

    def submit(self, requests: Sequence[TeacherRequest]) -> Future[list[TeacherReply]]:
        """Starts the requests and returns at once; one reply per request, same order."""
        return loop.start(self._guarded(self._batch(list(requests))))

    async def areply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """The same from within any event loop."""
        return await asyncio.wrap_future(self.submit(requests))

    def check(self) -> None:
        """Tries the key with a call that costs nothing.

        Raises:
            TeacherError: when it is refused, or the service cannot be reached.
        """
        loop.run(self._guarded(self._check()))

    def estimate(self, requests: Sequence[TeacherRequest], calls: int | None = None) -> CostEstimate:
        """The maximum cost of the requests, beforehand; ``calls`` scales a sample up to a whole run."""
        requests = [self._prepared(r) for r in requests]
        sent = [(likely_tokens(r), r.max_tokens) for r in requests]
        return self.cap.estimate(sent, [shot_tokens(r) for r in requests], len(requests) if calls is None else calls)

    def refuse_above_cap(self, estimate: CostEstimate, less: str) -> None:
        """Reject a run that would probably reach a cap before its end.

        Args:
            estimate: what the run will probably cost.
            less: advice on how to reduce the number of requests, such as "lower train.steps".

        Raises:
            ConfigError: if the estimate exceeds a cap and ``on_cap`` is not set.
        """
        if self.options.on_cap is None and (above := estimate.above_cap):
            raise ConfigError(
                f"the teacher would need {above}, so no request was sent: {less}, raise the cap, or set the teacher's option "
                "on_cap=stop (save and end at the cap) or on_cap=plain (continue without "
                "guidance)"
            )

    @property
    def concurrency(self) -> int:
        """Calls at once, or requests in one batch."""
        return MOST_REQUESTS if self.options.batch else self.options.concurrency

    @property
    def should_stop(self) -> str:
        """Why the run should be saved and stopped; empty while it may continue (always with ``on_cap: plain``)."""
        return self.cap_reached if self.options.on_cap == "stop" else ""

    @property
    def cap_reached(self) -> str:
        """The cap that blocked a call; empty if none has."""
        return (
            (f"the teacher has reached its cap ({self.cap.why_refused}; {_calls(self.cap.refused)} blocked)")
            if self.cap.refused
            else ""
        )

    def settle(self, at_most_s: float = 2.0) -> None:
        """After an interrupt: waits until every canceled call is accounted for, so that ``totals`` are correct."""
        until = time.monotonic() + at_most_s
        while self.cap.reserved.calls and time.monotonic() < until:
            time.sleep(0.01)

    def totals(self) -> dict[str, Any]:
        """For the run folder: the cost and the outcomes of the requests. ``restore`` reads it back."""
        return {
            "teacher": self.name,
            "model": self.backend.model,
            "spent": self.cap.state(),
            "usd": self.cap.spent.picodollars / PICO if self.cap.price else None,
            **asdict(self.used),
            "outcomes": dict(self.outcomes),
            "faults": dict(self.faults),
        }

    def restore(self, totals: Mapping[str, Any]) -> None:
        """Restores an earlier run's ``totals``, so that a cap covers both together."""
        self.cap.restore(totals["spent"])
        self.outcomes, self.faults = Counter(totals["outcomes"]), Counter(totals["faults"])
        self.used = Usage(**{f.name: int(totals.get(f.name, 0)) for f in fields(Usage)})

    def brief(self) -> str:
        """For a progress line: ``teacher $0.010 of $0.05, 70 calls, 90% cached, 6 without reply``."""
        spent, used, cap = self.cap.spent, self.used, self.options.caps.usd
        money = f"{spent.tokens:,} tokens" if self.cap.price is None else dollars(spent.picodollars)
        parts = [f"teacher {money}" + (f" of ${cap:g}" if cap is not None else ""), _calls(spent.calls)]
        if used.cache_read_tokens:
            parts.append(f"{used.cache_read_tokens / used.input_tokens:.0%} cached")
        if self.outcomes["cached"]:
            parts.append(f"{self.outcomes['cached']} already known")
        if failed := sum(self.outcomes.values()) - self.outcomes["ok"] - self.outcomes["cached"]:
            parts.append(f"{failed} without reply")
        return ", ".join(parts)

    def summary(self) -> str:
        """One line for the end: cost, tokens, outcomes of the requests, and failed attempts."""
        spent, caps, used = self.cap.spent, self.options.caps, self.used
        money = "price unknown" if self.cap.price is None else dollars(spent.picodollars)
        if caps.usd is not None:
            money += f" of ${caps.usd:g}"
        parts = [
            money,
            _calls(spent.calls),
            f"{used.input_tokens:,} tokens in ({used.cache_read_tokens:,} cached)",
            f"{used.output_tokens:,} out" + (f" ({used.thinking_tokens:,} thinking)" if used.thinking_tokens else ""),
        ]
        parts += [f"{self.outcomes['cached']} already known"] if self.outcomes["cached"] else []
        failed = {k: n for k, n in self.outcomes.items() if k not in ("ok", "cached")}
        parts += [f"no reply: {', '.join(f'{k} {n}' for k, n in sorted(failed.items()))}"] if failed else []
        if self.faults:
            parts += [f"failed attempts: {', '.join(f'{k} {n}' for k, n in sorted(self.faults.items()))}"]
        return "; ".join([", ".join(parts[:4]), *parts[4:]])

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T:
        """Lets only results and redacted ``TeacherError``s out: the SDKs' own exceptions contain the request."""
        try:
            return await work
        except Fault as fault:
            message = self.backend.secret.redact(
                f"the {self.name} teacher ({self.backend.model}) cannot work: {' '.join(fault.detail.split())}"
            )
        raise TeacherError(message)

    async def _check(self) -> None:
        for attempt in range(1, self.options.attempts + 1):
            try:
                async with asyncio.timeout(self.options.timeout_s):
                    return await self.backend.check()
            except TimeoutError:
                fault = Fault("timeout", f"no answer within {self.options.timeout_s:g} s", again=True)
            except Fault as caught:
                fault = caught
            wait = self.options.retry.wait_s(attempt, fault)
            if wait is None:
                raise fault
            await asyncio.sleep(wait)

    def _prepared(self, request: TeacherRequest) -> TeacherRequest:
        request = shielded(request, self.options.max_student_chars)
        return replace(request, max_tokens=self.options.max_tokens or request.max_tokens)

    def _open_gate(self) -> Gate:
        """Created inside the event loop that waits on it."""
        if self._gate is None:
            self._gate = Gate(self.options.limits)
        return self._gate

    async def _batch(self, requests: Sequence[TeacherRequest], fresh: bool = False) -> list[TeacherReply]:
        prepared = [self._prepared(r) for r in requests]
        keys = [key_of({"backend": self.name, **self.backend.settings}, r) for r in prepared]
        known = {k: self._cache.get(k, "") for k in dict.fromkeys(keys)} if self._cache is not None and not fresh else {}
        first: dict[str, TeacherRequest] = {}
        for key, request in zip(keys, prepared, strict=True):
            if known.get(key) is None:
                first.setdefault(key, request)
        if self.options.batch:
            asked = await self._in_batches(first, fresh)
        else:
            asked = await self._one_by_one(first)
        replies, paid = [], set()
        for key, request in zip(keys, requests, strict=True):
            reply = replace(known.get(key) or asked[key], id=request.id)
            if key in asked and (key in paid or not reply.attempts):
                reply = replace(reply, cache_hit=not reply.error)  # another caller's request fetched it
            paid.add(key)
            self.outcomes[reply.error or ("cached" if reply.cache_hit else "ok")] += 1
            replies.append(reply)
        return replies

    async def _in_batches(self, first: Mapping[str, TeacherRequest], fresh: bool) -> dict[str, TeacherReply]:
        """Replies by key, through the service's batch API."""
        service = self.backend.batches if isinstance(self.backend, HasBatches) else None
        if not first or service is None:
            return {}
        records = BatchRecords(default_path().with_name("batches.sqlite"))
        try:
            batcher = Batcher(
                service, records, self.cap, self, self.backend.model, self.options.retry, self.options.batch_poll_s, fresh
            )
            return await batcher.ask(first)
        finally:
            records.close()

    def worst(self, request: TeacherRequest) -> Amount:
        """The maximum cost of one request."""
        return self.cap.worst(most_tokens(request), request.max_tokens)

    def received(self, key: str, reply: TeacherReply) -> TeacherReply:
        """Checks, counts, and caches a reply from a batch.

        Raises:
            Fault: if it is to be asked for again.
        """
        reply = without_thinking(_readable(reply))
        self.used, self._answered, self._refused_in_a_row = add(self.used, reply.usage), True, 0
        reply = self._judged(reply)
        if self._cache is not None:
            self._cache.put(key, reply)
        return reply

    def failed(self, request: TeacherRequest, fault: Fault, attempts: int) -> TeacherReply:
        """The reply that says why there is none, for a request in a batch."""
        self.faults[fault.error] += fault.error != "cap"
        return self._failed(request, fault.error, fault.detail, attempts, fault)

    async def _one_by_one(self, first: Mapping[str, TeacherRequest]) -> dict[str, TeacherReply]:
        """Replies by key, each in a call of its own."""
        by_prefix: dict[Prefix, list[str]] = {}
        for key, request in first.items():
            by_prefix.setdefault(prefix_of(request), []).append(key)
        asked: dict[str, TeacherReply] = {}

        async def one(key: str) -> None:
            asked[key] = await self._once(key, first[key])

        async def group(prefix: Prefix, group_keys: list[str]) -> None:
            while self._cold(prefix) and (other := self._warming.get(prefix)) is not None:
                await other.wait()  # another batch makes the first call
            if self._cold(prefix):  # the first call fills the service's cache, then the rest fan out
                ended = self._warming[prefix] = asyncio.Event()
                try:
                    await one(group_keys[0])
                finally:
                    del self._warming[prefix]
                    ended.set()
                group_keys = group_keys[1:]
            await _all(one(key) for key in group_keys)

        await _all(group(prefix, group_keys) for prefix, group_keys in by_prefix.items())
        return asked

    async def _once(self, key: str, request: TeacherRequest) -> TeacherReply:
        """The reply to one request; a second caller with the same key waits for the first one's."""
        while (flight := self._flights.get(key)) is not None:
            try:
                return replace(await asyncio.shield(flight), attempts=0)
            except Fault as fault:
                if fault.fatal:
                    raise  # otherwise the other caller was interrupted: ask again
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._ask(request)
            if self._cache is not None:
                self._cache.put(key, reply)
            flight.set_result(reply)
            return reply
        except BaseException as error:
            flight.set_exception(error if isinstance(error, Fault) else Fault("connection", "the call was canceled"))
            flight.exception()  # retrieved, in case nothing awaits it
            raise
        finally:
            del self._flights[key]

    async def _ask(self, request: TeacherRequest) -> TeacherReply:
        attempt = empty = 0
        clock = asyncio.get_running_loop().time
        while True:
            attempt += 1
            try:
                reply = replace(await self._attempt(request), attempts=attempt)
                self._breaker.ended(reply.error, clock())
                return reply
            except CapReached as why:
                return self._failed(request, "cap", str(why), attempt - 1)
            except Resting as why:
                return self._failed(request, "resting", str(why), attempt - 1)
            except Fault as fault:
                self.faults[fault.error] += 1
                if fault.fatal or self._refuses_everything(fault):
                    raise
                empty += fault.error == "empty"
                wait = self.options.retry.wait_s(attempt, fault)
                if wait is None or empty > 1 or self._breaker.tripped:  # empty twice: intended
                    self._breaker.ended(fault.error, clock())
                    return self._failed(request, fault.error, fault.detail, attempt, fault)
                if fault.wait_s:
                    self._open_gate().close_for(fault.wait_s)
                await asyncio.sleep(wait)

    def _refuses_everything(self, fault: Fault) -> bool:
        """A setting that the service rejects would otherwise leave a whole run unguided, one 400 at a time.

        A 403 that names neither the account nor the content may come from a firewall that blocks one text, or from a key
        without access to the model: that many in a row indicate the key.
        """
        if fault.error not in ("bad-request", "forbidden"):
            return False
        self._refused_in_a_row += 1
        allowed = 3 if not self._answered else FORBIDDEN_IN_A_ROW if fault.error == "forbidden" else self._refused_in_a_row + 1
        fault.fatal = self._refused_in_a_row >= allowed
        return fault.fatal

    async def _attempt(self, request: TeacherRequest) -> TeacherReply:
        likely, bound, prefix = likely_tokens(request), most_tokens(request), prefix_of(request)
        clock, timeout_s = asyncio.get_running_loop().time, self.options.timeout_s
        async with self._open_gate().admit(likely + request.max_tokens) as ticket:
            self._breaker.let_through(clock())
            reserved, usage = await self.cap.reserve(self.cap.worst(bound, request.max_tokens)), None
            start = clock()
            try:
                async with asyncio.timeout(timeout_s):
                    reply = _readable(await self.backend.call(request, timeout_s, self._worth_marking(prefix)))
                usage = reply.usage if reply.usage != Usage() else None  # does not count: the worst case
            except TimeoutError:
                raise Fault("timeout", f"no reply within {timeout_s:g} s", again=True) from None
            except Fault as fault:
                usage = fault.usage
                raise
            except Exception as error:  # a bug in a backend must not leak unredacted either
                raise Fault("unexpected", f"{type(error).__name__}: {error}", fatal=True) from None
            finally:
                self.cap.settle(reserved, usage)
                if usage is not None:
                    ticket.tokens = usage.input_tokens + usage.output_tokens
        reply = without_thinking(reply)
        self.used, self._answered, self._refused_in_a_row = add(self.used, reply.usage), True, 0
        if self._worth_marking(prefix):
            served = reply.usage.cache_read_tokens + reply.usage.cache_write_tokens
            self._warm_until[prefix] = clock() + WARM_S if served else float("inf")  # inf: too short after all
        return self._judged(replace(reply, latency_s=clock() - start))

    def _judged(self, reply: TeacherReply) -> TeacherReply:
        """Checks that no service performs."""
        secret = self.backend.secret  # a service that echoes the key must not get it into a record
        reply = replace(
            reply,
            text=secret.hide(_storable(reply.text)),
            detail=secret.redact(_storable(reply.detail)),
            model=secret.redact(_storable(reply.model))[:200],
        )
        if reply.error == "max-tokens" and reply.usage.thinking_tokens:
            thought, all_of_it = reply.usage.thinking_tokens, reply.usage.output_tokens
            reply = replace(reply, detail=f"{reply.detail}, {thought:,} of {all_of_it:,} tokens of it thinking")
        if len(reply.text) > self.options.max_reply_chars:
            return replace(
                reply,
                text=reply.text[:1000],
                error="oversized",
                detail=f"{len(reply.text):,} characters; at most {self.options.max_reply_chars:,} are read",
            )
        if not reply.error and not reply.text.strip():
            why = ONLY_THINKING if reply.usage.thinking_tokens else "the reply has no text"
            raise Fault("empty", why, again=True, usage=reply.usage)
        return reply

    def _failed(
        self, request: TeacherRequest, error: str, detail: str, attempts: int, fault: Fault | None = None
    ) -> TeacherReply:
        def redact(text: str) -> str:
            return self.backend.secret.redact(_storable(text))

        text, usage = (redact(fault.text), fault.usage or Usage()) if fault else ("", Usage())
        return TeacherReply(request.id, text, error, redact(detail), self.backend.model, usage, attempts=attempts)

    def _worth_marking(self, prefix: Prefix) -> bool:
        """Whether the prefix may be long enough for this model's cache. Overestimated: an unnecessary mark costs nothing."""
        return (
            self._cache_from is not None
            and self._warm_until.get(prefix) != float("inf")
            and sum(len(text.encode("utf-8", "replace")) for _, text in prefix) / 3 >= self._cache_from
        )

    def _cold(self, prefix: Prefix) -> bool:
        return self._worth_marking(prefix) and self._warm_until.get(prefix, 0.0) < asyncio.get_running_loop().time()


def _readable(reply: Any) -> TeacherReply:
    """A backend's reply with fields of the right types: invalid ones must not reach the accounting.

    Raises:
        Fault: if it is not a reply.
    """
    if not isinstance(reply, TeacherReply) or not all(isinstance(part, str) for part in (reply.text, reply.error, reply.detail)):
        raise Fault("bad-reply", f"the backend returned {type(reply).__name__} instead of a reply with text", again=True)
    u = reply.usage
    known = None
    if isinstance(u, Usage):
        known = reported(u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens, u.thinking_tokens)
    return replace(reply, usage=known or Usage(), model=str(reply.model))


def _storable(text: str) -> str:
    """Half a surrogate pair, which JSON can carry and UTF-8 cannot, as the sign for a character that is missing."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _calls(count: int) -> str:
    return f"{count:,} call{'s' * (count != 1)}"


async def _all(work: Iterable[Awaitable[Any]]) -> None:
    """All results; the first exception cancels the others and waits until they have settled their cost."""
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(w) for w in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
