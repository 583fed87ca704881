"""The real SDKs against a server that fails in every way that services fail."""

import random
import time
from collections import Counter

import pytest

from tests.support.fake_server import GOOD, KEY, Server
from thinklab.errors import TeacherError
from thinklab.guide.guide import Rejected, parse_reply
from thinklab.teachers import load_teacher
from thinklab.teachers.base import check, submit
from thinklab.teachers.faults import ERRORS
from thinklab.types import Usage

# what is done with the first call -> (error of the reply, calls made, reason counted)
DESERTS = {
    "429": ("", 2, "rate-limit"),
    "429-long": ("rate-limit", 1, "rate-limit"),
    "500": ("", 2, "server"),
    "503": ("", 2, "overloaded"),
    "529": ("", 2, "overloaded"),
    "drop": ("", 2, "connection"),
    "drop-late": ("", 2, "connection"),
    "hang": ("", 2, "timeout"),
    "half": ("", 2, "bad-reply"),
    "not-json": ("", 2, "bad-reply"),
    "empty": ("", 2, "empty"),
    "refusal": ("refusal", 1, ""),
    "max-tokens": ("max-tokens", 1, ""),
    "huge": ("oversized", 1, ""),
    "400": ("bad-request", 1, "bad-request"),
    "413": ("prompt-too-long", 1, "prompt-too-long"),
    "wrong-tags": ("", 1, ""),
    "control": ("", 1, ""),
    "alphabet": ("", 1, ""),
    "no-usage": ("", 1, ""),
    "ok": ("", 1, ""),
}


def remote(kind, server, **options):
    if kind == "openai":
        options.setdefault("model", "some-model")
    url = server.url + ("/v1" if kind == "openai" else "")
    return load_teacher(kind, base_url=url, **{"timeout_s": 30.0, "first_wait_s": 0.001, "cache": False, **options})


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
@pytest.mark.parametrize("action", DESERTS)
def test_each_fault_gets_what_it_deserves(kind, action, ask):
    error, calls, reason = DESERTS[action]
    with Server(lambda number, body: action if number == 0 else "ok", key=KEY if kind == "anthropic" else "") as server:
        teacher = remote(kind, server, timeout_s=3.0 if action == "hang" else 30.0)
        request = ask(1)[0]
        reply = teacher.reply([request])[0]
    assert (reply.error, len(server.calls), teacher.faults) == (error, calls, Counter({reason: 1} if reason else {}))
    assert reply.id == request.id and (reply.error == "" or reply.error in ERRORS) and bool(reply.detail) == bool(reply.error)
    assert reply.attempts == calls and len(reply.text) < 2000
    if not error and calls == 2:
        assert reply.text == GOOD and reply.latency_s > 0
    if action in ("wrong-tags", "control", "alphabet"):  # a reply like any other; the strict parser turns it away
        with pytest.raises(Rejected):
            parse_reply(reply.text)


@pytest.mark.parametrize("action", ["429", "500", "529", "drop", "hang", "half", "empty"])
def test_a_fault_that_stays_ends_as_a_reply(action, ask):
    with Server(lambda number, body: action) as server:
        teacher = remote("anthropic", server, attempts=3, timeout_s=1.0 if action == "hang" else 30.0)
        reply = teacher.reply(ask(1))[0]
    attempts = 2 if action == "empty" else 3
    assert reply.error in ERRORS and reply.attempts == len(server.calls) == attempts
    assert teacher.outcomes == Counter({reply.error: 1}) and teacher.faults[reply.error] == attempts


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_a_wrong_key_stops_at_once_with_one_line(kind, ask, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-wrong-987654321")
    monkeypatch.setenv("OTHER_KEY", "sk-ant-wrong-987654321")
    with Server() as server:
        teacher = remote(kind, server, **({"key_env": "OTHER_KEY"} if kind == "openai" else {}))
        for act in (lambda: check(teacher), lambda: teacher.reply(ask(20))):
            with pytest.raises(TeacherError) as caught:
                act()
            assert "the key was rejected" in str(caught.value) and "\n" not in str(caught.value)
            assert "987654321" not in str(caught.value)  # the server repeats the key in its message
            assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert not server.calls


@pytest.mark.parametrize(("action", "said"), [("402", "has no credit"), ("404", "no such model"), ("401", "key was rejected")])
def test_what_can_never_succeed_ends_the_batch_and_settles_it(action, said, ask):
    with Server(lambda number, body: action if number == 5 else "ok", latency_s=0.05) as server:
        teacher = remote("anthropic", server, concurrency=4)
        with pytest.raises(TeacherError, match=said):
            teacher.reply(ask(40))
        assert len(server.calls) < 20
        assert teacher.cap.reserved.calls == 0 and teacher.cap.spent.calls >= len(server.calls)


def test_check_passes_with_the_right_key_and_names_a_wrong_model():
    with Server() as server:
        check(remote("anthropic", server))
        with pytest.raises(TeacherError, match="no such model"):
            check(remote("anthropic", server, model="no-such-model"))
    with pytest.raises(TeacherError, match=r"connection to 127\.0\.0\.1 failed"):
        check(load_teacher("anthropic", base_url=server.url, attempts=1, cache=False))  # nobody listens any more


def test_a_pause_that_the_service_asks_for_holds_for_all(ask):
    with Server(lambda number, body: "429" if number == 0 else "ok", retry_after="0.3") as server:
        teacher = remote("anthropic", server, concurrency=2)
        assert all(not r.error for r in teacher.reply(ask(6)))
    late = [c["at"] - server.calls[0]["at"] for c in server.calls]
    assert sum(at < 0.25 for at in late) <= 2  # those that were under way when the answer came


def test_a_server_that_fails_three_calls_in_ten_loses_nothing(ask):
    rng = random.Random(0)
    kinds = [
        "429",
        "500",
        "529",
        "drop",
        "drop-late",
        "half",
        "empty",
        "wrong-tags",
        "refusal",
        "max-tokens",
        "huge",
        "control",
    ]
    with Server(lambda number, body: rng.choice(kinds) if rng.random() < 0.3 else "ok") as server:
        teacher = remote("anthropic", server, timeout_s=5)
        seen = []
        for step in range(50):
            batch = ask(8, start=8 * step)
            replies = teacher.reply(batch)
            assert [r.id for r in replies] == [r.id for r in batch]
            seen += replies
    assert sum(teacher.outcomes.values()) == 400
    assert {r.error for r in seen} <= {
        "",
        "refusal",
        "max-tokens",
        "oversized",
        "empty",
    }  # trying again mended the rest
    assert all(teacher.faults[f] for f in ("rate-limit", "server", "overloaded", "connection", "bad-reply", "empty"))
    assert teacher.cap.spent.calls == len(server.calls) == 400 + sum(teacher.faults.values())


def test_the_openai_key_goes_to_openai_alone(monkeypatch, ask):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-users-own-key-000")
    with Server(key="") as server:
        teacher = remote("openai", server)
        check(teacher)
        assert not teacher.reply(ask(1))[0].error
    assert "000" not in server.calls[0]["headers"]["authorization"]
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        load_teacher("openai", model="m", cache=False)


def test_what_is_sent(ask):
    with Server() as server:
        request = ask(1)[0]
        remote("anthropic", server).reply([request])
        remote("anthropic", server, model="claude-haiku-4-5", temperature=0.5, effort="low", max_tokens=7).reply([request])
    first, second = (c["body"] for c in server.calls)
    assert first["model"] == "claude-haiku-5-5" and first["thinking"] == {"type": "disabled"} and first["max_tokens"] == 64
    assert "temperature" not in first and first["messages"][-1]["role"] == "user" and first["system"][0]["type"] == "text"
    assert second["temperature"] == 0.5 and "thinking" not in second and second["output_config"] == {"effort": "low"}
    assert second["max_tokens"] == 7
    assert [c["headers"]["anthropic-version"] for c in server.calls] == ["2026-10-21", "2023-06-01"]
    with Server(key="") as server:
        remote("openai", server).reply([request])
    assert server.calls[0]["body"]["temperature"] == 0 and server.calls[0]["body"]["max_tokens"] == 64
    assert [m["role"] for m in server.calls[0]["body"]["messages"]] == ["system", "user"]


def test_usage_counts_cached_input_as_input(ask):
    with Server() as server:
        teacher = remote("anthropic", server)
        replies = teacher.reply(ask(3, prefix="Be kind. " * 400))
    written, read = [[getattr(r.usage, f) for r in replies] for f in ("cache_write_tokens", "cache_read_tokens")]
    assert written[0] > 512 and read[0] == 0 and written[1:] == [0, 0] and read[1:] == [written[0]] * 2
    assert all(r.usage.input_tokens > written[0] for r in replies)
    total = [
        sum(getattr(r.usage, f) for r in replies)
        for f in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    ]
    assert teacher.used == Usage(*total)


def test_a_setting_that_the_service_never_takes_ends_the_run_and_one_odd_request_does_not(ask):
    with Server(lambda number, body: "400") as server:
        with pytest.raises(TeacherError, match="HTTP 400"):
            remote("anthropic", server, concurrency=1).reply(ask(10))
        assert 3 <= len(server.calls) <= 4  # one more may have been on its way
    with Server(lambda number, body: "ok" if number == 0 else "400") as server:
        replies = remote("anthropic", server, concurrency=1).reply(ask(6))
    assert [r.error for r in replies] == ["", *["bad-request"] * 5]


def test_an_interrupted_asker_leaves_the_question_to_the_next_one(ask):
    with Server(latency_s=0.2) as server:
        teacher = remote("anthropic", server, timeout_s=5)
        first = submit(teacher, ask(1))
        while not server.calls:
            time.sleep(0.01)
        second = submit(teacher, ask(1))
        time.sleep(0.05)
        first.cancel()
        assert second.result(10)[0].text == GOOD
    assert len(server.calls) == 2 and teacher.cap.spent.calls == 2
