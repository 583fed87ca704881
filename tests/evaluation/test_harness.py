"""The export for an established harness, and that it scores the same student the same way."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import regex
import torch
from ruamel.yaml import YAML

from thinklab.config.experiment import StudentSection
from thinklab.config.load import load_config
from thinklab.errors import RunError
from thinklab.evaluation import harness
from thinklab.evaluation.plan import load_evaluation
from thinklab.experiment.baselines import train_baseline
from thinklab.experiment.build import build
from thinklab.experiment.trained_student import trained_student
from thinklab.students import load_student
from thinklab.tasks import load_task
from thinklab.tasks._math import final_answer

GRID = """
name: hx
student: embedded
rows: 16
max_prompt_tokens: 60
max_new_tokens: 40
benchmarks: {sums: {task: {name: sums, terms: [2, 4]}, questions: 24}, yes-no: {task: {name: own, path: %s}}}
methods: {zero-shot: {}}
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A student trained for two steps, exported with two benchmarks: (folder, run folder)."""
    folder = tmp_path_factory.mktemp("harness")
    (folder / "sft.yaml").write_text(
        "name: x\ntask: {name: sums, terms: [4]}\nbaseline: {kind: sft, batch: 8}\nprobe: {questions: 2}\n"
        "train: {steps: 2, questions: 8, samples: 2, learning_rate: 0.003, warmup_steps: 0, max_prompt_tokens: 60, "
        "max_completion_tokens: 48, threads: 1}\n"
    )
    train_baseline(build(load_config(folder / "sft.yaml"), folder / "run"))
    (folder / "own.jsonl").write_text(
        "".join(json.dumps({"question": f"Is {k} odd?", "answer": bool(k % 2)}) + "\n" for k in range(3))
    )
    (folder / "grid.yaml").write_text(GRID % json.dumps(str(folder / "own.jsonl")))
    harness.export_model(str(folder / "run"), folder / "export")
    harness.export_tasks(load_evaluation(folder / "grid.yaml"), folder / "export")
    return folder / "export", folder / "run"


def exported_student(folder):
    return load_student(StudentSection(kind="transformers", path=str(folder / "model"), lora=None))


def test_the_exported_model_is_the_trained_one_with_its_adapter_merged_in(exported):
    folder, run = exported
    plain, trained = exported_student(folder), trained_student(run).student
    ids = torch.tensor([trained.encode(load_task("sums").prompt(load_task("sums").load("test")[0]))])
    with torch.no_grad():
        merged, own, base = (s.model(input_ids=ids).logits for s in (plain, trained, load_student("embedded", lora=None)))
    assert torch.allclose(merged, own, atol=1e-4) and not torch.allclose(merged, base, atol=1e-2)
    assert not (folder / "model" / "adapter_config.json").exists()


def test_the_tasks_hold_the_very_questions_and_prompts(exported):
    folder, _ = exported
    config = json.loads((folder / "evaluation.json").read_text())
    assert list(config["benchmarks"]) == ["sums", "yes-no"]
    asked = json.loads((folder / "questions.json").read_text())
    docs = [json.loads(line) for line in (folder / "tasks" / "sums.jsonl").read_text().splitlines()]
    by_id = {e.id: e for e in load_task("sums").load("test")}
    assert [d["example_id"] for d in docs] == asked["sums"]["ids"] and len(docs) == 24
    for d in docs:
        example = by_id[d["example_id"]]
        assert (d["prompt"], d["gold"]) == (load_task("sums").prompt(example)[0]["content"], example.gold)
    task = YAML(typ="safe").load((folder / "tasks" / "thinklab_yes_no.yaml").read_text())
    assert task["task"] == "thinklab_yes_no" and task["generation_kwargs"]["max_gen_toks"] == 40


@pytest.mark.parametrize(
    "text",
    [
        "So \\boxed{18}.",
        "\\boxed{1} no, \\boxed{ 2 }",
        "\\boxed{\\frac{1}{\\sqrt{2}}}",
        "\\boxed{\\text{B}}",
        "none",
        "\\boxed{3",
        "\\boxed{3} and \\boxed{4",
    ],
)
def test_the_harness_reads_the_same_box_as_we_do(text):
    found = regex.findall(harness.LAST_BOX, text)
    assert (found[-1] if found else None) == (final_answer(text).strip() if final_answer(text) else None)


def log(folder, texts, scores):
    target = folder / "results" / "model"
    target.mkdir(parents=True)
    docs = [json.loads(line) for line in (folder / "tasks" / "sums.jsonl").read_text().splitlines()][: len(texts)]
    (target / "samples_thinklab_sums_1.jsonl").write_text(
        "".join(
            json.dumps({"doc": d, "resps": [[t]], "exact_match": s}) + "\n" for d, t, s in zip(docs, texts, scores, strict=True)
        )
    )
    return docs


def test_the_check_finds_what_differs(exported, tmp_path):
    import shutil

    folder = tmp_path / "export"
    shutil.copytree(exported[0], folder)
    with pytest.raises(RunError, match="contains no samples"):
        harness.check(folder)
    student = exported_student(folder)
    task, by_id = load_task("sums"), {e.id: e for e in load_task("sums").load("test")}
    docs = [json.loads(line) for line in (folder / "tasks" / "sums.jsonl").read_text().splitlines()][:6]
    texts = student.answer([task.prompt(by_id[d["example_id"]]) for d in docs], 1, 40, temperature=0.0)
    right = [task.verify(t, by_id[d["example_id"]]) for t, d in zip(texts, docs, strict=True)]
    log(folder, [*texts[:5], texts[5] + " What?"], [float(r) for r in right[:4]] + [1.0 - right[4], float(right[5])])
    (found,) = harness.check(folder)
    assert (found.items, found.same_text, found.same_grade) == (6, 5, 5) and len(found.differing) == 2
    assert found.ours == sum(right) / 6
    with pytest.raises(RunError, match="contains no export"):
        harness.check(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval: pip install 'thinklab[harness]'")
def test_lm_evaluation_harness_agrees_on_every_item(exported):
    folder, _ = exported
    line = harness.command(folder, ["thinklab_sums", "thinklab_yes_no"]).split()
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "lm_eval", *line[1:]], check=True, capture_output=True, env=offline)
    found = harness.check(folder)
    assert [(a.task, a.items) for a in found] == [("thinklab_sums", 24), ("thinklab_yes_no", 3)]
    for agreement in found:
        assert agreement.same_text == agreement.same_grade == agreement.items, agreement.differing
