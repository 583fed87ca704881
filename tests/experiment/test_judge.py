"""Judge detectors in `train`, `probe`, `eval` and the Lab: bound from YAML, asked in batches, written down, under a cap."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from tests.lab import conftest as lab
from tests.support.fake_server import GOOD, KEY, Server
from thinklab import Lab
from thinklab.behavior.behavior import load_behavior
from thinklab.cli.app import app
from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.errors import ConfigError, TeacherError
from thinklab.evaluation.grid import evaluate
from thinklab.evaluation.plan import load_evaluation
from thinklab.evaluation.results import collect, markdown
from thinklab.experiment.build import build
from thinklab.experiment.probe_run import probe_run
from thinklab.experiment.run_judge import RunJudge, judge_for
from thinklab.experiment.train import run_experiment
from thinklab.review.item import preview
from thinklab.run.folder import RunFolder
from thinklab.types import TeacherReply

QUESTION = "Does the text name a sum?"
YES, NO = "<found>yes</found><quote>So</quote>", "<found>no</found><quote></quote>"
JUDGED = f"""name: judged
extends: self-check
reward: {{bonus: 0}}
detector:
  judge: {QUESTION}
tests: {{shows: [], lacks: [], texts: []}}
"""
SMALL = {**lab.SMALL, "train": {**lab.SMALL["train"], "steps": 2, "checkpoint_every": 1}, "probe": {"questions": 6}}


def asked_text(content: str) -> str:
    """The text that a judge's message is about, out of the teachers' own marks."""
    return re.search(r"=== student text \w+ ===\n(.*)\n=== end of student text", content, re.DOTALL)[1]


def judged_by(body) -> str:
    """A server that guides, and that judges by a rule: yes where its characters add up to an even number."""
    messages = json.dumps(body["messages"]) + json.dumps(body.get("system", ""))
    if "You judge whether" not in messages:
        return GOOD
    content = body["messages"][-1]["content"]
    return YES if even(asked_text(content if isinstance(content, str) else content[0]["text"])) else NO


def even(text: str) -> bool:
    return sum(map(ord, text)) % 2 == 0


class Scripted:
    """A judge in Python that says yes by the same rule and notes how it was called."""

    name = "scripted-judge"

    def __init__(self, reply=lambda text: YES if even(text) else NO):
        self.calls, self.answer = [], reply

    def reply(self, requests):
        self.calls.append([r.response for r in requests])
        return [TeacherReply(r.id, self.answer(r.response), model="scripted") for r in requests]

    @property
    def texts(self):
        return [text for call in self.calls for text in call]


@pytest.fixture
def behavior(tmp_path):
    path = tmp_path / "judged.yaml"
    path.write_text(JUDGED)
    return path


@pytest.fixture
def config(behavior, tmp_path):
    """``config(judge=...)``: a small experiment with the judged behavior."""
    return lambda judge=None, **more: Experiment.model_validate(
        {**SMALL, **more, "behaviors": [str(behavior)], **({} if judge is None else {"judge": judge})}
    )


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Server(text=judged_by) as running:
        yield running


def remote(server, **options):
    return {"teacher": "anthropic", "base_url": server.url, "first_wait_s": 0.01, "attempts": 2, **options}


# ---- the refusal


def test_train_refuses_a_judge_detector_without_a_judge_before_any_folder(behavior, tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_text(f"name: x\ntask: sums\nbehaviors: [{behavior}]\nteacher: {{backend: scripted, rule: sums-check}}\n")
    done = CliRunner().invoke(app, ["train", str(file), "--out", str(tmp_path / "run")])
    assert done.exit_code and isinstance(done.exception, ConfigError)
    said = str(done.exception)
    assert f"{file}:3:" in said and "'judged'" in said and "judge: {teacher: anthropic, cap_usd: 1}" in said
    assert not (tmp_path / "run").exists()


def test_building_and_the_lab_refuse_it_as_well(config, behavior, tmp_path):
    with pytest.raises(ConfigError, match=r"needs a judge, but the config has none; add a section such as 'judge: \{teacher"):
        build(config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="needs a judge, but the config has none"):
        Lab({**SMALL, "behaviors": [str(behavior)]}, out=tmp_path / "run", quiet=True)
    with pytest.raises(ConfigError, match=r"reward\.bonus\.judged is 0.5, but the detector of 'judged' uses a judge"):
        build(config("scripted", reward={"bonus": {"judged": 0.5}}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_judge_that_cannot_work_is_refused_before_any_folder(config, server, tmp_path):
    with pytest.raises(ConfigError, match="no option 'modle'"):
        build(config(remote(server, modle="x")), tmp_path / "run")
    server.key = "sk-ant-another"
    with pytest.raises(TeacherError, match="anthropic"):
        build(config(remote(server)), tmp_path / "run")
    assert not (tmp_path / "run").exists() and not server.calls


# ---- train and probe, with the real SDK


def test_train_and_probe_ask_the_judge_in_batches_once_and_write_everything_down(config, server, tmp_path):
    server.latency_s = 0.02
    said = []
    result = run_experiment(config(remote(server)), tmp_path / "run", say=said.append)
    run = RunFolder.open(tmp_path / "run")
    samples, lines = list(run.read("probe_samples")), list(run.read("judge"))
    assert {s["stage"] for s in samples} == {"before", "after"} and any(even(s["text"]) for s in samples)
    assert all(s["behaviors"] == {"judged": even(s["text"])} for s in samples)
    for stage in ("before", "after"):
        mine = [s for s in samples if s["stage"] == stage and s["decoding"] == "T=1"]
        rate = result[stage]["T=1"]["behaviors"]["judged"]
        assert (rate["count"], rate["total"]) == (sum(even(s["text"]) for s in mine), 6)
    texts = [line["text"] for line in lines]
    assert len(texts) == len(set(texts)) == len(server.calls) and set(texts) == {s["text"] for s in samples}
    assert all(line["found"] is even(line["text"]) and line["reply"] in (YES, NO) for line in lines)
    assert {line["question"] for line in lines} == {QUESTION}
    assert server.most_running > 1  # a batch, side by side
    totals = run.read_json("judge.json")
    assert totals["spent"]["calls"] == len(server.calls) and totals["usd"] > 0
    assert said[0].startswith("judge, before the run: 24 calls") and said[-1].startswith("judge, after the run: $")
    assert KEY not in "".join(p.read_text("utf-8", "replace") for p in run.path.glob("*.json*"))

    calls = len(server.calls)
    known = probe_run(run.path)  # the same answers again: nothing to ask about them
    spill = list(run.read("spill"))
    assert {t["text"]: t["shows"]["judged"] for t in spill if "check" not in t["text"]}.items() <= {
        t["text"]: even(t["text"]) for t in spill
    }.items()
    assert known["after"] == result["after"] and {line["text"] for line in list(run.read("judge"))[calls:]} <= {
        t["text"] for t in spill
    }
    assert run.read_json("judge.json")["spent"]["calls"] == len(server.calls)  # the account went on from train's


def test_the_judge_is_not_asked_about_rollouts_unless_the_config_says_so(config, tmp_path):
    from thinklab.config.ready_made import ReadyMade

    for rollouts in (False, True):
        judge, out = Scripted(), tmp_path / str(rollouts)
        session = build(config({"teacher": "scripted-judge", "rollouts": rollouts}), out, parts=ReadyMade(judge=judge))
        session.train()
        rows, metrics = list(session.run.read("rollouts")), list(session.run.read("metrics"))
        assert len(rows) == 16 and any(r["teacher_ids"] for r in rows) and all(r["rewards"]["behavior"] == 0 for r in rows)
        if not rollouts:
            assert not judge.calls and all("behavior" not in r["checks"] for r in rows)
            assert all("own/behavior" not in m for m in metrics)
            continue
        assert all(r["checks"]["behavior"] is even(r["text"]) for r in rows) and len(judge.texts) == len(set(judge.texts))
        assert not any(r["teacher_ids"] and even(r["student_text"]) for r in rows)  # skip_if_shown has a verdict
        own = [even(r["text"]) for r in rows if r["step"] == 0 and not r["teacher_ids"]]
        assert metrics[0]["own/behavior"] == pytest.approx(sum(own) / len(own))


# ---- caps, failures, resume


def test_at_the_judges_cap_what_is_missing_is_said_and_counts_in_no_rate(config, server, tmp_path):
    said = []
    result = run_experiment(config(remote(server, cap_calls=4)), tmp_path / "run", say=said.append)
    run = RunFolder.open(tmp_path / "run")
    assert len(server.calls) == 4 == run.read_json("judge.json")["spent"]["calls"]
    samples = list(run.read("probe_samples"))
    decided = [s for s in samples if s["behaviors"]["judged"] is not None]
    assert 4 <= len(decided) < len(samples) and all(s["behaviors"]["judged"] is even(s["text"]) for s in decided)
    first = result["before"]["T=1"]
    assert first["accuracy"]["total"] == 6 and first["behaviors"]["judged"]["total"] == 4
    warnings = [text for text in said if text.startswith("WARNING: the judge gave no verdict on")]
    assert "2 of 6 texts (cap 2)" in warnings[0] and len(warnings) == 4 and result["steps"] == 2


def test_the_account_holds_over_a_resumed_run(config, server, tmp_path):
    made = config(remote(server, cap_calls=9))
    run_experiment(made, tmp_path / "run")
    used = len(server.calls)
    assert used == 9
    run_experiment(made.model_copy(update={"train": made.train.model_copy(update={"steps": 3})}), tmp_path / "run", resume=True)
    probe_run(tmp_path / "run")
    assert len(server.calls) == 9 and RunFolder.open(tmp_path / "run").read_json("judge.json")["spent"]["calls"] == 9


def test_a_judge_whose_key_is_withdrawn_ends_the_run_in_order(config, server, tmp_path):
    server.script = lambda number, body: "ok" if number < 6 else "401"
    said = []
    result = run_experiment(
        config(remote(server), probe={"questions": 6, "every": 1, "every_questions": 6}), tmp_path / "run", say=said.append
    )
    run = RunFolder.open(tmp_path / "run")
    assert result["steps"] < 2 and result["stopped"].startswith("the judge: ") and run.last_checkpoint()[1] == result["steps"]
    assert any("The judge has failed" in text for text in said)
    assert all(s["text"] is not None for s in run.read("probe_samples")) and KEY not in json.dumps(said)


def test_an_interrupted_judge_has_its_verdicts_on_disk_and_its_calls_on_the_account(behavior, tmp_path, monkeypatch):
    monkeypatch.setattr("thinklab.experiment.run_judge.CHUNK", 2)
    (tmp_path / "run").mkdir()
    judge = Scripted()

    def stop_at_the_third(requests, ask=judge.reply):
        if len(judge.calls) == 2:
            raise KeyboardInterrupt
        return ask(requests)

    judge.reply = stop_at_the_third
    desk = judge_for(None, [load_behavior(behavior)], judge)
    desk.attach(RunFolder(tmp_path / "run"))
    with pytest.raises(KeyboardInterrupt):
        load_behavior(behavior).with_judge(desk).detect_all(["a", "bb", "ccc", "dddd", "e", "ff"])
    assert [line["text"] for line in RunFolder(tmp_path / "run").read("judge")] == ["a", "bb", "ccc", "dddd"]
    again = Scripted()
    desk = judge_for(None, [load_behavior(behavior)], again)
    desk.attach(RunFolder(tmp_path / "run"))
    found = load_behavior(behavior).with_judge(desk).shown(["a", "bb", "ccc", "dddd", "e", "ff"])
    assert found == [False, True, False, True, None, True] or found == [False, True, False, True, False, True]
    assert again.texts == ["e", "ff"]


def test_verdicts_of_another_judge_are_not_taken_over(behavior, tmp_path):
    (tmp_path / "run").mkdir()
    made = {"model": "one", "cap_usd": 1}
    for options, asked in [(made, True), ({**made, "cap_usd": 5, "rollouts": True}, False), ({**made, "model": "two"}, True)]:
        judge = Scripted()
        from thinklab.config.experiment import JudgeSection

        desk = RunJudge(lambda judge=judge: judge, JudgeSection(teacher="openai", **options))
        desk.attach(RunFolder(tmp_path / "run"))
        assert load_behavior(behavior).with_judge(desk).detect("even") and bool(judge.calls) is asked


def test_a_reply_that_nobody_can_read_is_open_and_a_combined_detector_asks_only_where_it_must(tmp_path):
    path = tmp_path / "mixed.yaml"
    path.write_text(
        JUDGED.replace("name: judged", "name: mixed").replace(
            f"judge: {QUESTION}", f"all: [{{phrase: sum}}, {{judge: {QUESTION}}}]"
        )
    )
    judge = Scripted(lambda text: "Well, yes and no." if "hm" in text else YES)
    desk = judge_for(None, [load_behavior(path)], judge)
    found = load_behavior(path).with_judge(desk).shown(["no s-word", "a sum", "a sum, hm", "a sum"])
    assert found == [False, True, None, True] and judge.calls == [["a sum", "a sum, hm"]]
    assert "1 of 2 texts (not in the required format 1)" in desk.complaint() and not desk.complaint()


# ---- free judges


def test_a_scripted_judge_from_yaml_and_an_earlier_run_s_verdicts_replayed(config, behavior, tmp_path, monkeypatch):
    (tmp_path / "judge_rules.py").write_text(
        "def even(request):\n    odd = sum(map(ord, request.response)) % 2\n"
        "    return '<found>%s</found><quote></quote>' % ('no' if odd else 'yes')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    first = run_experiment(config({"teacher": "scripted", "rule": "judge_rules:even"}), tmp_path / "run")
    verdicts = [(line["text"], line["found"]) for line in RunFolder(tmp_path / "run").read("judge")]
    assert verdicts and all(found is even(text) for text, found in verdicts)
    assert not (tmp_path / "run" / "judge.json").exists()  # nobody is paid
    second = run_experiment(config({"teacher": "replay", "run": str(tmp_path / "run")}), tmp_path / "again")
    assert second["before"] == first["before"] and second["after"] == first["after"]


def test_the_file_can_say_it_in_one_word_and_on_the_command_line(behavior, tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_text(f"name: x\ntask: sums\nbehaviors: [{behavior}]\njudge: anthropic\n")
    found = load_config(file, ["judge.cap_usd=2", "judge.rollouts=true"]).judge
    assert (found.teacher, found.options, found.rollouts) == ("anthropic", {"cap_usd": 2}, True)


# ---- the Lab


def test_the_lab_asks_the_judge_in_probes_and_nobody_while_a_person_types(behavior, tmp_path):
    judge = Scripted()
    with Lab({**SMALL, "behaviors": [str(behavior)]}, judge=judge, out=tmp_path / "run", quiet=True) as made:
        assert made.config.judge.teacher == "scripted-judge"
        batch = made.rollout()
        made.guide(batch)
        item, session = made.queue.items[0], made._engine.session
        judged, rewards = session.teaching.guide.behaviors[0][0], session.trainer.score
        shown = preview(item, "I check: 1+1=2. So \\boxed{2}.", judged, session.teaching.guide, rewards)
        assert shown.found is None and shown.rewards is not None and not judge.calls
        made.update(batch, auto="accept")
        found = made.probe()
    samples = [s for s in made.run.read("probe_samples") if s["stage"] == "after" and s["decoding"] == "T=1"]
    assert found.sampled.behaviors["judged"].count == sum(even(s["text"]) for s in samples)
    assert set(judge.texts) == {s["text"] for s in made.run.read("probe_samples")}
    assert len(judge.calls) <= 4 and len(judge.texts) == len(set(judge.texts))  # stages x decodings, no text twice


# ---- eval


EVAL = """name: judged-eval
runs: 2
rows: 4
max_new_tokens: 24
benchmarks:
  sums: {task: {name: sums, terms: [2]}, questions: 4}
methods:
  zero-shot: {}
behaviors: [BEHAVIOR]
"""


def test_eval_refuses_binds_and_asks_nothing_twice(behavior, server, tmp_path, monkeypatch):
    file, out = tmp_path / "eval.yaml", tmp_path / "out"
    file.write_text(EVAL.replace("BEHAVIOR", str(behavior)))
    with pytest.raises(ConfigError, match="needs a judge, but the config has none"):
        evaluate(load_evaluation(file), file, out)
    assert not out.exists()
    file.write_text(file.read_text() + f"judge: {json.dumps(remote(server, cap_calls=100, cache=False))}\n")
    config = load_evaluation(file)
    evaluate(config, file, out)
    results = collect(config, out)
    cell = results.cells["zero-shot", "sums"]
    texts = ["\n\n".join(t["text"] for t in line["turns"]) for line in cell.lines]
    assert len(texts) == 8 and cell.behaviors["judged"] == tuple(map(even, texts))
    assert len(server.calls) == len(set(texts)) and results.judge_says.startswith("judge: $")
    monkeypatch.delenv("ANTHROPIC_API_KEY")  # `--report-only` somewhere else: no key, no call
    again = collect(config, out)
    assert again.cells["zero-shot", "sums"].behaviors == cell.behaviors and len(server.calls) == len(set(texts))


def test_eval_says_what_the_judge_left_open(behavior, server, tmp_path):
    file, out = tmp_path / "eval.yaml", tmp_path / "out"
    file.write_text(EVAL.replace("BEHAVIOR", str(behavior)) + f"judge: {json.dumps(remote(server, cap_calls=0))}\n")
    config = load_evaluation(file)
    evaluate(config, file, out)
    results = collect(config, out)
    assert results.cells["zero-shot", "sums"].behaviors["judged"] == (None,) * 8
    table = markdown(results)
    assert "no verdict" in table and "WARNING: the judge gave no verdict on" in table and "cap" in table
