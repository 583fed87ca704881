"""A clock that the test moves: no test here waits, and none measures time."""

import asyncio
import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_server import Server
from tests.teachers.test_faults import remote
from thinklab.errors import ConfigError
from thinklab.teachers.limits import WINDOW_S, Gate, Limits


class Clock:
    """Time that jumps to the next waking moment once nobody has anything left to do before it."""

    def __init__(self):
        self.now, self.sleepers, self.count = 0.0, [], 0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds > 0
        self.count += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.now + seconds, self.count, woken))
        await woken

    async def tick(self):
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            while self.sleepers and self.sleepers[0][2].done():
                heapq.heappop(self.sleepers)
            if self.sleepers:
                self.now, _, woken = heapq.heappop(self.sleepers)
                woken.set_result(None)

    def run(self, work):
        async def both():
            ticking = asyncio.ensure_future(self.tick())
            try:
                return await asyncio.wait_for(work, 30)
            finally:
                ticking.cancel()

        return asyncio.run(both())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1), st.floats(0, 30)), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(0, 8),
    st.sampled_from([0, 300, 1000]),
)
def test_no_window_of_sixty_seconds_has_more_than_allowed(calls, concurrency, per_minute, tokens_per_minute):
    clock, running, most, admitted = Clock(), 0, 0, []

    async def run():
        gate = Gate(Limits(concurrency, per_minute, tokens_per_minute), clock, clock.sleep)

        async def call(tokens, share, seconds):
            nonlocal running, most
            async with gate.admit(tokens) as ticket:
                running += 1
                most = max(most, running)
                admitted.append(ticket)
                if seconds:
                    await clock.sleep(seconds)
                ticket.tokens = int(tokens * share)
                running -= 1

        await asyncio.gather(*(call(*c) for c in calls))

    clock.run(run())
    assert len(admitted) == len(calls) and most <= concurrency
    for ticket in admitted:
        window = [t for t in admitted if ticket.at - WINDOW_S + 1e-9 < t.at <= ticket.at]
        assert not per_minute or len(window) <= per_minute
        used = sum(t.tokens for t in window)  # what they really used; reserved was at least as much
        assert not tokens_per_minute or used <= tokens_per_minute or len(window) == 1


def test_admission_is_in_order_and_a_full_window_opens_when_its_oldest_call_is_a_minute_old():
    clock = Clock()

    async def run():
        gate, order = Gate(Limits(10, 3), clock, clock.sleep), []

        async def call(k):
            async with gate.admit(1):
                order.append((k, clock.now))

        await asyncio.gather(*(call(k) for k in range(7)))
        return order

    order = clock.run(run())
    assert [k for k, _ in order] == list(range(7))
    assert [at for _, at in order] == [0, 0, 0, 60, 60, 60, 120]


def test_a_pause_holds_back_everybody():
    clock = Clock()

    async def run():
        gate = Gate(Limits(10), clock, clock.sleep)
        gate.close_for(7.5)
        gate.close_for(2)
        async with gate.admit(1) as ticket:
            return ticket.at

    assert clock.run(run()) == 7.5


@pytest.mark.parametrize("limits", [(0, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_limits_that_cannot_be(limits):
    with pytest.raises(ConfigError, match="concurrency must be at least 1"):
        Limits(*limits)


def test_concurrency_reaches_the_limit_and_never_passes_it(ask):
    for limit in (1, 5):
        with Server(latency_s=0.02) as server:
            assert len(remote("anthropic", server, concurrency=limit).reply(ask(20))) == 20
        assert server.most_running == limit


def test_tokens_that_were_set_aside_and_not_used_are_free_at_once():
    clock = Clock()

    async def run():
        gate = Gate(Limits(10, 0, 100), clock, clock.sleep)
        admitted = []

        async def call(tokens, used, seconds):
            async with gate.admit(tokens) as ticket:
                admitted.append(clock.now)
                await clock.sleep(seconds)
                ticket.tokens = used

        await asyncio.gather(call(90, 10, 1.0), call(60, 60, 1.0), call(60, 60, 1.0))
        return admitted

    assert clock.run(run()) == [0.0, 1.0, 61.0]  # the third has to wait for the second to be a minute old
