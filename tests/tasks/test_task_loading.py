"""Loading: every task by name and from a file, and one clear error for every file that cannot be used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from itertools import pairwise

import pytest

import thinklab.tasks
from thinklab.errors import TaskError
from thinklab.tasks import Task, load_task, task_names

GPQA = [
    {
        "Question": f"Which particle has charge {k}?",
        "Correct Answer": "right",
        "Incorrect Answer 1": "one",
        "Incorrect Answer 2": "two",
        "Incorrect Answer 3": "three",
    }
    for k in range(24)
]
MMLU = [
    {
        "question_id": 1,
        "question": "What is 2+3?",
        "options": ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"],
        "answer": "C",
        "answer_index": 2,
        "category": "math",
    },
    {
        "question_id": 2,
        "question": "Which is a metal?",
        "options": ["tin", "wool", "oak"],
        "answer": "A",
        "answer_index": 0,
        "category": "chemistry",
    },
]


@pytest.fixture
def write(tmp_path):
    def to(name, rows):
        file = tmp_path / name
        if name.endswith(".parquet"):
            pa = pytest.importorskip("pyarrow")
            import pyarrow.parquet

            pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file)
        elif isinstance(rows, str):
            file.write_text(rows, encoding="utf-8")
        else:
            file.write_text(json.dumps(rows) if name.endswith(".json") else "\n".join(map(json.dumps, rows)))
        return file

    return to


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [
        ("gsm8k", "gsm8k/test.jsonl", 660),
        ("math500", "math500/test.jsonl", 250),
        ("aime", "aime/test.jsonl", 30),
        ("strategyqa", "strategyqa/test.jsonl", 229),
        ("arc_challenge", "arc_challenge/test.jsonl", 600),
        ("commonsense_qa", "commonsense_qa/validation.jsonl", 600),
    ],
)
def test_real_files(real, name, file, count):
    task = load_task(name, path=real(file))
    examples = task.load("test")
    assert len(examples) == count and len({e.id for e in examples}) == count
    for example, other in pairwise(examples):
        assert task.verify(f"Hence \\boxed{{{example.gold}}}.", example)
        assert example.gold not in ("", None)
        if {example.gold, other.gold} <= set("ABCDE") and example.gold != other.gold:
            assert not task.verify(f"Hence \\boxed{{{example.gold}}}.", other)
    (turn,) = task.prompt(examples[0])
    assert turn["role"] == "user" and turn["content"].startswith(examples[0].question)
    assert turn["content"].endswith(task.instruction) and "\\boxed{}" in task.instruction


def test_options_are_lettered_and_the_gold_letter_is_theirs(real):
    example = load_task("commonsense_qa", path=real("commonsense_qa")).load("test")[0]
    assert example.question.endswith("?\nA. bank\nB. library\nC. department store\nD. mall\nE. new york")
    assert example.gold == "A"


def test_gpqa_is_shuffled_by_its_seed(write):
    file = write("gpqa.jsonl", GPQA)
    first, again, other = (load_task("gpqa_diamond", path=file, seed=s).load("test") for s in (0, 0, 1))
    assert first == again and first != other
    assert {e.gold for e in first} == set("ABCD")
    for e in [*first, *other]:
        assert sorted(e.meta["choices"]) == ["one", "right", "three", "two"]
        assert e.meta["choices"]["ABCD".index(e.gold)] == "right"
    moved = load_task("gpqa_diamond", path=write("moved.jsonl", GPQA[5:]), seed=0).load("test")
    assert [e.gold for e in moved] == [e.gold for e in first[5:]]


def test_mmlu_pro(write):
    ten, three = load_task("mmlu_pro", path=write("m.parquet", MMLU)).load("test")
    task = load_task("mmlu_pro", path=write("m.jsonl", MMLU))
    assert "J. 12" in ten.question and three.question.endswith("C. oak") and ten.meta["category"] == "math"
    assert task.verify("The answer is (C).", ten) and not task.verify("The answer is (C).", three)
    with pytest.raises(TaskError, match=r"b\.jsonl:1: 'answer' is A but 'answer_index' is 2"):
        load_task("mmlu_pro", path=write("b.jsonl", [{**MMLU[0], "answer": "A"}])).load("test")


ROWS = [{"question": "1+1?", "answer": "2 #### 2"}, {"question": "2+2?", "answer": "4 #### 4"}]


@pytest.mark.parametrize("name", ["q.jsonl", "q.json", "q.parquet"])
def test_formats(write, name):
    assert [e.gold for e in load_task("gsm8k", path=write(name, ROWS)).load("train")] == ["2", "4"]


def test_one_file_serves_both_splits_and_a_mapping_keeps_them_apart(write, tmp_path):
    train, test = write("train.jsonl", ROWS[:1]), write("test.jsonl", ROWS[1:])
    same = load_task("gsm8k", path=train)
    assert same.load("train") == same.load("test")
    for path in ({"train": train, "test": test}, tmp_path):
        task = load_task("gsm8k", path=path)
        assert (task.load("train")[0].gold, task.load("test")[0].gold) == ("2", "4")
        assert task.load("train")[0].id != task.load("test")[0].id
    with pytest.raises(TaskError, match=r"no file for the split 'dev', only for train, test"):
        load_task("gsm8k", path={"train": train, "test": test}).load("dev")
    with pytest.raises(TaskError, match=r"a folder without dev\.jsonl or dev\.json"):
        load_task("gsm8k", path=tmp_path).load("dev")
    assert load_task("gsm8k", path=tmp_path, split={"train": "test"}).load("train")[0].gold == "4"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            '{"question": "1?", "answer": "#### 1"}\n\n{"question": "2?", "reply": "x"}',
            r"bad\.jsonl:3: no column 'answer'; the task 'gsm8k' expects question, answer; found question, reply",
        ),
        ('{"question": "1?", "answer": "#### 1"}\n{"question": oops}', r"bad\.jsonl:2:14: not JSON: "),
        ('{"question": "1?", "answer": "no mark"}', r"bad\.jsonl:1: column 'answer' must end in '#### N'"),
        ('{"question": "1?", "answer": 5}', r"bad\.jsonl:1: column 'answer' must be a non-empty text, not 5"),
        ('["a", "b"]', r"bad\.jsonl:1: every row must be an object of columns, not \['a', 'b'\]"),
        ("", r"bad\.jsonl: it has no rows; the task 'gsm8k' expects question, answer"),
    ],
)
def test_bad_rows(write, rows, message):
    with pytest.raises(TaskError, match=message) as e:
        load_task("gsm8k", path=write("bad.jsonl", rows)).load("train")
    assert e.value.exit_code == 2 and isinstance(e.value, ValueError)


def test_bad_files(write, tmp_path):
    for path, message in [
        (tmp_path / "none.jsonl", "no such file"),
        (write("q.csv", "a,b"), r"cannot read \.csv"),
        (write("q.json", "{}"), "must contain a list"),
        (write("x.json", "]"), r":1:1: not JSON"),
    ]:
        with pytest.raises(TaskError, match=message):
            load_task("gsm8k", path=path).load("train")
    for content in (b"\xff\xfe\xfa", b"not parquet"):
        file = tmp_path / ("u.jsonl" if content[0] == 255 else "u.parquet")
        file.write_bytes(content)
        with pytest.raises(TaskError, match=re.escape(file.name)):
            load_task("gsm8k", path=file).load("train")
    with pytest.raises(TaskError, match="must be a file, a folder or"):
        load_task("gsm8k", path=7)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": ""}, "this split has no answers"),
        ({"choices": {"text": ["a"], "label": ["A", "B"]}, "answerKey": "A"}, "1 texts and 2 labels"),
        ({"choices": ["a", "b"], "answerKey": "A"}, "column 'choices' must contain"),
    ],
)
def test_bad_choices(write, rows, message):
    with pytest.raises(TaskError, match=message):
        load_task("arc_challenge", path=write("q.jsonl", [{"question": "?", **rows}])).load("test")


def test_numbered_labels_become_letters(write):
    row = {"question": "?", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "2"}
    assert load_task("arc_challenge", path=write("q.jsonl", [row])).load("test")[0].gold == "B"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gsm8", {}, r"no task 'gsm8' \(did you mean 'gsm8k'\?\); there are sums, world, gsm8k, "),
        ("gpqa_diamond", {"sed": 1}, r"no option 'sed' \(did you mean 'seed'\?\); it takes path, split, seed"),
        ("sums", {"terms": [3]}, r"takes terms \[2\], \[4\] or \[2, 4\]"),
    ],
)
def test_bad_names_and_options(name, options, message):
    with pytest.raises(TaskError, match=message):
        load_task(name, **options)


def test_splits_that_a_data_set_does_not_have():
    with pytest.raises(TaskError, match=r"the task 'math500' has no split 'train'.*it has test"):
        load_task("math500").load("train")


def test_offline_says_what_to_do(tmp_path):
    """A fresh process: the Hub's client reads its settings at import."""
    code = (
        "from thinklab.tasks import load_task\nfrom thinklab.errors import TaskError\n"
        "try: load_task('gsm8k').load('train')\nexcept TaskError as e: print(e)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("cannot load openai/gsm8k (train) from the Hugging Face Hub: "), done.stderr
    assert done.stdout.endswith("Pass task.path, a local file with the columns question, answer\n")


def test_your_own_file(write):
    rows = [
        {"question": "3/4 of 12?", "answer": 9},
        {"question": "Half?", "answer": "\\frac{1}{2}"},
        {"question": "Does ice float?", "answer": True},
        {"question": "Does iron float?", "answer": "No"},
        {"question": "Which is a metal?", "choices": ["tin", "wool"], "answer": "A"},
        {"question": "Which is soft?", "choices": ["tin", "wool"], "answer": "wool"},
        {"question": "Capital of France?", "answer": "Paris"},
    ]
    task = load_task(write("questions.jsonl", rows))
    right = ["A: 9", "\\boxed{0.5}", "Yes.", "The answer is no.", "The answer is A.", "\\boxed{wool}", "\\boxed{paris}"]
    wrong = ["A: 8", "\\boxed{0.6}", "No.", "Yes.", "The answer is B.", "\\boxed{tin}", "\\boxed{Lyon}"]
    examples = task.load("train")
    assert [task.verify(r, e) for r, e in zip(right, examples, strict=True)] == [True] * 7
    assert [task.verify(w, e) for w, e in zip(wrong, examples, strict=True)] == [False] * 7
    with pytest.raises(TaskError, match=r"one\.jsonl:1: column 'answer' must be one of the choices or a letter from A"):
        load_task(write("one.jsonl", [{**rows[4], "answer": "C"}])).load("train")


def test_tasks_of_other_packages(monkeypatch):
    def found(group):
        return [EntryPoint("mine", "tests_own_package:make", group), EntryPoint("broken", "no_such_module:task", group)]

    monkeypatch.setattr(thinklab.tasks, "entry_points", found)
    module = type(sys)("tests_own_package")
    module.make = lambda size=1: Task("mine", "", lambda split: [], lambda response, example: bool(size))
    monkeypatch.setitem(sys.modules, "tests_own_package", module)
    assert {"mine", "broken"} <= set(task_names())
    assert load_task("mine", size=0).verify("", None) is False
    with pytest.raises(TaskError, match=r"the task 'mine' has no option 'path'; it takes size"):
        load_task("mine", path="x")
    with pytest.raises(TaskError, match=r"the task 'broken' .* cannot be imported: ModuleNotFoundError"):
        load_task("broken")
    module.make = lambda: "no task"
    with pytest.raises(TaskError, match="returned str, which is not a Task"):
        load_task("mine")
