"""``Gate``: rate limits: concurrent calls, calls per minute, tokens per minute.

Both rates are sliding windows over every 60 seconds, not averages: a token bucket could let twice the rate through. When the
service says "wait", all calls wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from thinklab.errors import ConfigError

WINDOW_S = 60.0


@dataclass(frozen=True)
class Limits:
    """0 means no limit for the two rates."""

    concurrency: int = 16
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    """Input and output together. A call counts with its maximum reply length until its actual usage is known."""

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.requests_per_minute < 0 or self.tokens_per_minute < 0:
            raise ConfigError(
                "concurrency must be at least 1, requests_per_minute and tokens_per_minute at least 0 (no limit), not "
                f"{self.concurrency}, {self.requests_per_minute}, {self.tokens_per_minute}"
            )


@dataclass
class Ticket:
    """One admitted call; ``tokens`` may be corrected when the usage is known."""

    at: float
    tokens: int


class Gate:
    """Admits calls as ``Limits`` allow. All its users must run on one event loop.

    Args:
        clock: monotonic seconds.
        sleep: async sleep. Both can be replaced in tests.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self.limits, self._sleep = limits, sleep
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._places = asyncio.Semaphore(limits.concurrency)
        self._turn = asyncio.Lock()  # admission is first come, first served
        self._admitted: deque[Ticket] = deque()
        self._freed = asyncio.Event()
        self._closed_until = float("-inf")

    @asynccontextmanager
    async def admit(self, tokens: int) -> AsyncIterator[Ticket]:
        """Waits for a slot and holds it until the block ends.

        Args:
            tokens: the maximum that the call can use.
        """
        async with self._places:
            async with self._turn:
                while (wait := self._wait_s(tokens)) > 0:
                    self._freed.clear()
                    await _either(self._sleep(wait), self._freed.wait())
                ticket = Ticket(self._clock(), tokens)
                self._admitted.append(ticket)
            try:
                yield ticket
            finally:
                self._freed.set()  # its tokens may now be fewer than reserved

    def close_for(self, seconds: float) -> None:
        """Admits no calls for that long: the service has requested a pause."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def _wait_s(self, tokens: int) -> float:
        now = self._clock()
        while self._admitted and self._admitted[0].at + WINDOW_S <= now:
            self._admitted.popleft()
        wait, calls = self._closed_until - now, self.limits.requests_per_minute
        if calls and len(self._admitted) >= calls:
            wait = max(wait, self._admitted[len(self._admitted) - calls].at + WINDOW_S - now)
        room, used = self.limits.tokens_per_minute, sum(t.tokens for t in self._admitted)
        if room and self._admitted and used + tokens > room:  # a call above the limit runs alone
            wait = max(wait, self._admitted[0].at + WINDOW_S - now)
        return wait


async def _either(a: Coroutine[Any, Any, Any], b: Coroutine[Any, Any, Any]) -> None:
    """Waits until one of them is done; cancels the other."""
    tasks = [asyncio.ensure_future(a), asyncio.ensure_future(b)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
