from tests.support.fake_server import Server
from tests.teachers.test_faults import remote
from thinklab.teachers.breaker import Breaker


def test_it_rests_longer_each_time_and_ends_with_any_answer():
    breaker, now, pauses = Breaker(after=3, first_pause_s=60, longest_pause_s=200), 0.0, []
    for k in range(7):
        breaker.ended("timeout", now)
        assert breaker.tripped == (k >= 2)
        pauses.append(breaker.rest_s(now))
        now += breaker.rest_s(now)
    assert pauses == [0, 0, 60, 120, 200, 200, 200]
    breaker.ended("refusal", now)
    assert not breaker.tripped and breaker.rest_s(now) == 0 and breaker.in_a_row == 0


def test_those_that_were_under_way_do_not_lengthen_the_pause():
    breaker = Breaker(after=2)
    for _ in range(10):
        breaker.ended("connection", 5.0)
    assert breaker.rest_s(5.0) == 60 and Breaker(after=0).rest_s(0) == 0


def test_never_means_never():
    breaker = Breaker(after=0)
    for _ in range(100):
        breaker.ended("timeout", 0.0)
    assert not breaker.tripped and breaker.rest_s(0.0) == 0


def test_a_dead_service_is_left_alone_and_asked_once_each_after_the_pause(ask):
    with Server(lambda number, body: "500") as server:
        teacher = remote("anthropic", server, attempts=3, rest_after=4, concurrency=1)
        errors = [teacher.reply(ask(1, start=k))[0].error for k in range(10)]
        assert errors == ["server"] * 4 + ["resting"] * 6 and len(server.calls) == 12
        teacher._breaker.resting_until = float("-inf")  # the pause is over
        again = teacher.reply(ask(3, start=20))
        assert [(r.error, r.attempts) for r in again] == [("server", 1), ("resting", 0), ("resting", 0)]
        assert "next attempt is in 120 s" in again[1].detail
        server.script = lambda number, body: "ok"
        teacher._breaker.resting_until = float("-inf")
        assert all(not r.error for r in teacher.reply(ask(3, start=30)))
    assert not teacher._breaker.tripped
