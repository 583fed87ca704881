"""A task in a Python file of the user's own: found from the config's folder, checked at load, and its errors name their line."""

from __future__ import annotations

import pytest

from thinklab.errors import ConfigError, TaskError
from thinklab.tasks import Task, load_task
from thinklab.types import Example

FUNCTION = """
from thinklab import Task
from thinklab.types import Example

def reverse(letters: int = 3):
    def load(split):
        return [Example(f"r-{split}-{k}", f"Reverse {w}.", w[::-1]) for k, w in enumerate(["abc", "defg"]) if len(w) >= letters]
    return Task("reverse", "Box it.", load, lambda response, example: example.gold in response)

ready = reverse(4)
def nothing(): return 3
def broken(): raise KeyError("no data")
"""
CLASS = """
from thinklab.types import Example

class MyTask:
    instruction = "One word."

    def __init__(self, questions=2):
        self.questions = questions

    def load(self, split):
        return [Example(f"{split}-{k}", f"{k}+1?", str(k + 1)) for k in range(self.questions)]

    def verify(self, response, example):
        return response == example.gold

    def grade(self, response, example):
        return 1.0 if response == example.gold else 0.25 if example.gold in response else 0.0
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(FUNCTION)
    (tmp_path / "cls.py").write_text(CLASS)
    return tmp_path


def test_a_function_a_ready_task_and_a_class(here):
    task = load_task("./my.py:reverse", letters=4)
    assert isinstance(task, Task) and task.name == "reverse" and [e.gold for e in task.load("train")] == ["gfed"]
    assert task.verify("gfed!", task.load("train")[0]) is True
    assert [e.id for e in load_task("my.py:ready").load("test")] == ["r-test-1"]
    task = load_task("cls.py:MyTask", questions=3)
    (first, *_) = task.load("train")
    assert (task.name, task.instruction, len(task.load("test"))) == ("MyTask", "One word.", 3)
    assert task.prompt(first)[0]["content"] == "0+1? One word."
    assert (task.verify("1", first), task.verify("so 1", first), task.grade("so 1", first)) == (True, False, 0.25)


@pytest.mark.parametrize(
    "name, options, error, said",
    [
        ("my.py:reverse", {"leters": 2}, TaskError, "has no option 'leters' (did you mean 'letters'?); it takes letters"),
        ("my.py:nothing", {}, TaskError, "the task 'my.py:nothing' comes from a function that returned int"),
        ("my.py:broken", {}, TaskError, "the task 'my.py:broken' cannot be made: {here}/my.py:12: KeyError: 'no data'"),
        ("my.py:revers", {}, ConfigError, "revers does not exist in {here}/my.py (did you mean 'reverse'?)"),
    ],
)
def test_what_cannot_be_made_is_one_line(here, name, options, error, said):
    with pytest.raises(error) as caught:
        load_task(name, **options)
    assert said.format(here=here) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, call, said",
    [
        (("response == example.gold\n", "1 / 0\n"), "verify", "verify failed on 'train-0': {here}/cls.py:14: ZeroDivisionError"),
        (
            ("return response == example.gold\n", "return 0.5\n"),
            "verify",
            "verify returned 0.5 for 'train-0'; it must return True or",
        ),
        (("return 1.0 if", "return 'good' if"), "grade", "grade returned 'good' for 'train-0'; it must return a finite number"),
        (('Example(f"{split}-{k}"', '(f"{split}-{k}"'), "load", "load: question 1 of 'train' is ('train-0'"),
        (("range(self.questions)", "self.questions"), "load", "load failed on the split 'train': {here}/cls.py:11: TypeError"),
    ],
)
def test_a_task_that_fails_names_function_and_line(here, change, call, said):
    text = CLASS.replace(*change)
    assert text != CLASS
    (here / "cls.py").write_text(text)
    task = load_task("./cls.py:MyTask")
    with pytest.raises(TaskError) as caught:
        task.load("train") if call == "load" else getattr(task, call)("1", Example("train-0", "0+1?", "1"))
    assert f"the task './cls.py:MyTask': {said.format(here=here)}" in str(caught.value) and "\n" not in str(caught.value)
