"""Batches with the real SDKs: half the price, what becomes of each item, and a process that is killed pays once."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest
from typer.testing import CliRunner

from tests.support.batch_server import BatchServer
from tests.support.fake_server import GOOD, KEY
from tests.teachers.test_faults import remote
from tests.teachers.test_real_servers import comment_request
from thinklab.behavior.judge import Judge
from thinklab.cli.guide import app
from thinklab.config.experiment import JudgeSection
from thinklab.config.load import load_config
from thinklab.errors import ConfigError, TeacherError
from thinklab.experiment.run_judge import RunJudge
from thinklab.teachers import load_teacher
from thinklab.teachers.batch_records import BatchRecords
from thinklab.teachers.cache import default_path
from thinklab.teachers.prices import PICO

KINDS = ["anthropic", "openai"]


def serve(kind, **options):
    return BatchServer(key=KEY if kind == "anthropic" else "", **options)


def batching(kind, server, **options):
    return remote(kind, server, **{"batch": True, "batch_poll_s": 0.01, "attempts": 3, **options})


def submissions(server):
    return [path for path in server.paths if path.startswith("POST") and path.endswith("/batches")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_has_the_same_requests_and_replies_as_single_calls(kind, ask, capsys):
    with serve(kind, ends_after=3) as server:
        together = batching(kind, server, extra_body={"metadata": {"user_id": "u"}})
        replies = together.reply(ask(5))
        single = remote(kind, server, extra_body={"metadata": {"user_id": "u"}})
        alone = single.reply(ask(5))
    assert [(r.id, r.text, r.usage, r.error) for r in replies] == [(r.id, r.text, r.usage, r.error) for r in alone]
    inside = [item["params" if kind == "anthropic" else "body"] for item in server.batches[0]["requests"]]
    order = [json.dumps(body, sort_keys=True) for body in inside]
    assert sorted(order) == sorted(json.dumps(call["body"], sort_keys=True) for call in server.calls)
    assert len(submissions(server)) == 1 and server.batches[0]["polls"] >= 3
    said = capsys.readouterr().err
    assert "batch batch_0: 5 requests submitted" in said and "batch batch_0: ended: 5 answered" in said


def test_it_costs_half_and_says_so_beforehand(ask):
    with serve("anthropic") as server:
        half, full = batching("anthropic", server, cap_usd=1), remote("anthropic", server, cap_usd=1)
        assert half.estimate(ask(10)).usd * 2 == pytest.approx(full.estimate(ask(10)).usd)
        assert "in a batch)" in str(half.estimate(ask(10)))
        half.reply(ask(10))
        full.reply(ask(10))
        own = batching("anthropic", server, price={"input": 4, "output": 8, "batch": 0.25})
        own.reply(ask(10))
        unknown = batching("anthropic", server, price={"input": 4, "output": 8})
        unknown.reply(ask(10, start=20))
    assert half.used == full.used and half.totals()["usd"] * 2 == pytest.approx(full.totals()["usd"])
    assert own.totals()["usd"] == pytest.approx((own.used.input_tokens * 1 + own.used.output_tokens * 2) / 1e6)
    assert unknown.totals()["usd"] == pytest.approx((unknown.used.input_tokens * 4 + unknown.used.output_tokens * 8) / 1e6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_item_gets_what_it_deserves(kind, ask):
    what = {0: "refusal", 1: "expired", 2: 500, 3: "lost", 4: 400, 5: "max-tokens", 6: "empty", 7: 429}
    with serve(kind, outcome=lambda number, body: what.get(number, "ok")) as server:
        teacher = batching(kind, server)
        replies = teacher.reply(ask(9))
    errors = ["refusal", "", "", "", "bad-request", "max-tokens", "", "", ""]
    assert [r.error for r in replies] == errors
    assert [len(b["requests"]) for b in reversed(server.batches)] == [9, 5]  # once more: what was late, lost, empty, or busy
    assert teacher.cap.reserved.calls == 0 and teacher.outcomes["ok"] == 6


@pytest.mark.parametrize("kind", KINDS)
def test_what_expires_every_time_is_rejected_in_the_end(kind, ask):
    with serve(kind, outcome=lambda number, body: "expired") as server:
        teacher = batching(kind, server)
        replies = teacher.reply(ask(2))
    assert [r.error for r in replies] == ["expired"] * 2 and len(server.batches) == 3
    assert teacher.cap.spent.tokens == 0 and teacher.totals()["faults"] == {"expired": 2}


def test_what_was_canceled_at_the_service_is_not_asked_again(ask):
    with serve("anthropic", outcome=lambda number, body: "canceled" if number == 0 else "ok") as server:
        assert [r.error for r in batching("anthropic", server).reply(ask(2))] == ["canceled", ""]
    assert len(server.batches) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_command_collects_what_the_first_has_submitted(kind, ask, capsys):
    """The first one stops while the batch is under way, as after Ctrl-C; nothing is submitted twice."""
    with serve(kind, ends_after=10**6) as server:
        first = batching(kind, server)
        future = first.submit(ask(4))
        while not (server.batches and server.batches[0]["polls"]):
            time.sleep(0.01)
        future.cancel()
        first.settle()
        assert first.cap.reserved.calls == 0 and first.cap.spent.calls == 0
        server.ends_after = 1
        second = batching(kind, server, cap_calls=50)
        replies = second.reply(ask(6))  # two more than the first had
    assert [r.text for r in replies] == [GOOD] * 6 and [len(b["requests"]) for b in reversed(server.batches)] == [4, 2]
    assert second.cap.spent.calls == 6
    assert "batch batch_0: submitted earlier; it has 4 of the 6 requests" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_a_submission_whose_answer_was_lost_is_found_and_not_repeated(kind, ask):
    lost = []

    def fails(method, path):
        if method == "POST" and path.endswith("/batches") and not lost:
            lost.append(path)
            return "drop-late"  # the service has accepted it
        return None

    with serve(kind, fails=fails) as server:
        replies = batching(kind, server).reply(ask(3))
    assert [r.text for r in replies] == [GOOD] * 3 and len(server.batches) == 1 and lost


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_died_between_submission_and_record_finds_its_batch(kind, ask):
    with serve(kind) as server:
        teacher = batching(kind, server)
        teacher.reply(ask(3))
        records = BatchRecords(default_path().with_name("batches.sqlite"))
        records.submitted(_token(records), "")
        records.close()
        again = batching(kind, server).reply(ask(3))  # without a cache of replies
    assert [r.text for r in again] == [GOOD] * 3 and len(server.batches) == 1


def _token(records):
    return records._db.execute("SELECT token FROM batches").fetchone()[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_of_a_batch_that_the_service_never_had_is_dropped(kind, ask):
    with serve(kind) as server:
        with pytest.raises(TeacherError):
            server.fails = lambda method, path: "drop" if method == "POST" else None
            batching(kind, server, attempts=2).reply(ask(3))
        server.fails = lambda method, path: None
        assert [r.error for r in batching(kind, server).reply(ask(3))] == [""] * 3
        server.batches.clear()  # its results are gone at the service, and there is no cache of replies
        assert [r.error for r in batching(kind, server).reply(ask(3))] == [""] * 3 and len(server.batches) == 1


def test_replies_go_through_the_cache_and_are_shared_with_single_calls(ask, tmp_path):
    cache = str(tmp_path / "replies.sqlite")
    with serve("anthropic") as server:
        batching("anthropic", server, cache=cache).reply(ask(3))
        one = remote("anthropic", server, cache=cache)
        assert [r.cache_hit for r in one.reply(ask(3))] == [True] * 3 and not server.calls
        two = batching("anthropic", server, cache=cache)
        assert [r.cache_hit for r in two.reply(ask(4))] == [True] * 3 + [False]
        afresh = batching("anthropic", server, cache=cache)
        afresh.again(ask(1))
    assert [len(b["requests"]) for b in reversed(server.batches)] == [3, 1, 1] and two.outcomes == {"cached": 3, "ok": 1}


def test_caps_hold_over_batches_and_what_fits_later_is_submitted_later(ask):
    with serve("anthropic") as server:
        worst = batching("anthropic", server).worst(ask(1)[0]).picodollars / PICO
        teacher = batching("anthropic", server, cap_usd=worst * 6)
        replies = teacher.reply(ask(12))
        assert [r.error for r in replies] == [""] * 12 and len(server.batches) > 1  # the actual cost is a third of the worst
        assert teacher.cap.spent.picodollars <= worst * 6 * PICO and teacher.cap.reserved.calls == 0
        calls = batching("anthropic", server, cap_calls=2)
        assert [r.error for r in calls.reply(ask(5, start=100))].count("cap") == 3


def test_a_batch_that_the_service_rejects_and_a_wrong_key_end_in_one_line(ask, monkeypatch):
    with serve("openai", rejected="Enqueued token limit reached") as server, pytest.raises(TeacherError) as caught:
        batching("openai", server).reply(ask(2))
    assert "rejected the batch batch_0: Enqueued token limit reached" in str(caught.value)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-wrong-000000000")
    with serve("anthropic") as server, pytest.raises(TeacherError, match="the key was rejected") as caught:
        batching("anthropic", server).reply(ask(2))
    assert "sk-wrong" not in str(caught.value) and "\n" not in str(caught.value)
    with (
        BatchServer(key="", fails=lambda method, path: 404) as server,
        pytest.raises(TeacherError, match="does the service have a batch API"),
    ):
        batching("openai", server).reply(ask(1))


def test_polls_may_fail_and_a_busy_service_is_asked_again(ask):
    seen = []

    def fails(method, path):
        seen.append(path)
        return {0: 529, 2: 500, 3: "drop", 5: 500}.get(len(seen) - 1)

    with serve("anthropic", fails=fails) as server:
        assert batching("anthropic", server).reply(ask(1))[0].text == GOOD
    assert len(server.batches) == 1 and len(seen) > 6


def test_a_schema_that_is_rejected_in_a_batch_is_left_out_the_next_time():
    class Picky(BatchServer):
        def _outcome(self, request, anthropic):
            if "response_format" not in request["body"]:
                return super()._outcome(request, anthropic)
            body = {"error": {"message": "response_format json_schema is not supported", "type": "invalid_request_error"}}
            return {"custom_id": request["custom_id"], "response": {"status_code": 400, "body": body}, "error": None}

    with Picky(key="") as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reply = batching("openai", server, structured=True).reply([comment_request()])[0]
    assert reply.text == GOOD and len(server.batches) == 2


def test_a_judge_answers_in_one_batch(ask):
    said = "<found>yes</found><quote>I</quote>"
    with serve("anthropic", text=lambda body: said) as server:
        section = JudgeSection(teacher="anthropic", batch=True)
        judge = RunJudge(lambda: batching("anthropic", server), section)
        found = Judge("Does the writer doubt it?", judge).many([f"I doubt it {k}" for k in range(200)])
    assert all(d.found for d in found) and len(found) == 200
    assert [len(b["requests"]) for b in server.batches] == [200]  # not 128 at a time


def test_training_refuses_batches_and_so_does_a_backend_without_them(tmp_path):
    with pytest.raises(ConfigError, match=r"teacher\.batch.*a training step cannot wait for a batch"):
        load_config("examples/demo-self-check.yaml", ["teacher.backend=anthropic", "teacher.batch=true"])
    with pytest.raises(ConfigError, match="the teacher 'bedrock' has no batches"):
        load_teacher("bedrock", model="m", region="us-east-1", key_env="ANTHROPIC_API_KEY", batch=True, cache=False)


def test_the_records_know_a_request_by_its_last_batch(tmp_path):
    records = BatchRecords(tmp_path / "b.sqlite")
    first, second = records.plan("t1", "m", ["a", "b"]), records.plan("t2", "m", ["b"])
    records.submitted("t2", "batch_2")
    held = {batch.token: keys for batch, keys in records.holding(["a", "b", "c"]).items()}
    assert held == {"t1": ["a"], "t2": ["b"]} and (first.count, second.count) == (2, 1)
    records.forget(["a"])
    assert [b.id for b in records.holding(["a", "b"])] == ["batch_2"]


def test_a_killed_guide_goes_on_and_pays_once(tmp_path, monkeypatch):
    """``kill -9`` while the batch is under way; the same command again collects it and writes the file."""
    answers = tmp_path / "answers.jsonl"
    rows = [{"question": f"What is 12+7? ({k})", "response": "12+7=18. So \\boxed{18}.", "gold": "19"} for k in range(3)]
    answers.write_text("\n".join(json.dumps(r) for r in rows))
    with BatchServer(ends_after=10**6) as server:
        out = tmp_path / "guided.jsonl"
        command = [str(answers), "--behavior", "self-check", "--teacher", "anthropic", "--batch", "--out", str(out)]
        command += ["-o", f"base_url={server.url}", "-o", "batch_poll_s=0.02", "-o", "cap_usd=1"]
        script = [sys.executable, "-m", "thinklab.cli.guide", *command]
        process = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until = time.monotonic() + 120
        while not (server.batches and server.batches[0]["polls"]) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(20) == -signal.SIGKILL, process.stdout.read()
        assert out.read_text() == ""
        server.ends_after = 1
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert len(server.batches) == 1 and len(submissions(server)) == 1 and not server.calls
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["guidance"]["status"] for line in lines] == ["proposed"] * 3
    assert "in a batch)" in done.output and "3 usable replies" in done.output
