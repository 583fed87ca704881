import json
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from tests.support.fake_server import GOOD, Server
from tests.teachers.test_faults import remote
from thinklab.errors import RunError
from thinklab.teachers import TeacherReply
from thinklab.teachers.base import submit
from thinklab.teachers.cache import ReplyCache, default_path, key_of
from thinklab.types import Usage


def test_a_second_run_costs_nothing_and_gives_the_same(tmp_path, ask):
    with Server() as server:
        replies = [remote("anthropic", server, cache=str(tmp_path / "r.sqlite")).reply(ask(6)) for _ in range(2)]
        again = remote("anthropic", server, cache=str(tmp_path / "r.sqlite"))
        assert again.reply(ask(6)) == replies[1] and again.cap.spent.calls == 0
        assert "6 already known" in again.summary()
    assert len(server.calls) == 6
    assert [r.cache_hit for r in replies[0]] == [False] * 6 and [r.cache_hit for r in replies[1]] == [True] * 6
    assert [replace(r, cache_hit=False) for r in replies[1]] == replies[0]


def test_identical_requests_are_asked_once(ask):
    one = ask(1)[0]
    batch = [replace(one, id=f"1-{k}") for k in range(8)] + ask(2, start=5)
    with Server(latency_s=0.05) as server:
        teacher = remote("anthropic", server)
        futures = [submit(teacher, batch), submit(teacher, batch)]  # a second batch while the first is under way
        first, second = (f.result(5) for f in futures)
    assert len(server.calls) == 3
    assert [r.id for r in first] == [r.id for r in batch] and all(r.text == GOOD for r in first + second)
    assert sum(not r.cache_hit for r in first + second) == 3 and teacher.outcomes == Counter({"ok": 3, "cached": 17})


@pytest.mark.parametrize(
    "change",
    [
        {"messages": ({"role": "user", "content": "other"},)},
        {"max_tokens": 65},
        {"behavior_hash": "new"},
        {"behavior": "other"},
    ],
)
def test_whatever_determines_the_reply_is_in_the_key(change, ask):
    request = ask(1)[0]
    assert key_of({}, replace(request, **change)) != key_of({}, request)
    assert key_of({}, replace(request, id="9-9")) == key_of({}, request)


def test_settings_are_in_the_key_and_the_key_to_the_service_is_not(monkeypatch, ask):
    request = ask(1)[0]
    with Server() as server:
        keys = {
            key_of(remote("anthropic", server, **options).backend.settings, request)
            for options in (
                {},
                {"model": "claude-haiku-4-5"},
                {"temperature": 0.5},
                {"effort": "low"},
                {"thinking": "adaptive"},
                {"base_url": "http://127.0.0.1:9"},
            )
            if not options.get("base_url")
        }
        assert len(keys) == 5
        before = remote("anthropic", server).backend.settings
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-another-key-42")
        assert remote("anthropic", server).backend.settings == before


@pytest.mark.parametrize(
    ("action", "kept"),
    [("refusal", 1), ("max-tokens", 1), ("empty", 1), ("huge", 1), ("400", 0), ("500", 0), ("hang", 0)],
)
def test_what_would_cost_again_is_kept_and_a_fault_is_not(action, kept, ask, tmp_path):
    with Server(lambda number, body: action) as server:
        for _ in range(2):
            teacher = remote(
                "anthropic",
                server,
                cache=str(tmp_path / "r.sqlite"),
                attempts=1 if action != "empty" else 2,
                timeout_s=1.0 if action == "hang" else 30.0,
            )
            error = teacher.reply(ask(1))[0].error
        calls = 2 if action == "empty" else 1
    assert error and len(server.calls) == (calls if kept else 2 * calls) and len(ReplyCache(tmp_path / "r.sqlite")) == kept


def test_two_processes_share_a_cache(tmp_path):
    code = (
        "import sys; from thinklab.teachers.cache import ReplyCache; from thinklab.teachers import TeacherReply\n"
        "cache = ReplyCache(sys.argv[1])\n"
        "for k in range(300):\n"
        "    key = f'k{k}'\n"
        "    if cache.get(key, 'x') is None: cache.put(key, TeacherReply('x', f'text {k}', model=sys.argv[2]))\n"
        "    assert cache.get(key, 'x').text == f'text {k}'\n"
    )
    path = tmp_path / "r.sqlite"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [r.wait(60) for r in runs] == [0, 0]
    cache = ReplyCache(path)
    assert len(cache) == 300
    assert cache._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert cache._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_reply_comes_back_whole(tmp_path):
    cache = ReplyCache(tmp_path / "deep" / "r.sqlite")
    reply = TeacherReply("0-1", "тест \ud800 \x00 🙂", "", "", "m", Usage(1, 2, 3, 4), 0.5, 3)
    cache.put("k", reply)
    cache.put("k", replace(reply, text="later"))
    assert cache.get("k", "7-7") == replace(reply, id="7-7", cache_hit=True)
    assert cache.get("other", "x") is None


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "r.sqlite").write_text("notes " * 500)
    with pytest.raises(RunError, match=r"r\.sqlite cannot be used"):
        ReplyCache(tmp_path / "r.sqlite")


def test_the_default_place_is_the_users_cache(tmp_path, ask):
    assert default_path() == tmp_path / "cache" / "thinklab" / "replies.sqlite"
    with Server() as server:
        remote("anthropic", server, cache=True).reply(ask(1))
    row = sqlite3.connect(default_path()).execute("SELECT model, reply FROM replies").fetchone()
    assert row[0] == "claude-haiku-5-5" and json.loads(row[1])["text"] == GOOD


def test_a_cache_that_breaks_costs_the_cache_and_not_the_run(tmp_path, ask):
    with Server() as server:
        teacher = remote("anthropic", server, cache=str(tmp_path / "r.sqlite"))
        teacher._cache._db.execute("DROP TABLE replies")
        with pytest.warns(UserWarning, match="continues without it"):
            assert teacher.reply(ask(1))[0].text == GOOD
    cache = ReplyCache(tmp_path / "r.sqlite")
    cache._db.execute("INSERT INTO replies (key, model, reply) VALUES ('k', 'm', '{\"half')")
    with pytest.warns(UserWarning, match="fails"):
        assert cache.get("k", "x") is None
