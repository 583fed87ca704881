import json
from dataclasses import replace

import pytest

from thinklab.errors import ConfigError, RunError, TeacherError
from thinklab.guide.guide import parse_reply
from thinklab.teachers import load_teacher
from thinklab.teachers.human import request_id
from thinklab.types import Guidance, Rollout, Usage, to_json


def record(request, raw, **more):
    guidance = Guidance(
        request.id,
        request.behavior,
        request.behavior_hash,
        "proposed",
        raw=raw,
        model="m",
        usage=Usage(5, 6),
        latency_s=1.5,
        attempts=2,
    )
    rollout = Rollout(
        request.id,
        0,
        request.example,
        (1,),
        (2, 3),
        True,
        request.response + " more",
        request.response,
        guidance=replace(guidance, **more),
    )
    return json.dumps({**to_json(rollout), "step": 3})


def test_replay_says_the_same_again_and_nothing_else(tmp_path, ask):
    a, b, c, d = ask(4)
    twin = replace(a, id="0-9")
    lines = [
        record(a, "first"),
        record(twin, "second"),
        record(b, "cut off here", status="rejected", reason="max-tokens", detail="long"),
        record(c, "<opinion>", status="rejected", reason="missing-tag"),
        json.dumps({**to_json(d.example)}) and "{}",
    ]
    (tmp_path / "rollouts.jsonl").write_text("\n".join(lines) + "\n" + record(d, "half")[:50])
    teacher = load_teacher("replay", run=tmp_path)
    replies = teacher.reply([a, twin, b, c, d, replace(a, id="7-7")])
    assert [r.text for r in replies] == ["first", "second", "cut off here", "<opinion>", "", "first"]
    assert [r.error for r in replies] == ["", "", "max-tokens", "", "not-recorded", ""]
    assert [r.id for r in replies] == ["0-0", "0-9", "0-1", "0-2", "0-3", "7-7"]
    assert replies[0].usage == Usage(5, 6) and replies[0].cache_hit and replies[0].attempts == 2
    changed = teacher.reply([replace(a, behavior_hash="new")])[0]
    assert changed.error == "not-recorded" and "has changed since" in changed.detail
    assert teacher.reply([replace(a, behavior="other")])[0].error == "not-recorded"


def test_replay_of_nothing_is_an_error_in_one_line(tmp_path, ask):
    for content, said in (
        (None, "contains none of"),
        ("{}\n", "nothing to replay"),
        ("{}\n{x}\n{}\n", "rollouts.jsonl:2:2"),
    ):
        if content is not None:
            (tmp_path / "rollouts.jsonl").write_text(content)
        with pytest.raises(RunError, match=said):
            load_teacher("replay", run=str(tmp_path))
    with pytest.raises(RunError, match="does not exist"):
        load_teacher("replay", run=tmp_path / "nowhere")


def test_a_human_batch_waits_on_disk_and_is_answered_later(tmp_path, ask):
    folder = tmp_path / "inbox"
    teacher = load_teacher("human", folder=str(folder))
    batch = ask(3)
    assert [r.error for r in teacher.reply(batch)] == ["waiting"] * 3
    assert [r.error for r in load_teacher("human", folder=folder).reply(batch)] == ["waiting"] * 3  # another run
    posted = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    assert [p["response"] for p in posted] == [r.response for r in batch]  # each once
    assert teacher.waiting() == [request_id(r) for r in batch]
    written = [
        {"id": posted[1]["id"], "reply": "old"},
        {"id": posted[1]["id"], "reply": "raw text"},
        {"id": posted[0]["id"], "opinion": "incorrect", "reason": "Wait, ...", "phrase": "So \\boxed{19}."},
    ]
    (folder / "replies.jsonl").write_text("\n".join(map(json.dumps, written)) + '\n{"id": "' + posted[2]["id"] + '", "repl')
    replies = teacher.reply(batch)
    assert parse_reply(replies[0].text) == (
        {"opinion": "incorrect", "reason": "Wait, ...", "phrase": "So \\boxed{19}."},
        False,
    )
    assert replies[1].text == "raw text" and replies[2].error == "waiting"
    assert teacher.waiting() == [posted[2]["id"]]


def test_a_human_comment_that_cannot_be_read_is_named(tmp_path, ask):
    teacher = load_teacher("human", folder=tmp_path)
    for line, said in (
        ('{"id": "a", "opinion": "correct"}\n', "no text for reason, phrase"),
        ("{}\n", "replies.jsonl:1: expected"),
        ("{\n{}", "replies.jsonl:1:2"),
    ):
        (tmp_path / "replies.jsonl").write_text(line)
        with pytest.raises(TeacherError, match=said):
            teacher.check()
    (tmp_path / "replies.jsonl").write_text(json.dumps({"id": request_id(ask(1)[0]), "reply": ""}))
    assert teacher.reply(ask(1))[0].error == "mute"
    with pytest.raises(ConfigError):
        load_teacher("human", folder=tmp_path, wait_s=-1)
