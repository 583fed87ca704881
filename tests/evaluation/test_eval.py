"""``thinklab eval``: what is asked, what is written down, that a killed one goes on, and what the page says."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.conftest import ROOT
from tests.support.warm_start import start
from thinklab.errors import ConfigError, RunError, TaskError
from thinklab.evaluation.grid import evaluate
from thinklab.evaluation.page import write_results
from thinklab.evaluation.plan import load_evaluation
from thinklab.evaluation.questions import all_seen, draw_questions
from thinklab.evaluation.results import collect
from thinklab.evaluation.students import training_runs
from thinklab.run.chunks import whole_chunks
from thinklab.run.folder import RunFolder
from thinklab.students import load_student
from thinklab.tasks import load_task
from tools.aime_power import runs_needed

MINI = """
name: mini
student: embedded
runs: 2
rows: 4
max_prompt_tokens: 60
max_new_tokens: 32
threads: 1
behaviors: [self-check, self-critique]
benchmarks:
  sums: {task: {name: sums, terms: [2]}, questions: 10}
  long: {task: {name: sums, terms: [4]}, questions: 3, runs: 1}
methods:
  zero-shot: {}
  s1: {solver: {name: s1, budget: 30, waits: null, answer_tokens: 8, wait: " I check:", end: " So \\\\boxed{"}}
"""


def write(folder, text=MINI):
    file = folder / "eval.yaml"
    file.write_text(text)
    return file


def without_clocks(run):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.read("answers")]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished evaluation: (config, file, folder)."""
    folder = tmp_path_factory.mktemp("eval")
    file = write(folder)
    config = load_evaluation(file)
    evaluate(config, file, folder / "out")
    return config, file, folder / "out"


def test_every_cell_has_every_question_once_a_run_and_is_graded_by_the_task(done):
    config, _, out = done
    student, questions = load_student("embedded", lora=None), RunFolder(out).read_json("questions.json")
    for method, benchmark in config.cells():
        task = load_task("sums", terms=[2] if benchmark == "sums" else [4])
        by_id = {e.id: e for e in task.load("test")}
        lines = list(RunFolder(out / method / benchmark).read("answers"))
        wanted = [(r, q) for r in range(config.runs_of(benchmark)) for q in questions[benchmark]["ids"]]
        assert [(x["run"], x["example_id"]) for x in lines] == wanted
        for x in lines:
            assert x["correct"] == task.verify(x["response"], by_id[x["example_id"]])
            assert x["tokens"] == x["sampled"] + x["inserted"] == sum(t["tokens"] for t in x["turns"])
            assert x["response"] == [t["text"] for t in x["turns"] if t["kind"] == "answer"][-1]
            assert x["read"] >= len(student.encode(task.prompt(by_id[x["example_id"]])))
            assert x["correct_at"]["32"] == x["correct"] or x["tokens"] > 32
        first, second = ([x["response"] for x in lines if x["run"] == r] for r in (0, min(1, config.runs_of(benchmark) - 1)))
        assert (first != second) == (config.runs_of(benchmark) > 1), "every run draws anew"
    assert [x["response"] for x in RunFolder(out / "zero-shot/sums").read("answers")][:4] == student.answer(
        [load_task("sums", terms=[2]).prompt(by) for by in _first(questions, 4)], 1, 32, seed=_seed(0, 0)
    )


def _first(questions, n):
    by_id = {e.id: e for e in load_task("sums", terms=[2]).load("test")}
    return [by_id[q] for q in questions["sums"]["ids"][:n]]


def _seed(run, place):
    from thinklab.run.chunks import seed_of

    return seed_of("eval", 0, "sums", run, place) * 1009


def test_killed_it_goes_on_and_ends_with_the_same_answers(done, tmp_path):
    config, file, out = done
    process = start("eval", file, "--out", tmp_path / "out", "--quiet", OMP_NUM_THREADS=1)
    answers, deadline = tmp_path / "out" / "zero-shot" / "sums" / "answers.jsonl", time.time() + 300
    while not (answers.exists() and answers.read_bytes().count(b"\n") >= 4):
        assert process.poll() is None and time.time() < deadline, "it ended before it could be killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with open(answers, "ab") as tail:  # what a power cut may leave: half a chunk, half a line
        tail.write(json.dumps({"chunk": [9, 9], "of": 2, "run": 9}).encode() + b"\n" + b'{"chunk": [9')
    evaluate(config, file, tmp_path / "out")
    for method, benchmark in config.cells():
        mine, whole = (RunFolder(folder / method / benchmark) for folder in (tmp_path / "out", out))
        assert without_clocks(mine) == without_clocks(whole)


def test_nothing_is_asked_twice_and_more_runs_only_add(done, tmp_path, monkeypatch):
    import shutil

    from thinklab.evaluation import grid as module

    _, _, out = done
    shutil.copytree(out, tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("answers.jsonl")}
    file = write(tmp_path, MINI.replace("runs: 2", "runs: 3", 1))
    config = load_evaluation(file)
    calls, plain = [], module.answer_line
    monkeypatch.setattr(module, "answer_line", lambda *a: calls.append(a) or plain(*a))
    evaluate(config, file, tmp_path / "out")
    assert len(calls) == 2 * 10, "the third run of the one benchmark that has no number of its own"
    assert all(p.read_bytes().startswith(data) for p, data in before.items())


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("max_new_tokens: 32", "max_new_tokens: 33", "max_new_tokens"),
        ("rows: 4", "rows: 5", "rows"),
        ("budget: 30", "budget: 31", "solver"),
        ("terms: [4]", "terms: [2]", "task"),
    ],
)
def test_answers_made_with_something_else_are_not_mixed_in(done, tmp_path, old, new, named):
    _, _, out = done
    file = write(tmp_path, MINI.replace(old, new, 1))
    with pytest.raises(RunError, match=f"another .*'{named}'"):
        evaluate(load_evaluation(file), file, out)


def test_the_page_the_table_and_the_figures_agree_with_the_answers(done, tmp_path):
    config, file, out = done
    results = collect(config, out)
    table, page = write_results(results, out, all_seen(config, file, out))
    found = json.loads((out / "results.json").read_text())
    for cell in found["cells"]:
        lines = list(RunFolder(out / cell["method"] / cell["benchmark"]).read("answers"))
        assert cell["correct"] == sum(x["correct"] for x in lines) and cell["answers"] == len(lines)
        assert cell["accuracy"] == pytest.approx(cell["correct"] / cell["answers"])
        assert cell["mean_tokens"] == pytest.approx(sum(x["tokens"] for x in lines) / len(lines))
        shown = cell["behaviors"]["self-check"]["count"]
        from thinklab.behavior.behavior import load_behavior

        detect = load_behavior("self-check").detect
        assert shown == sum(bool(detect("\n\n".join(t["text"] for t in x["turns"]))) for x in lines)
    assert any(c["behaviors"]["self-check"]["count"] for c in found["cells"] if c["method"] == "s1"), "forced to check, some do"
    text = page.read_text()
    for said in (
        "The table",
        "Against zero-shot",
        "Response length",
        "Do longer answers help?",
        "Inference scaling",
        "Which behaviors appear?",
        "Questions and decoding",
        "Every answer",
        "self-critique",
    ):
        assert said in text
    assert "zero-shot" in table.read_text() and (out / "table.csv").read_text().count("\n") == 1 + 4
    assert "http" not in text.split("<body>")[1].split("__")[0].split("<script")[0], "no network"


def test_a_half_filled_grid_says_what_is_missing_and_counts_whole_runs_only(done, tmp_path):
    import shutil

    config, file, out = done
    shutil.copytree(out, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "s1" / "long")
    answers = tmp_path / "out" / "zero-shot" / "sums" / "answers.jsonl"
    lines = answers.read_bytes().splitlines(keepends=True)
    answers.write_bytes(b"".join(lines[:17]))  # the second run breaks off in its third chunk
    results = collect(config, tmp_path / "out")
    assert results.missing == ("s1/long",) and results.average("s1") is None
    cell = results.cells["zero-shot", "sums"]
    assert (cell.runs, cell.wanted_runs, len(cell.lines)) == (1, 2, 10)
    table, page = write_results(results, tmp_path / "out")
    assert "Not run yet: s1/long" in table.read_text() and "1 of 2 runs" in page.read_text()
    evaluate(config, file, tmp_path / "out")
    again = collect(config, tmp_path / "out")
    assert not again.missing and again.cells["zero-shot", "sums"].lines == tuple(
        {**x, "seconds": y["seconds"]}
        for x, y in zip(
            collect(config, out).cells["zero-shot", "sums"].lines, again.cells["zero-shot", "sums"].lines, strict=True
        )
    )


@pytest.mark.slow
def test_a_method_can_be_trained_first_and_is_trained_once(tmp_path):
    (tmp_path / "sft.yaml").write_text(
        "name: sft\ntask: {name: sums, terms: [4]}\nbaseline: {kind: sft, batch: 8, epochs: 3}\nprobe: {questions: 2}\n"
        "train: {steps: 4, questions: 6, samples: 4, max_prompt_tokens: 60, max_completion_tokens: 32, warmup_steps: 0}\n"
    )
    own = tmp_path / "own.jsonl"
    trained_on = load_task("sums", terms=[4]).load("train")[:3]
    own.write_text("".join(json.dumps({"question": e.question, "answer": e.gold}) + "\n" for e in trained_on))
    file = write(
        tmp_path,
        f"""
name: trained
threads: 1
max_new_tokens: 24
benchmarks:
  sums: {{task: {{name: sums, terms: [4]}}, questions: 6}}
  own: {{task: {{name: own, path: {json.dumps(str(own))}}}}}
methods:
  zero-shot: {{}}
  sft: {{train: sft.yaml, set: {{train.learning_rate: 0.002}}, train_seeds: [1]}}
behaviors: [self-check]
""",
    )
    config, said = load_evaluation(file), []
    evaluate(config, file, tmp_path / "out", say=said.append)
    run = RunFolder(tmp_path / "out" / "train" / "sft" / "seed-1")
    assert run.resolved()["config"]["train"]["learning_rate"] == 0.002 and run.last_checkpoint()[1] == 9
    assert [s.split(",")[0] for s in said] == ["training sft", "trained sft"]
    evaluate(config, file, tmp_path / "out", say=said.append)
    assert len(said) == 2
    one, two = (list(RunFolder(tmp_path / "out" / m / "sums").read("answers")) for m in ("zero-shot", "sft"))
    assert [x["example_id"] for x in one] == [x["example_id"] for x in two]
    assert [x["response"] for x in one] != [x["response"] for x in two], "the trained student answered"
    assert all_seen(config, file, tmp_path / "out") == {"sft": {"sums": 0, "own": 3}}
    _, page = write_results(collect(config, tmp_path / "out"), tmp_path / "out", all_seen(config, file, tmp_path / "out"))
    assert "Warning: sft was trained on questions of this evaluation: 3 of own" in page.read_text()


def test_questions_that_are_too_long_are_left_out_for_all_and_counted(tmp_path):
    file = write(tmp_path, MINI.replace("max_prompt_tokens: 60", "max_prompt_tokens: 15"))
    config = load_evaluation(file)
    student, task = load_student("embedded", lora=None), load_task("sums", terms=[2])
    asked = draw_questions(config, tmp_path, ["sums"])["sums"]
    sizes = [len(student.encode(task.prompt(e))) for e in task.load("test")]
    assert asked.too_long == sum(n > 15 for n in sizes) > 0 and asked.available == len(sizes) == 2000
    assert all(len(student.encode(task.prompt(e))) <= 15 for e in asked.examples) and len(asked.examples) == 10
    assert draw_questions(config, tmp_path, ["sums"])["sums"].examples == asked.examples, "the same draw again"
    with pytest.raises(TaskError, match="none of the 2000 prompts has at most 3 tokens"):
        draw_questions(
            load_evaluation(write(tmp_path, MINI.replace("max_prompt_tokens: 60", "max_prompt_tokens: 3"))), tmp_path, ["sums"]
        )


def test_runs_of_aime_and_of_greedy_decoding(tmp_path):
    text = MINI.replace("  sums: {", "  aime: {task: aime}\n  more: {task: aime, runs: 3}\n  sums: {", 1)
    config = load_evaluation(write(tmp_path, text))
    assert [config.runs_of(b) for b in ("aime", "more", "sums", "long")] == [16, 3, 2, 1]
    assert load_evaluation(write(tmp_path, text.replace("runs: 2", "runs: 20", 1))).runs_of("aime") == 20
    assert load_evaluation(write(tmp_path, text + "temperature: 0\n")).runs_of("aime") == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zero-shot: {}", "zero-shot: {solver: zeroshot}", "did you mean 'zero_shot'"),
        ("zero-shot: {}", "zero-shot: {run: a, train: b.yaml}", "specify different students"),
        ("zero-shot: {}", "zero-shot: {set: {a: 1}}", "needs 'train'"),
        ("zero-shot: {}", "train: {}", "becomes a folder"),
        ("name: mini", "name: mini\nreference: zero", "did you mean 'zero-shot'"),
        ("runs: 2", "runs: 0", "runs"),
        ("rows: 4", "row: 4", "unknown key 'row'"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_place(tmp_path, old, new, said):
    with pytest.raises(ConfigError, match=said) as error:
        load_evaluation(write(tmp_path, MINI.replace(old, new, 1)))
    assert "eval.yaml:" in str(error.value)


def test_an_unknown_cell_and_a_missing_run_are_named(tmp_path):
    file = write(tmp_path, MINI.replace("zero-shot: {}", "zero-shot: {}\n  mine: {run: no/such/run}"))
    with pytest.raises(ConfigError, match="no cell of 'mini' matches 'x'"):
        evaluate(load_evaluation(file), file, tmp_path / "out", only="x")
    with pytest.raises(RunError, match="no/such/run is not a run folder"):
        evaluate(load_evaluation(file), file, tmp_path / "out", only="mine/*")


def test_questions_that_are_missing_are_noticed_before_anything_is_trained(tmp_path):
    (tmp_path / "sft.yaml").write_text("name: sft\ntask: sums\nbaseline: {kind: sft}\n")
    file = write(
        tmp_path, "name: x\nbenchmarks: {gsm8k: {task: {name: gsm8k, path: no/such.jsonl}}}\nmethods: {sft: {train: sft.yaml}}\n"
    )
    said = []
    with pytest.raises(TaskError, match=r"no/such\.jsonl: no such file"):
        evaluate(load_evaluation(file), file, tmp_path / "out", say=said.append)
    assert not said and not (tmp_path / "out" / "train").exists()


def test_shipped_evaluations_are_valid():
    files = list((ROOT / "examples").glob("*/*.yaml"))
    grids = [f for f in files if "benchmarks:" in f.read_text()]
    assert grids
    for file in grids:
        config = load_evaluation(file)
        for method in config.methods:
            for run in training_runs(config, file, file.parent / "nowhere", method):
                run.config()


def test_whole_chunks_can_be_read_while_they_are_written(tmp_path):
    run = RunFolder(tmp_path)
    run.append("answers", [{"chunk": [0, 0], "of": 1}, {"chunk": [0, 4], "of": 2}])
    assert list(whole_chunks(run, "answers", repair=False)) == [(0, 0)] and len(list(run.read("answers"))) == 2


def test_the_paper_s_run_has_the_authors_figures(tmp_path):
    """Against the authors' script; a figure that is changed by accident should be noticed."""
    from thinklab.config.load import load_config

    full, lora = (load_config(ROOT / "examples" / "paper" / f"{name}.yaml") for name in ("full", "lora"))
    for c in (full, lora):
        t = c.train
        assert (t.questions, t.samples, t.micro_batch, t.iterations) == (128, 5, 8, 1)
        assert t.questions * t.samples // t.minibatches == 160
        assert t.steps // t.minibatches == 7473 // 128 == 58 and c.guidance.schedule.off_at // t.minibatches == 8
        assert (t.max_prompt_tokens, t.max_completion_tokens, c.guidance.max_tokens) == (512, 1024, 512)
        assert (t.warmup_steps, t.decay, t.betas, t.max_grad_norm, t.temperature) == (0, "constant", (0.9, 0.999), 1.0, 1.0)
        assert (c.loss.c_max / c.loss.a_max, c.loss.floor, c.loss.epsilon, c.loss.beta) == (0.00025, 0.01, 0.2, 0.0)
        assert c.reward.bonus == {"cognitive-mix": 0.0} and c.guidance.gamma == 1
    assert full.train.learning_rate == 1e-6 and full.train.weight_decay == 0.01 and full.student.lora is None
    assert full.student.dtype == "float32" and full.train.autocast
    table = load_evaluation(ROOT / "examples" / "paper" / "table.yaml")
    assert [b.task.name for b in table.benchmarks.values()] == [
        "gsm8k",
        "math500",
        "aime",
        "commonsense_qa",
        "arc_challenge",
        "gpqa_diamond",
        "strategyqa",
        "mmlu_pro",
    ]
    assert table.runs_of("aime") == 27 >= runs_needed(90) and table.benchmarks["aime"].task.options == {"years": "2022-2024"}
    assert len(table.methods) == 8 + 2 and {"ratio", "sft-guided"} <= set(table.methods)
    trained = {name: m for name, m in table.methods.items() if m.train is not None}
    assert len(trained) == 6 and all(len(set(m.train_seeds)) == 3 for m in trained.values())
    assert all(table.runs_of(b) % 3 == 0 for b in table.benchmarks), "each training seed answers equally often"
    runs = {name: training_runs(table, ROOT / "examples" / "paper" / "table.yaml", tmp_path, name) for name in trained}
    seeds = {name: [run.config().train.seed for run in found] for name, found in runs.items()}
    assert set(map(tuple, seeds.values())) == {(1, 2, 3)}
    assert runs["ratio"][0].config().loss.method == "ratio" and runs["sft-guided"][0].config().imitates_guided


def test_full_fine_tuning_computes_in_16_bit_over_32_bit_weights(monkeypatch):
    import torch

    from thinklab.config.load import load_config
    from thinklab.experiment.trl_arguments import precision

    full = load_config(ROOT / "examples" / "paper" / "full.yaml")
    assert precision(full) == {"bf16": False, "fp16": False}, "on a CPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert precision(full) == {"bf16": True, "fp16": False}
    plain = full.model_copy(update={"train": full.train.model_copy(update={"autocast": False})})
    assert precision(plain) == {"bf16": False, "fp16": False}
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert precision(full) == {"bf16": False, "fp16": True}, "on a T4"
