"""Ctrl-C and SIGTERM: what is at work is finished and saved, and how to continue is said. Real signals, really sent."""

from __future__ import annotations

import os
import shlex
import signal
import time

import pytest
from safetensors.torch import load_file

from tests.support.run_cases import CONFIG, SLOW_RULES, lines, wait_until
from tests.support.warm_start import run_to_end, start
from thinklab.run.folder import RunFolder

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
LONG = CONFIG.replace("steps: 4", "steps: 12").replace("checkpoint_every: 2", "checkpoint_every: 50")
FOUR = ("train.iterations=2", "train.minibatches=2", "train.checkpoint_every=48")
PER_STEP = ("rollouts", "metrics")


def write(folder, text=LONG, **replaced):
    for old, new in replaced.items():
        text = text.replace(old, new)
    (folder / "c.yaml").write_text(text)
    return folder / "c.yaml"


def finish(said):
    """Give the command that an interrupted process named."""
    command = shlex.split(next(line for line in said.splitlines() if line.startswith("stopped")).split("Continue with: ")[1])
    assert command[0] == "thinklab"
    run_to_end(*command[1:])


def weights(run):
    return load_file(RunFolder(run).last_checkpoint()[0] / "adapter_model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, more", [(signal.SIGINT, ()), (signal.SIGTERM, FOUR)], ids=["Ctrl-C", "SIGTERM within a generation of four steps"]
)
def test_a_signal_ends_the_generation_saves_and_says_how_to_go_on(tmp_path, number, more):
    config, run = write(tmp_path), tmp_path / "run"
    process = start("train", config, "--out", run, "--quiet", *more, fresh=True)
    wait_until(lambda: lines(run / "metrics.jsonl") >= 5, process)
    process.send_signal(number)
    time.sleep(0.01)
    os.killpg(process.pid, number)  # as `timeout` does: one signal, sent to the process and to its group
    _, said = process.communicate(timeout=60)
    step = RunFolder(run).last_checkpoint()[1]
    assert process.returncode == CODES[number], said
    assert 5 <= step < 12 and step == lines(run / "metrics.jsonl") and (not more or step % 4 == 0)
    assert f"{number.name}: finishing and saving the current generation" in said and "Traceback" not in said
    assert f"stopped at step {step} of 12, which is saved. Continue with: thinklab train --resume {run}" in said
    finish(said)
    run_to_end("train", config, "--out", tmp_path / "whole", "--quiet", *more)
    mine, theirs = weights(run), weights(tmp_path / "whole")
    assert mine.keys() == theirs.keys() and all((mine[k] == theirs[k]).all() for k in theirs)
    assert [[line["step"] for line in RunFolder(run).read(n)] for n in PER_STEP] == [
        [line["step"] for line in RunFolder(tmp_path / "whole").read(n)] for n in PER_STEP
    ]
    assert (run / "probe_samples.jsonl").read_bytes() == (tmp_path / "whole" / "probe_samples.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "first, second", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]
)
def test_a_second_signal_ends_at_once(tmp_path, first, second):
    (tmp_path / "slowrules.py").write_text(SLOW_RULES)
    config, run, asked = write(tmp_path, **{"sums-check": "slowrules:slow"}), tmp_path / "run", tmp_path / "asked"
    process = start("train", config, "--out", run, "--quiet", PYTHONPATH=tmp_path, ASKED=asked)
    wait_until(asked.exists, process)
    process.send_signal(first)
    assert first.name in process.stderr.readline() + process.stderr.readline()
    time.sleep(0.5)
    assert process.poll() is None  # it waits for the teacher, who needs two minutes
    begin = time.monotonic()
    process.send_signal(second)
    process.communicate(timeout=60)
    assert process.returncode == CODES[second] and time.monotonic() - begin < 5


@pytest.mark.slow
def test_before_the_first_step_there_is_nothing_to_save_and_that_is_said(tmp_path):
    config, run = write(tmp_path, **{"probe: {questions: 4,": "probe: {questions: 400, samples: 8,"}), tmp_path / "run"
    process = start("train", config, "--out", run, "--quiet", fresh=True)
    wait_until((run / "config.yaml").exists, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said, said
    assert f"stopped before the first step was saved. Continue with: thinklab train --resume {run}" in said


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["{kind: sft}", "{kind: star, rounds: 2}"])
def test_a_baseline_saves_too(tmp_path, baseline):
    text = LONG.replace("teacher: {backend: scripted, rule: sums-check}\n", "")
    config = write(tmp_path, text.replace("steps: 12", "steps: 40") + f"baseline: {baseline[:-1]}, batch: 2, epochs: 3}}\n")
    run = tmp_path / "run"
    process = start("train", config, "--out", run, "--quiet", fresh=True)
    wait_until(lambda: lines(run / "metrics.jsonl") >= 3, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said, said
    done = lines(run / "metrics.jsonl")
    finish(said)
    steps = [line["step"] for line in RunFolder(run).read("metrics")]
    assert done >= 3 and steps == list(range(1, len(steps) + 1)) and len(steps) > done
    assert not (run / "superseded.jsonl").exists()  # nothing that was trained was trained again
    assert RunFolder(run).read_json("probe.json")["steps"] == len(steps)


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_a_study_hands_the_signal_on_once_and_goes_on_later(tmp_path, number):
    """The terminal sends Ctrl-C to the whole group; a run that got it twice would end at once."""
    config = write(tmp_path)
    (tmp_path / "study.yaml").write_text(
        f"name: s\nbases: {{a: {config}}}\nseeds: [1]\narms:\n  aas: {{loss.method: aas}}\n"
        "  grpo: {loss.method: grpo}\ncontrol: grpo\n"
    )
    process = start("experiment", tmp_path / "study.yaml", "--out", tmp_path / "out", "--jobs", "1", fresh=True)
    wait_until(lambda: any(lines(p) >= 3 for p in (tmp_path / "out").rglob("metrics.jsonl")), process)
    os.killpg(process.pid, number)
    said = "".join(process.communicate(timeout=120))
    assert process.returncode == CODES[number] and "Traceback" not in said, said
    metrics = next((tmp_path / "out").rglob("metrics.jsonl"))
    step = RunFolder(metrics.parent).last_checkpoint()[1]
    assert 3 <= step == lines(metrics) < 12
    assert "stopped at step" in (metrics.parent / "log.txt").read_text()
    assert "stopped with 0 of 2 runs finished" in said
    finish(said)
    assert [x["step"] for x in RunFolder(metrics.parent).read("metrics")] == list(range(1, 13))
    assert not (metrics.parent / "superseded.jsonl").exists()


@pytest.mark.slow
def test_both_arms_of_the_demo_save(tmp_path):
    process = start("demo", "--out", tmp_path / "demo", "--steps", "400", "--questions", "8", fresh=True)
    arms = tmp_path / "demo" / "aas", tmp_path / "demo" / "grpo"
    wait_until(lambda: all(lines(arm / "metrics.jsonl") >= 2 for arm in arms), process, 300)
    os.killpg(process.pid, signal.SIGINT)
    said = "".join(process.communicate(timeout=120))
    assert process.returncode == 130 and "Traceback" not in said, said
    for arm in arms:
        step = RunFolder(arm).last_checkpoint()[1]
        assert 2 <= step == lines(arm / "metrics.jsonl") and f"at step {step} of 400" in said
        assert f"thinklab train --resume {arm}" in said


@pytest.mark.slow
def test_an_interrupted_persistence_is_saved_and_the_probe_before_it_kept(tmp_path):
    run = tmp_path / "run"
    run_to_end("train", write(tmp_path, CONFIG), "--out", run, "--quiet")
    process = start("probe", run, "--persistence", "40", fresh=True)
    wait_until(lambda: lines(run / "persistence" / "metrics.jsonl") >= 2, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "stopped; the measurements so far are in probe.json" in said, said
    assert RunFolder(run / "persistence").last_checkpoint()[1] == lines(run / "persistence" / "metrics.jsonl") < 40
    assert "retention" in RunFolder(run).read_json("probe.json")


@pytest.mark.slow
def test_an_evaluation_keeps_every_finished_answer(tmp_path):
    (tmp_path / "e.yaml").write_text(
        "name: e\nthreads: 1\nstudent: embedded\nrows: 4\nmax_prompt_tokens: 40\nmax_new_tokens: 40\n"
        "benchmarks: {sums: {task: {name: sums}, questions: 400}}\nmethods: {zero: {}}\nreference: zero\n"
    )
    process = start("eval", tmp_path / "e.yaml", "--out", tmp_path / "out", fresh=True)
    answers = tmp_path / "out" / "zero" / "sums" / "answers.jsonl"
    wait_until(lambda: lines(answers) >= 8, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said, said
    assert f"Continue with: thinklab eval {tmp_path / 'e.yaml'} --out {tmp_path / 'out'}" in said
    kept = answers.read_bytes()
    finish(said)
    assert lines(answers) == 400 and answers.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
