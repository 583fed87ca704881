"""Whole runs with the real Anthropic SDK against a server on loopback: faults, caps, a key that stops working."""

from __future__ import annotations

import json
import random

import pytest

from tests.conftest import ROOT
from tests.support.fake_server import KEY, Server
from thinklab.config.load import load_config
from thinklab.errors import RunError, TeacherError
from thinklab.experiment.build import build, check_same
from thinklab.experiment.train import run_experiment
from thinklab.run.folder import RunFolder

KINDS = ["429", "500", "529", "drop", "drop-late", "half", "empty", "wrong-tags", "refusal", "max-tokens", "huge", "control"]
FAULTS = ["500", "ok", "wrong-tags", "ok", "drop", "429", "ok", "refusal", "not-json"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def start(server, *overrides, resume=False):
        config = load_config(
            ROOT / "examples" / "demo-self-check.yaml",
            [
                "teacher={backend: anthropic, first_wait_s: 0.01, attempts: 2}",
                f"teacher.base_url={server.url}",
                "steps=6",
                "questions=3",
                "samples=4",
                "probe.questions=4",
                "probe.every=0",
                "checkpoint_every=1",
                "decay=constant",
                *overrides,
            ],
        )
        said = []
        result = run_experiment(config, tmp_path / "run", resume, say=said.append)
        return result, RunFolder.open(tmp_path / "run"), said

    return start


def guidance(folder):
    return [r["guidance"] for r in folder.read("rollouts") if r["guidance"]]


def test_a_run_ends_normally_when_a_third_of_the_calls_fail(run):
    with Server(lambda number, body: FAULTS[number % len(FAULTS)]) as server:
        result, folder, said = run(server)
    outcomes = guidance(folder)
    assert result["steps"] == 6 and len(list(folder.read("rollouts"))) == 72
    assert any(g["status"] == "accepted" for g in outcomes) and any(g["status"] == "rejected" for g in outcomes)
    assert all(g["reason"] for g in outcomes if g["status"] == "rejected")
    totals = folder.read_json("teacher.json")
    assert totals["spent"] and totals["outcomes"] and "before the run" in said[0] and "$" in said[0]
    text = "".join(
        p.read_text("utf-8", "replace")
        for p in folder.path.rglob("*")
        if p.is_file() and p.suffix in (".jsonl", ".json", ".yaml")
    )
    assert KEY not in text


@pytest.mark.slow
def test_fifty_steps_with_three_calls_in_ten_failing_lose_nothing(run):
    rng = random.Random(0)
    with Server(lambda number, body: rng.choice(KINDS) if rng.random() < 0.3 else "ok") as server:
        result, folder, _ = run(
            server, "steps=50", "questions=2", "samples=4", "checkpoint_every=0", "teacher.attempts=3", "guards.action=off"
        )
    rows, totals = list(folder.read("rollouts")), folder.read_json("teacher.json")
    assert result["steps"] == 50 and len(rows) == 400 and len(list(folder.read("metrics"))) == 50
    asked = [r for r in rows if r["guidance"]]
    assert sum(totals["outcomes"].values()) == len(asked) > 50 and sum(totals["faults"].values()) > 5
    assert totals["spent"]["calls"] == len(server.calls)
    assert all(bool(r["teacher_ids"]) == (r["guidance"]["status"] == "accepted") for r in asked)
    assert all(g["reason"] for g in guidance(folder) if g["status"] == "rejected")


def test_groups_are_asked_about_while_others_are_sampled_and_checks_wait_for_the_teacher(tmp_path, monkeypatch):
    """Without ``begin`` the same run has the same records; with it the teacher has work before sampling has ended."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    order, records = [], []

    def noted(name, function, after=False):
        def with_note(*args, **named):
            order.extend([] if after else [name])
            result = function(*args, **named)
            order.extend([name] if after else [])
            return result

        return with_note

    for early in (True, False):
        with Server() as server:
            session = build(
                load_config(
                    ROOT / "examples" / "demo-self-check.yaml",
                    [
                        "teacher={backend: anthropic, cache: false}",
                        f"teacher.base_url={server.url}",
                        "steps=1",
                        "questions=6",
                        "samples=4",
                        "probe.every=0",
                        "checkpoint_every=0",
                        "guards.action=off",
                    ],
                ),
                tmp_path / str(early),
            )
            guide = session.teaching.guide
            if early:
                sampler = session.trainer.sampler
                object.__setattr__(session.data.task, "verify", noted("verify", session.data.task.verify))  # frozen
                session.trainer.sampler = noted("sampled", sampler, after=True)
                guide.begin = noted("ask", guide.begin)
            else:
                guide.begin = lambda *a: None
            session.train()
            rows = list(session.run.read("rollouts"))
            for guided in (r["guidance"] for r in rows if r["guidance"]):
                guided.pop("latency_s"), guided.pop("usage")  # which call fills the service's cache may differ
            records.append(rows)
    assert records[0] == records[1] and any(r["teacher_ids"] for r in records[0])
    assert order.count("ask") == 6 and order.index("ask") < order.index("sampled") < order.index("verify")


@pytest.mark.parametrize("on_cap, steps", [("stop", 1), ("plain", 6)])
def test_at_the_cap_the_run_saves_and_stops_or_goes_on_as_plain_grpo(run, on_cap, steps):
    with Server() as server:
        result, folder, said = run(server, "teacher.cap_calls=2", f"teacher.on_cap={on_cap}")
    assert result["steps"] == steps and folder.last_checkpoint()[1] == steps
    assert folder.read_json("teacher.json")["spent"]["calls"] == 2
    about = [text for text in said if "reached its cap (cap_calls: all 2 calls used" in text]
    assert len(about) == 1 and "aved" in about[0] and ("continues as plain GRPO" in about[0]) == (on_cap == "plain")
    assert said[0].startswith("teacher, before the run") and said[-1].startswith("teacher, after the run")
    assert list(folder.read("metrics"))[-1]["teacher_summary"].startswith("teacher $")


def test_a_cap_can_be_raised_when_a_run_goes_on_and_what_was_spent_still_counts(run):
    with Server() as server:
        result, folder, _ = run(server, "teacher.cap_calls=2", "teacher.on_cap=stop")
        assert "cap" in result["stopped"] and folder.last_checkpoint()[1] == 1 and len(server.calls) == 2
        result, folder, _ = run(server, "teacher.cap_calls=5", "teacher.on_cap=plain", resume=True)
    assert not result["stopped"] and folder.last_checkpoint()[1] == 6
    assert len(server.calls) == folder.read_json("teacher.json")["spent"]["calls"] == 5
    told = folder.resolved()["config"]["teacher"]
    assert (told["cap_calls"], told["on_cap"]) == (5, "plain")


@pytest.mark.parametrize("who", ["teacher", "judge"])
def test_caps_alone_may_differ(tmp_path, who):
    def config(*more):
        sections = ["teacher={backend: anthropic, cap_usd: 1}", "judge={teacher: anthropic, cap_usd: 1}"]
        return load_config(ROOT / "examples" / "demo-self-check.yaml", [*sections, *more])

    folder = RunFolder.create(tmp_path / "run", config().model_dump(mode="json"), {})
    for changed in ("cap_usd=5", "cap_usd=null", "cap_tokens=1000", "cap_calls=10", "on_cap=stop"):
        check_same(folder, config(f"{who}.{changed}"), [])
    with pytest.raises(RunError, match=rf"started with a different config: {who}\.model=None, not 'other'\. "):
        check_same(folder, config(f"{who}.model=other", f"{who}.cap_usd=2"), [])


def test_a_wrong_key_stops_before_anything_is_sampled(run, tmp_path):
    with Server(key="sk-ant-another") as server, pytest.raises(TeacherError, match="anthropic"):
        run(server)
    assert not (tmp_path / "run").exists()


def test_a_key_that_is_withdrawn_ends_the_run_in_order(run):
    with Server(lambda number, body: "ok" if number < 6 else "401") as server:
        result, folder, said = run(server)
    assert 1 <= result["steps"] < 6 and folder.last_checkpoint()[1] == result["steps"]
    assert any("Everything is saved" in text for text in said)
    assert any(g["reason"] == "teacher-failed" for g in guidance(folder)) and KEY not in json.dumps(said)
