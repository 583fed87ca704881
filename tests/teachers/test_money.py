import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_server import GOOD, Server
from tests.teachers.test_faults import remote
from thinklab.errors import ConfigError
from thinklab.teachers import load_teacher
from thinklab.teachers.money import Amount, CapKeeper, CapReached, Caps
from thinklab.teachers.prices import PICO, dollars, facts, price_from_config
from thinklab.types import Usage

PRICE = price_from_config({"input": 1, "output": 5, "cache_read": 0.1, "cache_write": 1.25})


@st.composite
def calls(draw):
    """(worst input, worst output, share used, how it ends, when) of each of some calls."""
    one = st.tuples(
        st.integers(0, 500),
        st.integers(0, 100),
        st.floats(0, 1),
        st.sampled_from(["reply", "free", "unknown", "cancel"]),
        st.integers(0, 5),
    )
    return draw(st.lists(one, min_size=1, max_size=30))


@settings(deadline=None, max_examples=150)
@given(
    calls(),
    st.one_of(st.none(), st.floats(0, 0.01)),
    st.one_of(st.none(), st.integers(0, 5000)),
    st.one_of(st.none(), st.integers(0, 20)),
)
def test_no_cap_is_ever_passed_however_calls_overlap_and_end(work, usd, tokens, count):
    keeper = CapKeeper(Caps(usd, tokens, count), PRICE)
    worst_seen = Amount()

    async def call(most_in, most_out, share, end, turns):
        nonlocal worst_seen
        try:
            reserved = await keeper.reserve(keeper.worst(most_in, most_out))
        except CapReached:
            return "refused"
        both = keeper.spent + keeper.reserved
        worst_seen = Amount(
            max(both.picodollars, worst_seen.picodollars),
            max(both.tokens, worst_seen.tokens),
            max(both.calls, worst_seen.calls),
        )
        usage = None
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            if end == "cancel":
                raise asyncio.CancelledError
            read = int(most_in * share) // 2
            usage = {
                "reply": Usage(int(most_in * share), int(most_out * share), read, int(most_in * share) - read),
                "free": Usage(),
                "unknown": None,
            }[end]
        finally:
            keeper.settle(reserved, usage)

    async def run():
        return await asyncio.gather(*(call(*w) for w in work), return_exceptions=True)

    results = asyncio.run(asyncio.wait_for(run(), 10))  # a call that waits for ever would show here
    assert keeper.reserved == Amount()
    for seen in (keeper.spent, worst_seen):
        assert usd is None or seen.picodollars <= usd * PICO
        assert tokens is None or seen.tokens <= tokens
        assert count is None or seen.calls <= count
    assert keeper.refused == results.count("refused")
    assert keeper.spent.calls == len(work) - keeper.refused


def test_a_call_waits_for_others_to_settle_and_is_refused_only_when_it_cannot_fit():
    async def run():
        keeper = CapKeeper(Caps(tokens=100), None)
        first = await keeper.reserve(Amount(tokens=90, calls=1))
        waiting = asyncio.create_task(keeper.reserve(Amount(tokens=60, calls=1)))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        keeper.settle(first, Usage(30, 10))
        second = await asyncio.wait_for(waiting, 1)
        with pytest.raises(CapReached):
            await keeper.reserve(Amount(tokens=61, calls=1))  # 40 spent: it can never fit
        keeper.settle(second, None)
        assert keeper.spent == Amount(0, 100, 2)

    asyncio.run(run())


@given(st.integers(0, 200_000), st.integers(0, 5000), st.floats(0, 1), st.floats(0, 1))
@pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-haiku-4-5", "claude-opus-5-5"])
def test_the_worst_case_is_never_below_the_cost(model, tokens, out, first, second):
    price = facts(model).price
    read, used = int(tokens * first), int(tokens * second)
    usage = Usage(used, out, min(read, used), max(0, used - read))
    assert price.cost(usage) <= price.at_most(tokens, out)


def test_prices_are_exact_and_the_long_prompt_costs_more():
    price = facts("claude-haiku-5-5").price
    assert price.cost(Usage(1_000_000, 0)) == PICO // 2  # above 100,000 tokens: $0.50
    assert price.cost(Usage(100_000, 1000)) == (100_000 * 10 + 1000 * 50) * PICO // 10**8
    assert price.cost(Usage(1000, 0, 400, 600)) == (400 * 1 + int(600 * 12.5)) * PICO // 10**8
    assert facts("claude-haiku-4-5-20251001").price == facts("claude-haiku-4-5").price and facts("unheard-of").price is None
    assert price.date == "2026-11-28"


@pytest.mark.parametrize(
    ("pico", "said"),
    [
        (0, "$0"),
        (PICO, "$1.00"),
        (PICO // 2, "$0.50"),
        (PICO // 10**5, "$0.000010"),
        (123 * PICO // 10**4, "$0.012"),
        (12345 * PICO // 100, "$123.45"),
    ],
)
def test_dollars(pico, said):
    assert dollars(pico) == said


@pytest.mark.parametrize(
    "given", [{"input": 1}, {"input": -1, "output": 1}, {"input": "1", "output": 1}, {"input": True, "output": 1}]
)
def test_a_bad_price_is_refused(given):
    with pytest.raises(ConfigError, match="dollars per million tokens"):
        price_from_config(given)


@pytest.mark.parametrize("cap", [{"cap_usd": 0.002}, {"cap_tokens": 9000}, {"cap_calls": 25}])
@pytest.mark.parametrize("action", ["ok", "max-tokens", "half", "hang"])
def test_caps_hold_against_a_server_that_bills(cap, action, ask):
    """The server counts what it would bill, lost replies included; the teacher's own account must cover it."""
    with Server(lambda number, body: action if number % 3 == 0 else "ok") as server:
        teacher = remote("anthropic", server, concurrency=16, attempts=2, timeout_s=1.0 if action == "hang" else 30.0, **cap)
        replies = teacher.reply(ask(120))
        again = teacher.reply(ask(5, start=500))
    spent = teacher.cap.spent
    assert server.billed_tokens <= spent.tokens and spent.calls >= len(server.calls)
    assert "cap_usd" not in cap or spent.picodollars <= cap["cap_usd"] * PICO
    assert spent.tokens <= cap.get("cap_tokens", spent.tokens) and spent.calls <= cap.get("cap_calls", spent.calls)
    assert teacher.outcomes["cap"] > 0 and teacher.outcomes["ok"] > 0 and teacher.cap.refused
    assert next(iter(cap)) in next(r.detail for r in replies if r.error == "cap")
    if "cap_calls" in cap:
        assert {r.error for r in again} == {"cap"} and spent.calls == 25


def test_on_cap_says_whether_to_stop(ask):
    with Server() as server:
        for on_cap, stops in (("plain", False), ("stop", True)):
            teacher = remote("anthropic", server, cap_calls=2, on_cap=on_cap)
            assert teacher.should_stop == ""
            teacher.reply(ask(4))
            assert bool(teacher.should_stop) is stops
    assert "2 calls blocked" in teacher.should_stop and "no reply: cap 2" in teacher.summary()


def test_totals_go_into_a_run_folder_and_back(ask):
    with Server() as server:
        first = remote("anthropic", server, cap_calls=5)
        first.reply(ask(4))
        second = remote("anthropic", server, cap_calls=5)
        second.restore(first.totals())
        assert second.totals() == first.totals()
        assert [r.error for r in second.reply(ask(2, start=10))].count("cap") == 1
    assert second.totals()["usd"] == pytest.approx(second.cap.spent.picodollars / PICO) and second.totals()["usd"] > 0


def test_the_estimate_is_not_passed(ask):
    with Server(lambda number, body: "max-tokens") as server:
        teacher = remote("anthropic", server)
        batch = ask(10)
        estimate = teacher.estimate(batch)
        teacher.reply(batch)
    assert teacher.cap.spent.picodollars / PICO <= estimate.usd and estimate.calls == 10
    assert teacher.used.output_tokens <= estimate.output_tokens_at_most
    assert teacher.estimate(batch, calls=1000).usd == pytest.approx(estimate.usd * 100)
    assert "prices of 2026-11-28" in str(estimate) and "perhaps" not in str(estimate)  # no few-shots to go by
    shots = [{"role": role, "content": GOOD} for role in ("user", "assistant")]
    shot = [replace(r, messages=(r.messages[0], *shots, r.messages[1])) for r in batch]
    free = teacher.estimate(shot)
    capped = remote("anthropic", server, cap_usd=(free.usd_likely + free.usd) / 2).estimate(shot)
    assert 0 < capped.usd_likely < capped.usd and "perhaps $" in str(capped) and "may be reached" in str(capped)
    assert "will probably be reached" in str(remote("anthropic", server, cap_usd=1e-9).estimate(shot))
    own = load_teacher("openai", model="m", base_url="http://127.0.0.1:9/v1", cache=False)
    assert own.estimate(batch).usd is None and "price unknown" in str(own.estimate(batch))


@pytest.mark.parametrize(
    ("action", "worst"),
    [("hang", True), ("drop", True), ("half", True), ("no-usage", True), ("500", False), ("429-long", False), ("400", False)],
)
def test_what_nobody_can_tell_counts_at_its_worst_and_what_is_refused_is_free(action, worst, ask):
    request = ask(1)[0]
    with Server(lambda number, body: action, key="") as server:
        teacher = remote("openai", server, attempts=1, timeout_s=1.0 if action == "hang" else 30.0)
        teacher.reply([request])
    sent = sum(len(m["content"].encode()) for m in server.calls[0]["body"]["messages"])
    assert teacher.cap.spent.calls == 1
    assert (teacher.cap.spent.tokens >= sent + request.max_tokens) if worst else teacher.cap.spent == Amount(calls=1)
