import asyncio
import threading
from dataclasses import replace

from tests.support.fake_server import GOOD, Server
from tests.teachers.test_faults import remote
from thinklab.teachers import TeacherReply, load_teacher
from thinklab.teachers.base import check, submit
from thinklab.teachers.options import RemoteOptions
from thinklab.teachers.remote import RemoteTeacher
from thinklab.teachers.secrets import Secret
from thinklab.types import Usage

LONG = "Few-shots and rules. " * 120  # some 630 tokens by the server's count


def test_the_first_call_goes_alone_and_the_rest_read_the_prefix(ask):
    with Server(latency_s=0.03) as server:
        teacher = remote("anthropic", server, concurrency=8)
        replies = teacher.reply(ask(9, prefix=LONG))
        assert server.calls[1]["at"] - server.calls[0]["at"] >= 0.03 and server.most_running == 8
        assert [bool(r.usage.cache_read_tokens) for r in replies] == [False] + [True] * 8
        assert all(c["body"]["system"][-1]["cache_control"] == {"type": "ephemeral"} for c in server.calls)
        server.most_running = 0
        teacher.reply(ask(8, prefix=LONG, start=50))  # still warm: nobody goes alone
        assert server.most_running == 8 and len(server.calls) == 17
    assert "cached)" in teacher.summary() and teacher.used.cache_read_tokens > 16 * 500


def test_a_prefix_that_is_too_short_is_neither_marked_nor_waited_for(ask):
    with Server(latency_s=0.05) as server:
        teacher = remote("anthropic", server, concurrency=8)
        teacher.reply(ask(8))
        assert server.most_running == 8
        assert not any("cache_control" in block for c in server.calls for block in c["body"]["system"])


def test_a_model_without_a_known_minimum_is_marked_from_1024_tokens_on_and_openai_never(ask):
    for prefix, marked in (("x" * 2000, False), ("x" * 8000, True)):
        with Server() as server:
            remote("anthropic", server, model="claude-unheard-of").reply(ask(2, prefix=prefix))
        assert ["cache_control" in c["body"]["system"][-1] for c in server.calls] == [marked] * 2
    with Server(key="", latency_s=0.05) as server:
        remote("openai", server).reply(ask(4, prefix=LONG))
    assert server.most_running == 4


def test_two_batches_at_once_make_one_first_call(ask):
    with Server(latency_s=0.05) as server:
        teacher = remote("anthropic", server, concurrency=20)
        futures = [submit(teacher, ask(3, prefix=LONG, start=10 * k)) for k in range(4)]
        replies = [r for f in futures for r in f.result(20)]
    assert sum(bool(r.usage.cache_write_tokens) for r in replies) == 1
    assert sum(bool(r.usage.cache_read_tokens) for r in replies) == 11


def test_a_mark_that_did_nothing_is_given_up(ask):
    with Server(cache_from=10_000) as server:
        teacher = remote("anthropic", server)
        teacher.reply(ask(1, prefix=LONG))
        teacher.reply(ask(1, prefix=LONG, start=9))
    assert ["cache_control" in c["body"]["system"][-1] for c in server.calls] == [True, False]


def test_the_mark_stands_after_the_few_shots(ask):
    def shots(r):
        system, last = r.messages
        return replace(r, messages=(system, {"role": "user", "content": "Q"}, {"role": "assistant", "content": LONG}, last))

    with Server() as server:
        replies = remote("anthropic", server).reply([shots(r) for r in ask(3)])
    turns = server.calls[0]["body"]["messages"]
    assert ["cache_control" in t["content"][-1] for t in turns] == [False, True, False]
    assert replies[2].usage.cache_read_tokens > 600


def test_two_behaviors_wait_for_their_own_prefix_only(ask):
    with Server(latency_s=0.03) as server:
        remote("anthropic", server, concurrency=20).reply(ask(5, prefix="A" + LONG) + ask(5, prefix="B" + LONG, start=9))
        first = [c["body"]["system"][0]["text"][11] for c in server.calls[:2]]
    assert sorted(first) == ["A", "B"] and server.most_running == 8


def test_asking_does_not_wait_and_work_goes_on_meanwhile(ask):
    answering, release = threading.Event(), threading.Event()

    def text(body):
        answering.set()
        assert release.wait(10)
        return GOOD

    with Server(text=text) as server:
        teacher = remote("anthropic", server, timeout_s=20)
        future = submit(teacher, ask(1))
        assert answering.wait(10) and not future.done()  # the caller is here, the server is there
        release.set()
        assert future.result(10)[0].text == GOOD
    assert submit(load_teacher("scripted", rule="hit-hard"), ask(2)).result(0)[1].text.endswith("</phrase>")
    failed = submit(load_teacher("scripted", rule=lambda r: 1), ask(1))
    assert "must return text or None" in str(failed.exception(0))


def test_it_works_inside_a_running_event_loop(ask):
    """As in a notebook: ``reply`` blocks, ``areply`` is awaited, both beside a loop that is not theirs."""

    async def cell():
        with Server() as server:
            teacher = remote("anthropic", server)
            return teacher.reply(ask(2)), await teacher.areply(ask(2))

    first, second = asyncio.run(cell())
    assert [r.text for r in first + second] == [GOOD] * 4


def test_the_same_text_gives_the_same_records(ask):
    with Server() as server:
        runs = [remote("anthropic", server).reply(ask(4)) for _ in range(2)]
    assert [replace(r, latency_s=0) for r in runs[0]] == [replace(r, latency_s=0) for r in runs[1]]
    sent = [sorted(str(c["body"]) for c in server.calls[k : k + 4]) for k in (0, 4)]
    assert sent[0] == sent[1]
    assert runs[0][0].model == "claude-haiku-5-5" and runs[0][0].attempts == 1 and runs[0][0].usage.input_tokens > 0


def test_another_package_brings_one_call_and_gets_the_rest(ask):
    class Echo:
        name, model, secret, settings = "echo", "echo-1", Secret(""), {"v": 1}
        calls = 0

        async def call(self, request, timeout_s, mark_prefix):
            self.calls += 1
            return TeacherReply(request.id, request.messages[-1]["content"][:9], model=self.model, usage=Usage(3, 2))

        async def check(self):
            pass

    backend = Echo()
    teacher = RemoteTeacher(backend, RemoteOptions(cap_calls=3, price={"input": 1, "output": 1}))
    check(teacher)
    replies = teacher.reply(ask(5))
    assert [r.error for r in replies] == ["", "", "", "cap", "cap"] and backend.calls == 3
    assert teacher.totals()["usd"] == 15e-6
    assert [r.cache_hit for r in teacher.reply(ask(3))] == [True] * 3
