"""Ids that clash, names that would leave the folder, NaN, huge numbers and endless names: words and not tracebacks."""

from __future__ import annotations

import json
import math

import pytest

from tests.support.warm_start import start
from thinklab.behavior.behavior import load_behavior
from thinklab.config import experiment
from thinklab.config.load import load_config
from thinklab.config.names import LONGEST_NAME, folder_name
from thinklab.errors import ConfigError, StudentError, TaskError, ThinklabError
from thinklab.evaluation.plan import load_evaluation
from thinklab.experiment.questions import split
from thinklab.guide.answers_file import read_answers
from thinklab.interop.strict_json import loads
from thinklab.lab.settings import experiment as lab_experiment
from thinklab.run.folder import RunFolder
from thinklab.students.hf import load
from thinklab.studies.study import load_study
from thinklab.tasks import Task, load_task
from thinklab.tasks._ids import by_id
from thinklab.teachers.options import RemoteOptions
from thinklab.types import Example

LONG, DIGITS = "x" * 5000, "9" * 5000


def task(*examples: Example, test: tuple[Example, ...] = ()) -> Task:
    return Task("mine", "", lambda split: list(test if split == "test" and test else examples), lambda r, e: e.gold in r)


# --- ids -----------------------------------------------------------------------------------------------------------


def test_two_questions_with_one_id_are_refused_with_both_places():
    same = (Example("q", "1+1?", "2"), Example("p", "2+2?", "4"), Example("q", "3+3?", "6"))
    message = r"two questions with the id 'q': question 1 of 'train' \('1\+1\?'\) and question 3 of 'train' \('3\+3\?'\); give"
    with pytest.raises(TaskError, match=message):
        split(task(*same))
    with pytest.raises(TaskError, match=r"question 1 of 'test' .* question 3 of 'test'"):
        by_id(task(*same), "test")
    with pytest.raises(TaskError, match=r"question 1 of 'train' .* and question 1 of 'test'"):
        split(task(same[0], same[1], test=(same[2],)))
    with pytest.raises(TaskError, match="question 2 of 'train': its id must be a non-empty text"):
        split(task(same[0], Example(7, "2+2?", "4")))


def test_one_question_may_stand_in_both_splits():
    questions = tuple(Example(str(k), f"{k}+1?", str(k + 1)) for k in range(20))
    data = split(task(*questions))
    assert len(data.train) == 18 and len(data.held_out) == 2
    assert list(by_id(task(*questions, questions[0]), "train")) == [e.id for e in questions]


def test_files_of_one_name_in_two_folders_get_ids_of_their_own(tmp_path):
    for name, row in (("train", {"question": "1+1?", "answer": 2}), ("test", {"question": "2+2?", "answer": 4})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.jsonl").write_text(json.dumps(row))
    files = {name: tmp_path / name / "data.jsonl" for name in ("train", "test")}
    folders = {name: tmp_path / name for name in files}
    for mine in (load_task("own", path=files), load_task("own", path=folders, split="data")):
        found = split(mine)
        assert (found.train[0].id, found.held_out[0].id) == ("own-train-data-0", "own-test-data-0")
    one = load_task("own", path={"train": files["train"], "test": files["train"]})
    assert one.load("train")[0].id == one.load("test")[0].id == "own-data-0"


def test_a_guide_file_with_two_questions_under_one_id(tmp_path):
    file = tmp_path / "a.jsonl"
    rows = [{"id": "7", "question": "1+1?", "response": "2"}, {"id": "7", "question": "1+1?", "response": "3"}]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert len(read_answers(file)) == 2  # two answers to one question
    file.write_text("\n".join(map(json.dumps, [*rows, {**rows[0], "question": "2+2?"}])))
    with pytest.raises(ConfigError, match=r"a\.jsonl:3: line 1 has another question with the id '7'"):
        read_answers(file)


# --- names that become folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/x",
        "a/b",
        "..",
        ".",
        ".hidden",
        "a\\b",
        "C:x",
        "x\ny",
        "x\0",
        "",
        " ",
        "a/../b",
        "nul",
        "CON.txt",
        "x.",
        "x ",
        "~root",
        "-rf",
        LONG,
        "ü" * 150,
    ],
)
def test_a_name_that_is_no_folder(name):
    with pytest.raises(ValueError, match="becomes a folder"):
        folder_name(name)


@pytest.mark.parametrize("name", ["demo-self-check", "b.group", "étude 2", "gamma=0.25", "v1+2", "x" * LONGEST_NAME, "console"])
def test_a_name_that_is_one(name):
    assert folder_name(name) == name


STUDY = "name: {name}\nbases: {{{base}: a.yaml}}\nseeds: [0]\narms: {{{arm}: {{}}}}\n"
EVAL = "name: {name}\nbenchmarks:\n  {bench}: {{task: sums}}\nmethods:\n  {method}: {{}}\n"


@pytest.mark.parametrize("bad", ["../../x", "x" * 101])
def test_no_config_can_write_elsewhere(tmp_path, bad):
    file = tmp_path / "a.yaml"
    file.write_text(f"name: {bad}\nloss: {{method: grpo}}\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:1:1: name: .* becomes a folder"):
        load_config(file)
    file.write_text("loss: {method: grpo}\n")
    with pytest.raises(ConfigError, match=r"override .*: name: .* becomes a folder"):
        load_config(file, [f"name={bad}"])
    with pytest.raises(ConfigError, match="becomes a folder"):
        lab_experiment({"name": bad, "loss": {"method": "grpo"}}, [], None, {}, None)
    good = {"name": "x", "base": "x", "arm": "x", "bench": "x", "method": "x"}
    for key in ("name", "base", "arm"):
        (tmp_path / "s.yaml").write_text(STUDY.format(**{**good, key: bad}))
        with pytest.raises(ConfigError, match=r"s\.yaml:1:1: .*becomes a folder"):
            load_study(tmp_path / "s.yaml")
    for key in ("name", "bench", "method"):
        (tmp_path / "e.yaml").write_text(EVAL.format(**{**good, key: bad}))
        with pytest.raises(ConfigError, match=r"e\.yaml:1:1: .*becomes a folder"):
            load_evaluation(tmp_path / "e.yaml")


# --- NaN, infinity, endless numbers and names ----------------------------------------------------------------------

FLOATS = [
    "train.learning_rate",
    "train.weight_decay",
    "train.temperature",
    "train.max_grad_norm",
    "loss.c_max",
    "loss.a_max",
    "loss.beta",
    "loss.floor",
    "reward.correct",
    "guidance.gamma",
    "guidance.schedule.end",
    "guards.kl",
    "guards.lower_to",
    "student.lora.alpha",
    "teacher.wrong_share",
    "task.short_share",
    "reward.bonus.self-check",
    "train.betas",
]


@pytest.mark.parametrize("key", FLOATS)
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "NaN", "inf", "1e999"])
def test_no_setting_takes_a_number_that_is_not_finite(tmp_path, key, value):
    file = tmp_path / "a.yaml"
    file.write_text("loss: {method: grpo}\n")
    if key in ("teacher.wrong_share", "task.short_share") and value in ("NaN", "inf"):  # a text, which the part refuses
        value = ".nan"
    with pytest.raises(ConfigError) as error:
        load_config(file, [f"{key}=[{value}, 0.9]" if key == "train.betas" else f"{key}={value}"])
    assert key.rpartition(".")[2] in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        f"steps={DIGITS}",
        f"learning_rate={DIGITS}",
        f"name={LONG}",
        f"{LONG}=1",
        f"profile={LONG}",
        f"behaviors=[{LONG}]",
        f"behaviors=[./{LONG}.yaml]",
        f"seed=-{DIGITS}",
        f"gamma={DIGITS}",
    ],
)
def test_overrides_of_any_length_get_words(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text("loss: {method: grpo}\n")
    with pytest.raises(ConfigError):
        load_config(file, [text])


def test_yaml_numbers_of_any_length_get_words(tmp_path):
    file = tmp_path / "a.yaml"
    for text in (f"train: {{steps: {DIGITS}}}", f"train: {{learning_rate: {DIGITS}.5}}", "train: {learning_rate: 1e999}"):
        file.write_text(f"loss: {{method: grpo}}\n{text}\n")
        with pytest.raises(ConfigError, match=r"a\.yaml:2:\d+: .* is too large for a number"):
            load_config(file)
    for value in (float("nan"), int("9" * 4000) ** 2):
        with pytest.raises(ConfigError):
            lab_experiment({"loss": {"method": "grpo"}}, [], None, {"learning_rate": value}, None)
    with pytest.raises(ValueError, match="finite"):
        RemoteOptions(timeout_s=math.inf)
    with pytest.raises(ValueError, match="finite"):
        experiment.TrainSection(learning_rate=math.nan)


ROWS = [
    ("NaN", r"q\.jsonl:1:32: not JSON: NaN is not a number"),
    ("-Infinity", r":1:32: not JSON: -Infinity"),
    ("1e999", r":1:32: not JSON: 1e999 is too large"),
    (DIGITS, r":1:32: not JSON: a number of 5,000 digits"),
    ("[" * 100_000, r":1:1: not JSON: nested too deeply"),
]


@pytest.mark.parametrize(("value", "message"), ROWS, ids=[r[0][:9] for r in ROWS])
def test_rows_with_numbers_that_are_none(tmp_path, value, message):
    file = tmp_path / "q.jsonl"
    file.write_text(f'{{"question": "1+1?", "answer": {value}}}\n')
    with pytest.raises(TaskError, match=message):
        load_task("own", path=file).load("train")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_answers(file)


def test_rows_of_a_table_with_empty_cells(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    file = tmp_path / "q.parquet"
    for value, word in ((float("nan"), "nan"), (float("inf"), "inf")):
        rows = [{"question": "?", "answer": 1.0}, {"question": "?", "answer": value}]
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file)
        with pytest.raises(TaskError, match=rf"row 2: column 'answer' is {word}, which is not a number"):
            load_task("own", path=file).load("train")
    (tmp_path / "g.jsonl").write_text('{"question": "1+1?", "answer": "so #### NaN"}')
    with pytest.raises(TaskError, match="with a number, not NaN"):
        load_task("gsm8k", path=tmp_path / "g.jsonl").load("train")


@pytest.mark.parametrize(
    "options",
    [
        {"terms": 5},
        {"terms": ["2"]},
        {"terms": [float("nan")]},
        {"terms": [True]},
        {"short_share": float("nan")},
        {"short_share": "half"},
        {"short_share": 2},
    ],
)
def test_options_of_the_sums(options):
    with pytest.raises(TaskError, match="the task 'sums' takes"):
        load_task("sums", **options)


def test_long_names_everywhere(tmp_path):
    for call in (
        lambda: load_task(LONG),
        lambda: load_task("own", path=f"{LONG}.jsonl").load("train"),
        lambda: load_behavior(LONG),
        lambda: load_behavior(f"./{LONG}.yaml"),
        lambda: RunFolder.open(tmp_path / LONG),
        lambda: RunFolder.create(tmp_path / LONG, {}, {}),
        lambda: lab_experiment(LONG, [], None, {}, None),
        lambda: load_config(tmp_path / LONG),
        lambda: read_answers(tmp_path / LONG),
    ):
        with pytest.raises(ThinklabError):
            call()
    with pytest.raises(StudentError):
        load(experiment.StudentSection(kind="transformers", path=LONG), 0)


def test_a_verifier_takes_numbers_of_any_length():
    for gold in ("18", DIGITS):
        for name, example in (("gsm8k", Example("x", "?", gold)), ("sums", Example("x", "?", gold))):
            for response in (f"\\boxed{{{DIGITS}}}", f"#### {DIGITS}", f"A: {DIGITS}", f"\\boxed{{1e{DIGITS}}}", "\\boxed{NaN}"):
                assert load_task(name).verify(response, example) in (True, False)
    assert load_task("gsm8k").verify("\\boxed{nan}", Example("x", "?", "nan")) in (True, False)


def test_strict_json_takes_what_is_json():
    assert loads('{"a": [1, -2.5e3, null, true, "NaN 1e999"]}') == {"a": [1, -2500.0, None, True, "NaN 1e999"]}
    with pytest.raises(json.JSONDecodeError) as error:
        loads('{"a": "NaN",\n "b": NaN}')
    assert (error.value.lineno, error.value.colno) == (2, 7)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "a.yaml", f"name={LONG}"],
        ["train", f"{LONG}.yaml"],
        ["probe", LONG],
        ["report", LONG],
        ["train", "a.yaml", f"steps={DIGITS}"],
        ["behaviors", "show", LONG],
        ["eval", f"{LONG}.yaml"],
        ["train", "a.yaml", "name=../../x"],
        ["behaviors", "new", "../../x"],
    ],
    ids=lambda w: " ".join(w)[:30],
)
def test_the_command_line_says_it_in_a_line(tmp_path, words):
    (tmp_path / "a.yaml").write_text("loss: {method: grpo}\n")
    process = start(*words, cwd=tmp_path)
    said = "".join(process.communicate(timeout=120))
    assert process.returncode in (1, 2) and "Traceback" not in said and said.strip()
    assert max(map(len, said.splitlines())) < 700
    assert [p.name for p in tmp_path.iterdir()] == ["a.yaml"]
