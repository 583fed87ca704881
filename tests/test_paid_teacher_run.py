"""Whole runs with the real Anthropic SDK against a server on loopback: faults, caps, a key that stops working."""
from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT
from tests.teachers.fake_server import KEY, Server
from thinklab.config import load_config
from thinklab.errors import TeacherError
from thinklab.experiment import run_experiment
from thinklab.run import RunFolder

FAULTS = ["500", "ok", "wrong-tags", "ok", "drop", "429", "ok", "refusal", "not-json"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def start(server, *overrides, resume=False):
        config = load_config(ROOT / "examples" / "demo-self-check.yaml", [
            "teacher={backend: anthropic, first_wait_s: 0.01, attempts: 2}", f"teacher.base_url={server.url}", "steps=6",
            "questions=3", "samples=4", "probe.questions=4", "probe.every=0", "checkpoint_every=1", "decay=constant", *overrides])
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
    text = "".join(p.read_text("utf-8", "replace") for p in folder.path.rglob("*") if p.is_file() and p.suffix in (".jsonl", ".json", ".yaml"))
    assert KEY not in text


@pytest.mark.parametrize("on_cap, steps", [("stop", 1), ("plain", 6)])
def test_at_the_cap_the_run_saves_and_stops_or_goes_on_as_plain_grpo(run, on_cap, steps):
    with Server() as server:
        result, folder, said = run(server, "teacher.cap_calls=2", f"teacher.on_cap={on_cap}")
    assert result["steps"] == steps and folder.last_checkpoint()[1] == steps
    assert folder.read_json("teacher.json")["spent"]["calls"] == 2
    assert any("cap" in text and "saved" in text for text in said) == (on_cap == "stop")


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
