"""Bad input: one clear line, the right exit code, never a traceback, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support.run_cases import in_this_process
from tests.support.warm_start import start

DEMO = ROOT / "examples" / "demo-self-check.yaml"


@pytest.fixture
def thinklab(monkeypatch, capfd):
    """The command line in this process, in the folder ``cwd``."""

    def run(*args, cwd):
        monkeypatch.chdir(cwd)
        return in_this_process(monkeypatch, capfd, *args)

    return run


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "line, where, says",
    [
        ("trian: {steps: 3}", ":2:1", "did you mean 'train'?"),
        ("train: {stepz: 3}", ":2:9", "did you mean 'steps'?"),
        ("train: {steps: many}", ":2:9", "valid integer"),
        ("train: {steps: 3}\ntrain: {steps: 4}", ":3:1", "train"),
        ("loss: {method: aaas}", ":2:8", "'aas'"),
        ("guidance: {gamma: 2.5}", ":2:1", "cannot exceed 1.0"),
        ("behaviors: []", ":2:1", "needs at least one behavior"),
        ("behaviors: [self-chek]", ":2:13", "did you mean 'self-check'?"),
        ("behaviors:\n  - {name: ./mine.yaml, weight: 2}", ":3:5", "there is no file ./mine.yaml (looked in"),
        ("behaviors: [self-check, self-check]\nteacher: {rule: sums-check}", "", "two of them are named 'self-check'"),
        ("train: [", ":", "not valid YAML"),
    ],
)
def test_a_wrong_config_names_the_line_and_the_mend(thinklab, tmp_path, line, where, says):
    config = write(tmp_path / "c.yaml", f"name: x\n{line}\n")
    done = thinklab("train", config, "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 2
    assert (f"c.yaml{where}" if where else "") in done.stderr.replace("\n", "") and says in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "override, says",
    [
        ("train.stepz=3", "override 'train.stepz=3': unknown key 'train.stepz' (did you mean 'steps'?)"),
        ("stepz=3", "did you mean 'steps'?"),
        ("nonsense", "key=value"),
        ("path=x", "ambiguous: write student.path or task.path"),
        ("train.steps=0", "greater than or equal to 1"),
        ("task.name=summs", "did you mean 'sums'?"),
        ("student=tiny", "unknown student"),
        ("teacher.rule=sums", "rule"),
        ("behaviors=[self-chek]", "self-check"),
        ("train.max_prompt_tokens=10", "more than train.max_prompt_tokens=10"),
        ("train.max_completion_tokens=500", "maximum is 512"),
    ],
)
def test_a_wrong_override_is_one_line(thinklab, tmp_path, override, says):
    done = thinklab("train", DEMO, override, "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_model_folder(thinklab, tmp_path):
    done = thinklab("train", DEMO, "student={kind: transformers, path: ./nowhere}", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 2 and "no model folder ./nowhere" in done.stderr
    (tmp_path / "empty").mkdir()
    done = thinklab("train", DEMO, "student={kind: transformers, path: ./empty}", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 2 and "config.json" in done.stderr


def test_a_task_file_with_a_missing_column(thinklab, tmp_path):
    file = write(tmp_path / "q.jsonl", json.dumps({"question": "1+1?", "answr": "#### 2"}) + "\n")
    done = thinklab("train", DEMO, "task={name: gsm8k}", f"task.path={file}", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 2 and "answer" in done.stderr and "q.jsonl" in done.stderr


def test_a_missing_config_and_a_missing_run(thinklab, tmp_path):
    assert "there is no config nowhere.yaml" in thinklab("train", "nowhere.yaml", cwd=tmp_path).stderr
    done = thinklab("probe", "nowhere", cwd=tmp_path)
    assert done.returncode == 1 and "not a run folder" in done.stderr
    assert thinklab("train", DEMO, "--resume", "--out", "nowhere", cwd=tmp_path).returncode == 1
    assert thinklab("frobnicate", cwd=tmp_path).returncode == 2


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was_done(thinklab, tmp_path):
    done = thinklab(
        "train",
        DEMO,
        "train.learning_rate=1e30",
        "train.max_grad_norm=1e30",
        "train.optimizer=sgd",
        "train.steps=6",
        "train.checkpoint_every=1",
        "train.warmup_steps=0",
        "train.questions=2",
        "probe.questions=4",
        "probe.every=0",
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert done.returncode == 1 and "learning_rate" in done.stderr, done.stderr
    lines = (tmp_path / "run" / "rollouts.jsonl").read_text().splitlines()
    assert len(lines) >= 16 and all(json.loads(line)["text"] is not None for line in lines)


def test_resuming_with_another_config_is_refused(thinklab, tmp_path):
    small = ["train.steps=1", "train.questions=2", "probe.questions=4", "probe.every=0", "train.checkpoint_every=1"]
    assert thinklab("train", DEMO, *small, "--out", "run", "--quiet", cwd=tmp_path).returncode == 0
    done = thinklab("train", DEMO, *small, "loss.c_max=0.0001", "--out", "run", "--resume", cwd=tmp_path)
    assert done.returncode == 1 and "started with a different config: loss.c_max=" in done.stderr
    done = thinklab("train", DEMO, *small, "--out", "run", cwd=tmp_path)
    assert done.returncode == 1 and "--resume" in done.stderr


def with_little_room_at_step_2():
    """``thinklab`` in a process that may write no large file once it saves its second checkpoint."""
    import resource

    from transformers import Trainer

    from thinklab.cli.app import main

    real = Trainer._save_optimizer_and_scheduler

    def tight(self, folder):
        if self.state.global_step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        real(self, folder)

    Trainer._save_optimizer_and_scheduler = tight
    main()


def test_a_checkpoint_that_cannot_be_written_keeps_the_one_before(tmp_path):
    """A limit on the size of files stands for the full disk: the optimizer's state does not fit under it."""
    arguments = [
        "train",
        DEMO,
        "train.steps=2",
        "train.questions=2",
        "probe.questions=4",
        "probe.every=0",
        "train.checkpoint_every=1",
        "student.lora.r=4",
        "--quiet",
        "--out",
        "run",
    ]
    process = start(*arguments, entry=f"{__name__}:with_little_room_at_step_2", cwd=tmp_path)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in said, said
    assert "cannot write the checkpoint" in said and "--resume" in said
    assert [p.name for p in (tmp_path / "run" / "checkpoints").glob("checkpoint-*")] == ["checkpoint-1"]


@pytest.mark.parametrize(
    "arguments, says",
    [(("--behavior", "self-chek"), "did you mean 'self-check'?"), (("--method", "aass"), "did you mean 'aas'?")],
)
def test_a_wrong_demo_argument(thinklab, tmp_path, arguments, says):
    done = thinklab("demo", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr


def test_a_demo_never_removes_strange_files(thinklab, tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "thesis.tex", "mine")
    done = thinklab("demo", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2 and "thesis.tex" in done.stderr and (tmp_path / "out" / "thesis.tex").exists()


def test_the_process_itself_ends_with_the_code_and_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "thinklab", "train", "nowhere.yaml"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: there is no config nowhere.yaml; give a YAML")
