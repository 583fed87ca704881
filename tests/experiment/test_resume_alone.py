"""``--resume``: a finished run is left alone, the run alone says how it was started, and one folder has one writer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support.run_cases import CONFIG, SLOW_RULES, in_this_process, wait_until
from tests.support.warm_start import run_to_end, start
from thinklab.errors import RunError
from thinklab.run.folder import RunFolder
from thinklab.run.lock import LOCK, FolderLock, held_elsewhere

FORGOTTEN = ["train.learning_rate=0.0005", "loss.c_max=0.002"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(CONFIG)
    run_to_end("train", "small.yaml", "--out", "run", "--quiet", *FORGOTTEN, cwd=folder)
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    (tmp_path / "small.yaml").write_text(CONFIG)
    return shutil.copytree(trained, tmp_path / "run")


def files(run):
    return {p.relative_to(run): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file() and p.name != LOCK}


def test_a_finished_run_is_left_as_it_is(run, monkeypatch, capfd):
    before = files(run)
    monkeypatch.setattr("thinklab.teachers.scripted.ScriptedTeacher.reply", lambda *_: pytest.fail("a teacher was asked"))
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run)
    assert done.returncode == 0 and "is finished: all 4 steps are trained and probed" in done.stderr
    assert "before" in done.stdout and "after" in done.stdout  # the table of what is known
    assert files(run) == before


def test_a_trained_run_without_its_last_probe_is_only_probed(run, monkeypatch, capfd):
    wanted = json.loads((run / "probe.json").read_text())
    samples = (run / "probe_samples.jsonl").read_text().splitlines(True)
    (run / "probe.json").write_text(json.dumps({"before": wanted["before"]}))
    (run / "probe_samples.jsonl").write_text("".join(s for s in samples if json.loads(s)["stage"] == "before"))
    before = files(run)
    monkeypatch.setattr("thinklab.teachers.scripted.ScriptedTeacher.reply", lambda *_: pytest.fail("a teacher was asked"))
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run, "--quiet")
    assert done.returncode == 0 and "what is missing is the probe after training" in done.stderr, done.stderr
    assert json.loads((run / "probe.json").read_text()) == wanted
    assert (run / "probe_samples.jsonl").read_text() == "".join(samples)
    changed = {p for p in before if files(run)[p] != before[p]}
    assert {p.name for p in changed} == {"probe.json", "probe_samples.jsonl"}


def test_session_train_of_a_finished_run_samples_nothing_and_keeps_the_weights(run):
    from safetensors.torch import load_file

    from thinklab.config.experiment import Experiment
    from thinklab.experiment.build import build

    config = Experiment.model_validate(RunFolder(run).resolved()["config"])
    before = files(run)
    session = build(config, run, resume=True)
    session.train(resume=True)
    assert session.trainer.state.global_step == 4 and files(run) == before
    saved = load_file(run / "checkpoints/checkpoint-4/adapter_model.safetensors")
    live = {n.replace(".default.", "."): p for n, p in session.student.model.named_parameters() if p.requires_grad}
    assert live and all((live[n] == saved[n]).all() for n in live)


def test_resume_run_alone_takes_the_config_from_the_run_and_remembers_more_steps(run, monkeypatch, capfd):
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run, "steps=6", "--quiet")
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in RunFolder(run).read("metrics")] == [1, 2, 3, 4, 5, 6]
    config = RunFolder(run).resolved()["config"]
    assert config["train"]["steps"] == 6 and config["train"]["learning_rate"] == 0.0005 and config["loss"]["c_max"] == 0.002
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run, "--quiet")
    assert done.returncode == 0 and "all 6 steps" in done.stderr


def test_a_forgotten_override_names_the_differing_keys_only(run, monkeypatch, capfd):
    done = in_this_process(monkeypatch, capfd, "train", run.parent / "small.yaml", "--resume", "--out", run, "train.steps=5")
    assert done.returncode == 1 and len(done.errors) == 1
    says = f"{run} was started with a different config: loss.c_max=0.002, not 0.001; train.learning_rate=0.0005, not 0.001. "
    assert says in done.errors[0]
    assert f"thinklab train --resume {run}" in done.errors[0] and "max_prompt_tokens" not in done.errors[0]


def test_a_run_s_config_yaml_begins_a_new_run_like_it(run, tmp_path, monkeypatch, capfd):
    done = in_this_process(monkeypatch, capfd, "train", run / "config.yaml", "--out", tmp_path / "again", "--quiet")
    assert done.returncode == 0, done.stderr

    ids = [[line["student_ids"] for line in RunFolder(p).read("rollouts")] for p in (run, tmp_path / "again")]
    assert ids[0] == ids[1]
    assert RunFolder(run).resolved()["config"] == RunFolder(tmp_path / "again").resolved()["config"]


def test_a_new_run_like_it_is_warned_of_a_behavior_that_has_changed(run, tmp_path, monkeypatch, capfd):
    text = (run / "config.yaml").read_text()
    digest = RunFolder(run).resolved()["behaviors"]["self-check"]
    (run / "config.yaml").write_text(text.replace(digest, "0" * len(digest)))
    small = ("steps=1", "checkpoint_every=1", "--out", tmp_path / "x")
    done = in_this_process(monkeypatch, capfd, "train", run / "config.yaml", *small)
    assert done.returncode == 0 and len(done.warnings) == 1 and "'self-check' has changed since" in done.warnings[0], done.stderr
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run, "steps=6")
    assert done.returncode == 1 and "'self-check' has changed since" in done.errors[0]


def test_what_cannot_be_meant_is_refused_in_words(run, tmp_path, monkeypatch, capfd):
    for arguments, says in (
        ((run,), "resumes it"),
        (("--resume", run, "--out", tmp_path / "x"), "omit --out"),
        (("--resume", tmp_path), "not a run folder"),
        ((run / "config.yaml", "train.frob=1", "--out", tmp_path / "x"), "override 'train.frob=1'"),
    ):
        done = in_this_process(monkeypatch, capfd, "train", *arguments)
        assert done.returncode in (1, 2) and says in done.stderr, (arguments, done.stderr)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_one_folder_has_one_writer_and_a_dead_one_does_not_count(run, tmp_path, monkeypatch, capfd):
    (tmp_path / "slowrules.py").write_text(SLOW_RULES)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("sums-check", "slowrules:slow"))
    asked = tmp_path / "asked"
    monkeypatch.syspath_prepend(tmp_path)  # the commands in this process read the same config
    monkeypatch.setenv("ASKED", str(asked))
    first = start("train", "--resume", run, "steps=6", "--quiet", PYTHONPATH=tmp_path, ASKED=asked)
    try:
        wait_until(asked.exists, first)
        at_work = files(run)
        for command in (("train", "--resume", run, "steps=6"), ("probe", run), ("save", run, "--out", tmp_path / "saved")):
            done = in_this_process(monkeypatch, capfd, *command)
            assert done.returncode == 1 and f"is open in another process (process {first.pid} on " in done.stderr, done.stderr
        reads_only = in_this_process(monkeypatch, capfd, "report", run, "--out", tmp_path / "page.html")
        assert reads_only.returncode == 0
        from thinklab import Lab

        with pytest.raises(RunError, match=f"process {first.pid} "):
            Lab(out=run, quiet=True)
        assert files(run) == at_work and held_elsewhere(run)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    assert not held_elsewhere(run) and (run / LOCK).read_text().startswith(f"process {first.pid} ")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("slowrules:slow", "sums-check"))
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run, "--quiet")
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in RunFolder(run).read("metrics")] == [1, 2, 3, 4, 5, 6]


def test_a_lock_in_a_folder_without_anything_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "a" / "b"
    with FolderLock(folder):
        assert (folder / LOCK).exists()
        with pytest.raises(RunError, match="already open in this process"):
            FolderLock(folder)
    assert not (tmp_path / "a").exists()
    with FolderLock(folder):
        (folder / "config.yaml").touch()
    assert (folder / LOCK).read_text() == ""


def test_where_the_system_has_no_locks_the_owner_in_the_file_counts(tmp_path, monkeypatch):
    import fcntl
    import platform

    def none(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", none)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / LOCK).write_text(f"process {other.pid} on {platform.node()}\n")
    try:
        with pytest.raises(RunError, match=re.escape(f"(process {other.pid} on {platform.node()})")):
            FolderLock(tmp_path)
    finally:
        other.communicate()
    FolderLock(tmp_path).release()
    (tmp_path / LOCK).write_text(f"process {os.getpid()} on another-machine\n")
    FolderLock(tmp_path).release()
