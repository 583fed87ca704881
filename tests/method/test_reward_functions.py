"""Reward functions of the user's own: called as TRL calls them, weighted, and refused in one line that names file and function."""

from __future__ import annotations

import math

import pytest
import torch
from trl.rewards import think_format_reward

from thinklab.advantages import advantages
from thinklab.behavior.behavior import load_behavior
from thinklab.config.load import load_config
from thinklab.config.reward_section import RewardSection
from thinklab.errors import ConfigError, TrainingError
from thinklab.experiment.guards import _why_equal
from thinklab.experiment.probe_run import correctness_alone
from thinklab.reports.plots import dashboard
from thinklab.review.effect import Groups
from thinklab.reward_functions import RewardFunction, RewardFunctions, load_functions
from thinklab.rewards import Rewards
from thinklab.tasks import Task
from thinklab.types import Example, Rollout

MY = """
import asyncio

def brevity(completions, **kwargs):
    return [1 - len(c[0]["content"]) / 100 for c in completions]

def tokens(completion_ids, target=3):
    return [len(ids) / target for ids in completion_ids]

def column(completions, difficulty, answer, prompts, **kwargs):
    return [d if a in c[0]["content"] and p[0]["role"] == "user" else None
            for c, d, a, p in zip(completions, difficulty, answer, prompts)]

async def later(completions, **kwargs):
    await asyncio.sleep(0)
    return [0.5 for _ in completions]

def fails(completions, **kwargs):
    return [1 / (len(c) - 1) for c in completions]

def short(completions, **kwargs):
    return [1.0]

def no_list(completions, **kwargs):
    return 3

def words(completions, **kwargs):
    return ["good" for _ in completions]

def endless(completions, **kwargs):
    return [float("inf") for _ in completions]

def nan(completions, **kwargs):
    return [float("nan"), *[1.0 for _ in completions[1:]]]

def needs(completions, topic):
    return [0.0 for _ in completions]

def places(completions, /, **kwargs):
    return [0.0 for _ in completions]
"""
TASK = Task("t", "Box it.", lambda split: [], lambda response, example: f"\\boxed{{{example.gold}}}" in response)


def rollout(k: int, text: str, gold: str = "3", **more) -> Rollout:
    example = Example(f"q{gold}", "1+2?", gold, {"difficulty": 0.7})
    return Rollout(f"0-{k}", 0, example, (1,), (5, 6, 2), True, text, text, **more)


@pytest.fixture
def my(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(MY)
    (tmp_path / "e.yaml").write_text("loss: {method: grpo}\n")
    return lambda *functions: load_functions(
        load_config("e.yaml", [f"reward.functions={list(functions)!r}".replace("'", '"')]).reward,
        TASK,
        lambda text: [9] * len(text),
    )


def test_functions_get_what_trl_gives_and_their_values_are_weighted(my):
    rollouts = [rollout(0, "So \\boxed{3}."), rollout(1, "None.")]
    found = my(
        "./my.py:brevity",
        {"function": "./my.py:tokens", "weight": -2, "options": {"target": 6}},
        {"function": "my:column", "name": "hard"},
        "./my.py:later",
    )(rollouts)
    assert found == [
        {"brevity": pytest.approx(0.87), "tokens": -1.0, "hard": 0.7, "later": 0.5},
        {"brevity": pytest.approx(0.95), "tokens": -1.0, "later": 0.5},  # None: no part, as TRL leaves it out
    ]


def test_trls_own_functions_work_as_they_are(my):
    texts = ["<think>1+2</think>3", "3", "<think>a", "<think></think>"]
    found = my({"function": "trl.rewards:think_format_reward", "weight": 0.5})([rollout(k, t) for k, t in enumerate(texts)])
    theirs = think_format_reward([[{"content": t}] for t in texts])
    assert [f["think_format_reward"] for f in found] == [0.5 * t for t in theirs] and len(set(theirs)) == 2


@pytest.mark.parametrize(
    "function, said",
    [
        ("./my.py:fails", "failed: {folder}/my.py:19: ZeroDivisionError: "),
        ("./my.py:short", "returned 1 rewards for 2 answers; it must return one for each"),
        ("./my.py:no_list", "returned 3; it must return a list"),
        ("./my.py:words", "returned 'good' for an answer; it must be a finite number, or None"),
        ("./my.py:endless", "returned inf for an answer"),
    ],
)
def test_a_function_that_cannot_be_used_is_named_with_its_file(my, tmp_path, function, said):
    with pytest.raises(TrainingError) as caught:
        my(function)([rollout(0, "a"), rollout(1, "b")])
    text = str(caught.value)
    assert (
        text.startswith(f"the reward function '{tmp_path}/my.py:") and said.format(folder=tmp_path) in text and "\n" not in text
    )


@pytest.mark.parametrize(
    "function, said",
    [
        (
            "./my.py:needs",
            "needs 'topic', which is no column of these questions: set it under 'options', give it a default, or use one",
        ),
        ({"function": "./my.py:tokens", "options": {"taget": 3}}, "has no parameter 'taget', which 'options' sets; it takes"),
        ("./my.py:places", "its parameter 'completions' is positional"),
        ("./my.py:fails", "ZeroDivisionError: division by zero (called with made-up answers before the run)"),
        ("./my.py:short", "returned 1 rewards for 6 answers"),
    ],
)
def test_mistakes_are_said_before_the_run(my, function, said):
    with pytest.raises(ConfigError) as caught:
        my(function).check([rollout(0, "").example, rollout(0, "", gold="4").example], 3)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_check_calls_each_function_with_a_whole_generation():
    seen = []
    functions = RewardFunctions(
        [RewardFunction("f", lambda completions, **_: seen.append(len(completions)) or [1.0] * len(completions))]
    )
    functions.check([rollout(0, "").example, rollout(0, "", gold="4").example], 3)
    assert seen == [6]


@pytest.mark.parametrize(
    "yaml, said",
    [
        (
            "functions: [brevity]",
            "e.yaml:2:15: reward.functions.0: 'brevity' names no function: write FILE:NAME, such as ./my.py:brevity",
        ),
        (
            "functions:\n    - ./my.py:brevity\n    - ./my.py:brevity",
            "e.yaml:4:7: reward: 'brevity' is also the name of another function",
        ),
        ("functions: [{function: './my.py:brevity', name: correct}]", "'correct' is also the name of a part that thinklab gives"),
        (
            "functions: [{function: './my.py:brevity', wieght: 2}]",
            "unknown key 'reward.functions.0.wieght' (did you mean 'weight'?)",
        ),
        ("functions: ['./gone.py:f']", "e.yaml:2:15: reward.functions.0: there is no file ./gone.py"),
    ],
)
def test_the_config_names_line_and_key(my, tmp_path, yaml, said):
    (tmp_path / "e.yaml").write_text(f"reward:\n  {yaml}\nloss: {{method: grpo}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config("e.yaml")
    assert said in str(caught.value) and "\n" not in str(caught.value)


# --- the reward and its advantages ---------------------------------------------------------------------------------


def test_parts_add_up_and_those_that_cannot_earn_are_left_out(my):
    functions = my("./my.py:brevity", {"function": "./my.py:column", "name": "hard"})
    right, wrong = rollout(0, "So \\boxed{3}."), rollout(1, "None.")
    scored = Rewards(TASK, functions=functions)([right, wrong])
    assert [r.rewards for r in scored] == [
        {"correct": 1.0, "brevity": pytest.approx(0.87), "hard": 0.7},
        {"correct": 0.0, "brevity": pytest.approx(0.95)},
    ]
    alone = Rewards(TASK, weight=0, functions=my({"function": "./my.py:column", "name": "hard"}))
    assert [r.rewards for r in alone([right, wrong])] == [{"hard": 0.7}, {}] and alone.parts == ("hard",)
    assert [r.checks["correct"] for r in alone([right, wrong])] == [True, False], "accuracy is still measured"
    assert Rewards(TASK).parts == ("correct", "behavior"), "without functions nothing changes"


def test_nan_is_no_reward_and_an_answer_without_any_gets_no_advantage(my):
    rewards = Rewards(TASK, weight=0, functions=my("./my.py:nan"))
    rollouts = rewards([rollout(k, f"{k}") for k in range(4)])
    assert [r.rewards for r in rollouts] == [{}, *[{"nan": 1.0}] * 3]
    table = torch.tensor([[r.rewards.get("nan", math.nan)] for r in rollouts])
    assert advantages(table, torch.ones(1), 4).tolist() == [0.0] * 4
    table[1] = 0.0
    found = advantages(table, torch.ones(1), 4)
    assert found[0] == 0 and found[1] < 0 < found[2], "as in TRL: left out of the mean, and its own advantage is 0"


def test_a_task_that_grades_earns_its_grade_and_is_right_by_its_verifier():
    task = Task("t", "", lambda split: [], TASK.verify, lambda response, example: 0.25 * (example.gold in response))
    scored = Rewards(task, weight=2)([rollout(0, "about 3"), rollout(1, "no")])
    assert [(r.rewards["correct"], r.checks["correct"]) for r in scored] == [(0.5, False), (0.0, False)]


def test_the_preview_of_a_decision_includes_functions_and_the_ids_of_the_guidance(my, monkeypatch):
    """Guidance under review has no ids yet: they are those that splicing it would add."""
    functions = my("./my.py:tokens")
    text = "So \\boxed{4}."
    (alone,), (more,) = functions([rollout(0, text)]), functions([rollout(0, text)])
    assert alone == more == {"tokens": 1.0}
    whole = Rollout("0-0", 0, rollout(0, "").example, (1,), (5, 6, 2), True, text + " Check!", text)
    assert functions.alone(whole) == {"tokens": pytest.approx((3 + len(" Check!")) / 3)}
    groups = Groups([rollout(k, text) for k in range(2)], Rewards(TASK, functions=functions))
    assert groups._row(whole, whole.text) == [0.0, pytest.approx(10 / 3)]


def test_own_credit_rewards_the_students_part_by_itself(my):
    functions = my("./my.py:brevity")
    guided = Rollout("0-0", 0, rollout(0, "").example, (1,), (5, 2), True, "No. So \\boxed{3}.", "No.", teacher_ids=(7, 2))
    assert Rewards(TASK, functions=functions)([guided])[0].own_rewards == {"correct": 0.0}
    functions.student_part = True
    (scored,) = Rewards(TASK, functions=functions)([guided])
    assert scored.own_rewards == {"correct": 0.0, "brevity": pytest.approx(0.97)} and scored.rewards["correct"] == 1.0


def test_a_behavior_with_a_bonus_keeps_its_part(my):
    behavior = load_behavior("self-check")
    functions = my("./my.py:brevity")
    assert Rewards(TASK, [behavior], bonus={"self-check": 0.2}, functions=functions).parts == ("correct", "behavior", "brevity")
    assert Rewards(TASK, [behavior], bonus={"self-check": 0.0}, functions=functions).parts == ("correct", "brevity")


# --- what is made of them elsewhere --------------------------------------------------------------------------------


def test_the_guard_against_equal_rewards_names_the_functions():
    cause, fix = _why_equal({"own/accuracy": 1.0, "rewards/correct/mean": 1.0, "rewards/brevity/mean": 0.5})
    assert "the reward functions (brevity)" in cause and "rollouts.jsonl" in fix
    assert "answers all of these questions correctly" in _why_equal({"own/accuracy": 1.0, "rewards/correct/mean": 1.0})[0]


def test_the_run_that_measures_persistence_rewards_only_correctness(tmp_path):
    (tmp_path / "my.py").write_text(MY)
    (tmp_path / "e.yaml").write_text(
        "behaviors: [self-check]\nreward: {correct: 0, functions: [{function: './my.py:brevity', weight: 2}], bonus: {self-check: 1}}\n"
    )
    plain = correctness_alone(load_config(tmp_path / "e.yaml"), 5, ["self-check"])
    assert plain.reward == RewardSection(correct=1.0, bonus={"self-check": 0.0}) and plain.loss.method == "grpo"


def test_the_dashboard_has_room_for_every_part():
    line = {"step": 1, "rewards/correct/mean": 1.0, "rewards/behavior/mean": 0.0}
    usual = dashboard([line])
    more = dashboard([line | {f"rewards/part{k}/mean": 0.1 * k for k in range(4)}])
    assert [t.name for t in more.data] == [*(t.name for t in usual.data), "part0", "part1", "part2", "part3"]
    assert len({t.line.color for t in more.data}) > 2 and more.layout.height > usual.layout.height
