"""One lookup of configs for every command and the Lab, paths beside a config, and faults that name the key they are about."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT
from tests.support.run_cases import in_this_process
from thinklab.config.load import load_config
from thinklab.config.shipped import find_config, shipped_configs
from thinklab.errors import ConfigError
from thinklab.evaluation.plan import load_evaluation
from thinklab.studies.study import load_study


@pytest.fixture
def thinklab(monkeypatch, capfd, tmp_path):
    """The command line in this process, in an empty folder: (exit code, everything printed)."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        done = in_this_process(monkeypatch, capfd, *args)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    ("kind", "inner"),
    [
        ("experiment", "demo-self-check"),
        ("experiment", "paper/lora"),
        ("evaluation", "eval/tiny-grid"),
        ("study", "studies/six-losses"),
        ("experiment", "small-world"),  # one name for three kinds
        ("study", "studies/small-world"),
        ("evaluation", "eval/small-world"),
    ],
)
def test_every_way_to_name_a_shipped_example(kind, inner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = inner.rpartition("/")[2]
    asked = [
        name,
        f"{name}.yaml",
        inner,
        f"{inner}.yaml",
        f"examples/{inner}",
        f"examples/{inner}.yaml",
        f"./examples/{inner}.yaml",
        f"../examples/{inner}.yaml",
    ]
    assert {find_config(a, kind) for a in asked} == {shipped_configs()[kind][name]}
    (tmp_path / f"{name}.yaml").write_text("name: mine\n")
    for own in (name, f"{name}.yaml", f"./{name}"):
        assert find_config(own, kind).resolve() == tmp_path / f"{name}.yaml", "a file of one's own comes first"


def test_every_shipped_config_has_one_kind_and_one_name_and_can_be_read():
    found = shipped_configs()
    files = [f for f in (ROOT / "examples").rglob("*.yaml") if f.parent.name != "behaviors"]
    assert sorted(p.name for kind in found.values() for p in kind.values()) == sorted(f.name for f in files)
    for kind, load in (("experiment", load_config), ("evaluation", load_evaluation), ("study", load_study)):
        for name in found[kind]:
            assert load(name)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["train", "demo-selfcheck"], "did you mean 'demo-self-check'?"),
        (["train", "nowhere.yaml"], "there is no config nowhere.yaml; give a YAML file, or the name of a shipped example: demo"),
        (["doctor", "gsm8"], "did you mean 'gsm8k'?"),
        (["eval", "tiny-gird"], "did you mean 'tiny-grid'?"),
        (["study", "six-lossess"], "did you mean 'six-losses'?"),
        (["harness", "export", "embedded", "tiny-gird"], "did you mean 'tiny-grid'?"),
        (["train", "six-losses"], "thinklab study six-losses"),
        (["experiment", "tiny-grid"], "thinklab eval tiny-grid"),
        (["eval", "examples/demo-self-check.yaml"], "thinklab train demo-self-check"),
        (["train", "mine"], "did you mean 'mine1'?"),
        (["train", "folder"], "folder is a folder, not a YAML file"),
        (["train", "x" * 5000], "cannot read xxx"),
    ],
)
def test_a_miss_lists_near_names(thinklab, tmp_path, command, says):
    (tmp_path / "mine1.yaml").write_text("name: x\n")
    (tmp_path / "folder").mkdir()
    code, text = thinklab(*command)
    assert code == 2 and says in text, text
    assert len(text) < 1500


def test_shipped_studies_and_evaluations_are_found_from_an_empty_folder(thinklab):
    code, text = thinklab("study", "examples/studies/six-losses.yaml", "--dry-run")
    assert code == 0 and "self-check/aas/seed-0" in text
    code, text = thinklab("eval", "tiny-grid", "--dry-run")
    assert code == 0 and "thinktuning/sums" in text


def test_paths_are_taken_from_here_and_else_from_beside_the_config(tmp_path, monkeypatch):
    made = tmp_path / "made"
    made.mkdir()
    (made / "q.jsonl").write_text(json.dumps({"question": "1+1?", "answer": "#### 2"}) + "\n")
    shipped = (ROOT / "behaviors" / "self-check.yaml").read_text()
    (made / "mine.yaml").write_text(shipped.replace("name: self-check", "name: mine"))
    (made / "c.yaml").write_text("task: {name: gsm8k, path: q.jsonl}\nbehaviors: [mine.yaml]\nstudent: {path: some/hub-id}\n")
    (made / "e.yaml").write_text(
        "name: e\nbenchmarks: {b: {task: {name: gsm8k, path: q.jsonl}}}\nmethods: {a: {}, r: {run: [runs/x, other]}}\n"
    )
    (made / "runs" / "x").mkdir(parents=True)
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    config, evaluation = load_config(made / "c.yaml"), load_evaluation(made / "e.yaml")
    assert config.task.path == evaluation.benchmarks["b"].task.path == str(made / "q.jsonl")
    assert config.behaviors[0].name == str(made / "mine.yaml") and config.student.path == "some/hub-id"
    assert evaluation.methods["r"].run == [str(made / "runs" / "x"), "other"]
    assert load_config(made / "c.yaml", ["task.path=q.jsonl"]).task.path == "q.jsonl", "the command line means this folder"
    (away / "q.jsonl").write_text("")
    assert load_config(made / "c.yaml").task.path == "q.jsonl", "as before: what is here comes first"


@pytest.mark.parametrize(
    ("text", "arguments", "where"),
    [
        ("name: x\nbehaviors: [self-check]\n", ["--profile", "t5"], "--profile t5: unknown profile 't5'; known: tiny"),
        ("name: x\nbehaviors: [self-check]\n", ["profile=t5"], "override 'profile=t5': unknown profile"),
        ("name: x\nbehaviors: [self-check]\nprofile: t5\n", [], "c.yaml:3:1: unknown profile"),
        ("name: x\nloss: {method: grpo}\n", ["loss.method=aas"], "override 'loss.method=aas': method 'aas' needs at least one"),
        ("name: x\nloss: {method: aas}\n", [], "c.yaml:2:8: method 'aas' needs at least one"),
        (
            "name: x\nloss: {method: grpo}\ntrain:\n  samples: 4\n",
            ["train.questions=3", "minibatches=5"],
            "override 'minibatches=5': train: minibatches (5) must divide",
        ),
        (
            "name: x\nloss: {method: grpo}\ntrain:\n  samples: 4\n  micro_batch: 5\n",
            [],
            "c.yaml:5:3: train: micro_batch (5) must",
        ),
    ],
)
def test_a_fault_is_blamed_on_the_key_that_it_is_about(thinklab, tmp_path, text, arguments, where):
    (tmp_path / "c.yaml").write_text(text)
    code, said = thinklab("train", "c.yaml", *arguments)
    assert code == 2 and f"error: {where}" in said.replace("\n", ""), said


def test_a_wrong_profile_alone_is_one_line(thinklab):
    code, said = thinklab("doctor", "--profile", "t5", "--quick")
    assert code == 2 and said.startswith("error: unknown profile 't5'") and said.count("\n") == 1


def test_the_lab_says_the_same(tmp_path):
    from thinklab.lab.settings import experiment

    with pytest.raises(ConfigError, match="override 'profile=t5': unknown profile"):
        experiment("demo-self-check", [], "t5", {}, tmp_path)
