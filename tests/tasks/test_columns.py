"""A task by the columns of any data set: read by the real ``datasets`` library from local folders, and one error for every mistake."""

from __future__ import annotations

import inspect
import json
import re

import datasets
import pytest

from tests.conftest import ROOT
from thinklab.config.load import load_config
from thinklab.errors import TaskError, ThinklabError
from thinklab.experiment.check_lines import check_lines
from thinklab.experiment.questions import split
from thinklab.tasks import columns, load_task

GSM = [
    {"problem": f"Ann has {k} eggs and buys {k}. How many?", "target": f"{k}+{k}={2 * k}\n#### {1000 * k:,}", "level": k}
    for k in range(1, 31)
]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A data set as on the Hub: a folder of parquet files, one for each split."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def make(name="eggs", **splits):
        folder = tmp_path / name
        folder.mkdir()
        for split_name, rows in (splits or {"train": GSM[:20], "test": GSM[20:]}).items():
            datasets.Dataset.from_list(rows).to_parquet(folder / f"{split_name}-00000-of-00001.parquet")
        return folder

    return make


EGGS = {"question": "problem", "answer": "target", "answer_after": "####", "verifier": "number"}


def test_gsm8ks_form_with_other_names(hub, tmp_path):
    hub()
    (tmp_path / "e.yaml").write_text(
        "task: {hub: ./eggs, question: problem, answer: target, answer_after: '####', verifier: number, columns: [level]}\n"
        "loss: {method: grpo}\n"
    )
    section = load_config(tmp_path / "e.yaml", check=check_lines).task
    task = load_task(section.name, path=section.path, **section.options)
    train, test = task.load("train"), task.load("test")
    assert (task.name, len(train), len(test)) == ("eggs", 20, 10)
    assert (train[0].id, train[0].question, train[0].gold) == ("eggs-train-0", "Ann has 1 eggs and buys 1. How many?", "1,000")
    assert train[0].meta["level"] == 1 and "a number" in task.instruction
    assert task.verify("So \\boxed{1000}.", train[0]) and task.verify("So \\boxed{1,000 eggs}.", train[0])
    assert not task.verify("So \\boxed{100}.", train[0])
    assert len(split(task).held_out) == 10


def test_slices_subsets_and_one_split_for_both(hub):
    folder = hub(train=GSM)
    task = load_task("columns", hub=str(folder), split={"train": "train[:60%]", "test": "train[60%:]"}, **EGGS)
    assert [len(task.load(s)) for s in ("train", "test")] == [18, 12] and len(split(task).held_out) == 12
    data = split(load_task("columns", hub=str(folder), split="train", **EGGS))
    assert (len(data.train), len(data.held_out)) == (27, 3), "a tenth is held out"
    with pytest.raises(TaskError) as caught:
        load_task("columns", hub=str(folder), **EGGS).load("test")
    assert "Unknown split \"test\". Should be one of ['train']. Set task.split, such as" in str(caught.value)


def test_a_data_set_that_was_saved_to_disk(hub, tmp_path):
    datasets.DatasetDict(train=datasets.Dataset.from_list(GSM[:3])).save_to_disk(tmp_path / "saved")
    task = load_task("columns", hub="./saved", **EGGS)
    assert len(task.load("train")) == 3
    with pytest.raises(TaskError, match=r"Should be one of \['train'\]. Set task.split"):
        task.load("test")


def test_a_file_of_ones_own_with_other_columns(tmp_path):
    rows = [
        {"q": "1+1?", "key": {"gold": 2}},
        {"q": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}], "key": {"gold": "4"}},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "e.yaml").write_text("task: {path: q.jsonl, question: q, answer: key.gold}\nloss: {method: grpo}\n")
    section = load_config(tmp_path / "e.yaml", check=check_lines).task
    assert section.name == "columns" and section.path == str(tmp_path / "q.jsonl")
    found = load_task(section.name, path=section.path, **section.options).load("train")
    assert [(e.question, e.gold) for e in found] == [("1+1?", "2"), ("2+2?", "4")]


QUESTION = {"question": "Which?", "options": ["tin", "wool", "oak"]}


@pytest.mark.parametrize(
    "verifier, row, gold, right, wrong",
    [
        ("number", {"answer": "72 dollars"}, "72 dollars", "\\boxed{72}", "\\boxed{73}"),
        ("math", {"answer": "\\frac{1}{2}"}, "\\frac{1}{2}", "\\boxed{0.5}", "\\boxed{2}"),
        ("choice", {"answer": 1}, "B", "\\boxed{B}", "\\boxed{A}"),
        ("choice", {"answer": "oak"}, "C", "The answer is oak.", "The answer is tin."),
        ("choice", {"answer": "A"}, "A", "\\boxed{tin}", "\\boxed{wool}"),
        ("yes_no", {"answer": 1}, "yes", "Yes.", "No."),
        ("yes_no", {"answer": False}, "no", "\\boxed{no}", "\\boxed{yes}"),
        ("exact", {"answer": "The Nile"}, "The Nile", "\\boxed{nile}", "\\boxed{Nile river}"),
        ("exact", {"answer": "x=5"}, "x=5", "Answer: x=5", "Answer: 5"),
        ("auto", {"answer": True}, "yes", "Yes.", "No."),
        ("auto", {"answer": "9"}, "9", "\\boxed{9}", "\\boxed{8}"),
        ("./mine.py:f", {"answer": "9"}, "9", "nine 9", "nine"),
    ],
)
def test_every_verifier(tmp_path, monkeypatch, verifier, row, gold, right, wrong):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def f(response, example): return response.endswith(example.gold)\n")
    (tmp_path / "q.jsonl").write_text(json.dumps({**QUESTION, **row}) + "\n")
    choices = {"choices": "options"} if verifier == "choice" else {}
    task = load_task("columns", path="q.jsonl", verifier=verifier, **choices)
    (example,) = task.load("train")
    assert example.gold == gold and task.verify(right, example) is True and task.verify(wrong, example) is False


@pytest.mark.parametrize(
    "options, row, said",
    [
        (
            {"question": "problm"},
            {"problem": "1?", "answer": "1"},
            "q.jsonl:1: no column 'problm' (did you mean 'problem'?), which task.question names; found problem, answer",
        ),
        (
            {"answer": "key.gld"},
            {"question": "1?", "key": {"gold": 1}},
            "no column 'key.gld' (did you mean 'gold'?), which task.answer names",
        ),
        (
            {"verifier": "number"},
            {"question": "1?", "answer": "red"},
            "q.jsonl:1: column 'answer' must be a number for the verifier 'number', not 'red'",
        ),
        (
            {"answer_after": "####"},
            {"question": "1?", "answer": "72"},
            "column 'answer' must have an answer after '####', not '72'",
        ),
        ({"verifier": "yes_no"}, {"question": "1?", "answer": "maybe"}, "column 'answer' must be yes or no, not 'maybe'"),
        (
            {"verifier": "choice", "choices": "o"},
            {"question": "1?", "answer": 5, "o": ["a", "b"]},
            "must be one of the choices, a letter from A to B or a number from 0, not 5",
        ),
        ({}, {"question": "", "answer": 5}, "column 'question' must be a non-empty text"),
        ({}, {"question": "1?", "answer": None}, "column 'answer' must be a text or a number, not None"),
        (
            {"question": "q"},
            {"q": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "answer": 1},
            "column 'q' is a conversation",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_column(tmp_path, options, row, said):
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(TaskError) as caught:
        load_task("columns", path=tmp_path / "q.jsonl", **options).load("train")
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "yaml, said",
    [
        ("{hub: a/b, path: q.jsonl}", "e.yaml:2:1: a task by columns needs either task.hub"),
        (
            "{hub: a/b, verifier: nmber}",
            "e.yaml:2:1: task.verifier: there is no verifier 'nmber' (did you mean 'number'?); one of auto, number",
        ),
        ("{hub: a/b, verifier: choice}", "e.yaml:2:1: task.verifier 'choice' needs task.choices"),
        ("{hub: a/b, qestion: q}", "e.yaml:2:1: the task 'columns' has no option 'qestion' (did you mean 'question'?)"),
        ("{hub: a/b, columns: level}", "e.yaml:2:1: task.columns must be a list of columns"),
        ("{hub: a/b, verifier: './gone.py:f'}", "e.yaml:2:18: task.verifier: there is no file ./gone.py"),
    ],
)
def test_a_mistake_in_the_config_names_its_line(tmp_path, yaml, said):
    (tmp_path / "e.yaml").write_text(f"loss: {{method: grpo}}\ntask: {yaml}\n")
    with pytest.raises(ThinklabError) as caught:
        load_config(tmp_path / "e.yaml", check=check_lines)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_mapping_on_the_page_is_a_config(tmp_path):
    text = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(task:.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "e.yaml").write_text(f"{block}loss: {{method: grpo}}\n")
    section = load_config(tmp_path / "e.yaml", check=check_lines).task
    assert section.name == "columns" and load_task(section.name, **section.options).name == "gsm8k"
    (table,) = re.findall(r"^\| verifier \| the answer is right if \|\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
    shown = re.findall(r"^\| `(\S+?)` \|", table, re.MULTILINE)
    assert sorted(shown) == sorted([*columns.VERIFIERS, "./my.py:f"]), "the page names every verifier"
    keys = " ".join(re.findall(r"^\| (`hub`.*?|`split`.*?|`question`.*?|`[a-z_]+`) \| ", text, re.MULTILINE))
    assert set(inspect.signature(columns.task).parameters) - {"path"} <= set(re.findall(r"`(\w+)`", keys))
